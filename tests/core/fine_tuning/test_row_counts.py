"""What a plan and the first events of a job say about rows: left out, without weight, equal, cut away."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from core import fine_tuning
from core.errors import Conflict
from core.fields import parse
from core.fine_tuning import NewJob, row_counts, starting
from core.fine_tuning.before import totals
from core.fine_tuning.before.tasks import kept
from core.formats.sentences import CutAway
from core.people.users import User
from core.tables import ModelRow
from core.training.preview_rows import Counting

MESSAGES = 'STRUCT("role" VARCHAR, "content" VARCHAR)[]'
Make = Callable[..., NewJob]


@pytest.fixture
def new(ada: User, base_model: ModelRow, make_version: Callable[..., Any]) -> Make:
    """``new(rows, **fields)``: a request on a version of these rows, which trains as its columns say."""

    def make(rows: list[dict[str, Any]], *, format: str = "completion", **fields: Any) -> NewJob:
        names = rows[0].keys()
        types = {name: MESSAGES for name in names if isinstance(rows[0][name], list)}
        version = make_version(ada, rows, format=format, types=types)
        return parse(NewJob, base_model_id=base_model.id, dataset_id=version.dataset_id, **fields)

    return make


def talk(answer: str, **more: Any) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": "q", **dict.fromkeys(more)},
            {"role": "assistant", "content": answer, **more},
        ]
    }


def events(user: User, job_id: str) -> list[tuple[str, str]]:
    return [(one.level, one.message) for one in fine_tuning.events(user, job_id).items]


ALPACA = [{"instruction": f"Say {n}", "input": "x" * (n % 2), "output": "yes", "id": n} for n in range(12)]
LEFT_OUT = {"prompt": "instruction", "completion": "output"}


def test_columns_that_a_mapping_leaves_out_are_in_the_plan_and_the_events(ada: User, new: Make) -> None:
    request = new(ALPACA, columns=LEFT_OUT)
    told = (
        "The column input is not learned from, in 6 of 12 rows: map it as input to have it follow the prompt."
    )
    plan = fine_tuning.plan(ada, request)
    assert (plan.warnings, plan.notes) == ([told], ["The column id is not learned from."])
    job = fine_tuning.create(ada, request)
    assert events(ada, job.id)[2:] == [("warn", told), ("info", "The column id is not learned from.")]


def test_as_alpaca_it_leaves_out_nothing_but_the_id(ada: User, new: Make) -> None:
    plan = fine_tuning.plan(ada, new(ALPACA))
    assert (plan.warnings, plan.notes) == ([], ["The column id is not learned from."])


def test_what_a_report_about_all_rows_says_is_not_counted_again(
    ada: User, new: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_counts, "CHECKED_AT_ONCE", 5)
    rows = [talk(f"a {n}", name="bot") for n in range(12)]
    (warning,) = fine_tuning.plan(ada, new(rows, format="chat")).warnings
    assert warning.startswith("name in messages is not learned from, in 5 of the first 5 rows: ")


def test_a_table_that_is_recognised_by_now_needs_no_mapping(ada: User, new: Make) -> None:
    rows = [{"question": f"q {n}", "response": "a"} for n in range(12)]
    job = fine_tuning.create(ada, new(rows, format="table"))
    assert (job.status, job.columns) == ("queued", None)


@pytest.mark.parametrize("loss_on", ["answers", "all"])
@pytest.mark.parametrize("learned", [0, 1, 2])
def test_answers_without_weight_are_refused_before_the_start_unless_all_is_learned(
    ada: User, new: Make, loss_on: str, learned: int
) -> None:
    rows = [talk(f"a {n}", weight=int(n < learned)) for n in range(12)]
    request = new(rows, format="chat", hyperparameters={"loss_on": loss_on})
    if loss_on == "all":
        assert fine_tuning.plan(ada, request).warnings == []
    elif learned < 2:
        for start in (fine_tuning.plan, fine_tuning.create):
            with pytest.raises(Conflict) as caught:
                start(ada, request)
            has = "has" if learned == 1 else "have"
            assert caught.value.message.startswith(
                f"faq: Only {learned} of 12 rows {has} something to learn; at least 2 are needed. "
                f"{12 - learned} of 12 rows have weight 0 on all their answers"
            )
    else:
        (warning,) = fine_tuning.plan(ada, request).warnings
        assert warning.startswith("10 of 12 rows have weight 0 on all their answers: nothing of them is")
        # the training counts them itself
        assert len(events(ada, fine_tuning.create(ada, request).id)) == 2


@pytest.mark.parametrize(
    ("num_rows", "weighted", "told"),
    [
        (2, 2, "Only 1 of 2 rows is left to learn; at least 2 are needed. 1 row is kept for validation."),
        (3, 3, "Only 1 of 3 rows is left to learn; at least 2 are needed. 2 rows are kept for validation."),
        (12, 2, "Only 1 of 12 rows is left to learn; at least 2 are needed. 10 of 12 rows have weight 0"),
        (4, 4, None),
    ],
)
def test_a_share_for_validation_that_leaves_too_few_is_refused_before_the_start(
    ada: User, new: Make, num_rows: int, weighted: int, told: str | None
) -> None:
    rows = [talk(f"a {n}", weight=int(n < weighted)) for n in range(num_rows)]
    request = new(rows, format="chat", validation_fraction=0.5)
    for start in (fine_tuning.plan, fine_tuning.create):
        if told is None:
            start(ada, request)
            continue
        with pytest.raises(Conflict) as caught:
            start(ada, request)
        assert caught.value.message.startswith(f"faq: {told}")


def test_what_a_validation_dataset_does_not_measure_is_in_the_plan(ada: User, new: Make) -> None:
    rows = [talk(f"a {n}", weight=1) for n in range(12)]
    silent = new([talk(f"b {n}", weight=0) for n in range(12)], format="chat").dataset_id
    plan = fine_tuning.plan(ada, new(rows, format="chat", validation_dataset_id=silent))
    (warning,) = plan.warnings
    assert warning.startswith("Validation: 12 of 12 rows have weight 0 on all their answers: nothing of them")
    request = new(rows, format="chat")
    request = request.model_copy(update={"validation_dataset_id": request.dataset_id})
    (warning,) = fine_tuning.plan(ada, request).warnings
    assert warning.startswith("The validation dataset is the one that is learned: its loss says nothing")


@pytest.mark.parametrize(("same", "end"), [(12, ", so there is nothing to learn."), (3, ".")])
def test_equal_answers_are_warned_of_and_may_start(ada: User, new: Make, same: int, end: str) -> None:
    rows = [{"prompt": f"q {n}", "chosen": "a", "rejected": "a" if n < same else "b"} for n in range(12)]
    request = new(rows, format="preference", method="dpo")
    told = f"Both answers are the same in {same} of 12 rows: nothing tells them apart{end}"
    assert fine_tuning.plan(ada, request).warnings == [told]
    assert fine_tuning.create(ada, request).status == "queued"


@pytest.mark.parametrize(
    ("different", "planned", "told"),
    [
        (20, (16, 4), []),
        (19, (16, 4), []),
        (
            5,
            (16, 4),
            [
                "Of 20 rows only 5 are different, and rows that are equal always stay on one side: more or "
                "fewer than 4 may be kept for validation."
            ],
        ),
        (
            1,
            (20, 0),
            [
                "No row could be kept for validation: all 20 rows are the same, and rows that are equal "
                "always stay on one side. There will be no validation loss."
            ],
        ),
    ],
)
def test_a_share_for_validation_knows_equal_rows(
    ada: User, new: Make, different: int, planned: tuple[int, int], told: list[str]
) -> None:
    rows = [{"prompt": f"q {n % different}", "completion": "a"} for n in range(20)]
    plan = fine_tuning.plan(ada, new(rows, validation_fraction=0.2))
    assert (plan.num_examples, plan.num_validation) == planned
    assert [warning for warning in plan.warnings if "noisy" not in warning] == told


def remember(user: User, request: NewJob, *, needed: list[tuple[int, int]], num_rows: int) -> None:
    """As if a preview had counted the rows: so many are cut before their answer."""
    base, rows, _ = starting.look_up(user, request)
    settings = starting.resolve_for(request, base, rows.num_rows)
    counting = Counting(num_rows=num_rows, num_empty=len(needed), needed=needed)
    kept.put(totals.key_of(base, rows, settings), counting.totals(settings))


FAQ = [{"prompt": f"q {n}", "completion": "a"} for n in range(12)]


def test_rows_that_are_all_cut_away_are_refused_where_they_were_counted(ada: User, new: Make) -> None:
    request = new(FAQ, hyperparameters={"max_length": 32})
    assert fine_tuning.plan(ada, request).warnings == []
    remember(ada, request, needed=[(40, 60)] * 11, num_rows=12)
    for start in (fine_tuning.plan, fine_tuning.create):
        with pytest.raises(Conflict) as caught:
            start(ada, request)
        assert caught.value.message == (
            "faq: Only 1 of 12 rows has something to learn; at least 2 are needed. 11 rows are cut at 32 "
            "tokens, before their answer begins, and have nothing to learn. A longest row of 60 tokens would "
            "hold them whole."
        )
    longer = request.model_copy(
        update={"hyperparameters": request.hyperparameters.model_copy(update={"max_length": 64})}
    )
    assert fine_tuning.plan(ada, longer).warnings == []


def test_rows_that_are_cut_away_are_warned_of_where_they_were_counted(ada: User, new: Make) -> None:
    request = new(FAQ, hyperparameters={"max_length": 32})
    remember(ada, request, needed=[(140, 160)], num_rows=12)
    (warning,) = fine_tuning.plan(ada, request).warnings
    assert warning == (
        "1 row is cut at 32 tokens, before its answer begins, and has nothing to learn. The base reads 128 "
        "tokens at most: shorten the rows, or choose another base."
    )


def test_what_was_counted_is_kept_whole(ada: User, new: Make) -> None:
    request = new(FAQ)
    remember(ada, request, needed=[(40, 60)], num_rows=12)
    base, rows, _ = starting.look_up(ada, request)
    known = totals.known_of(base, rows, starting.resolve_for(request, base, rows.num_rows))
    assert known is not None
    assert known.away == asdict(CutAway(1, 40, 60, 60))
