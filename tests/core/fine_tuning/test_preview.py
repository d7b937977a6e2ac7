"""What the model sees is what it is trained on; totals, the process behind them, and what they cost."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from core import fine_tuning
from core.config import settings as server_settings
from core.errors import Conflict, NotFound, ValidationError
from core.fields import parse
from core.fine_tuning import NewJob
from core.fine_tuning.before import forecast, preview
from core.fine_tuning.before import tasks as preview_tasks
from core.fine_tuning.before.preview import TaskProgress, Totals
from core.fine_tuning.before.process import shared
from core.formats import ChatExample, Example, PreferenceExample, Text
from core.people.users import User
from core.tables import ModelRow
from core.training import Settings, examples, preview_rows
from core.training.pretrained import load_tokenizer
from core.weights import Weights
from tests.waiting import wait_until

MakeVersion = Callable[..., Any]
SHORT = Settings(1, 4, 1e-3, 1.0, "full", None, None, max_length=24)
LONG = Settings(1, 4, 1e-3, 1.0, "full", None, None, max_length=500)
ALL = Settings(1, 4, 1e-3, 1.0, "full", None, None, max_length=500, loss_on="all")
ASKED, SAID = (
    {"role": "user", "content": "Grüße, 漢字 🙂?"},
    {"role": "assistant", "content": "Ja 👩‍🔬 <b>&amp;</b>."},
)
EXAMPLES: dict[str, Example] = {
    "chat": ChatExample([{"role": "system", "content": "Be kind."}, ASKED, SAID, ASKED, SAID]),
    "weight 0": ChatExample([ASKED, {**SAID, "weight": 0}, ASKED, SAID]),
    "completion": ChatExample([ASKED, SAID]),
    "text": Text("One line.\n\tAnother – with 漢字 and 🙂 " * 4),
    "preference": PreferenceExample([ASKED], [SAID], [{"role": "assistant", "content": "No."}]),
    "preference after an answer": PreferenceExample(
        [ASKED, SAID, ASKED], [SAID], [{"role": "assistant", "content": "No."}]
    ),
    "question alone fills the row": ChatExample([{"role": "user", "content": "x" * 600}, SAID]),
}


@pytest.fixture(scope="session")
def tokenizer(tiny_base: Path) -> Any:
    return load_tokenizer(Weights("x", tiny_base, tiny_base, None, None))


@pytest.mark.parametrize("settings", [SHORT, LONG, ALL], ids=["cut", "whole", "loss on all"])
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_the_mask_shown_is_the_mask_trained(example: Example, settings: Settings, tokenizer: Any) -> None:
    trained = examples.read([(1, example)], tokenizer, settings)
    shown = preview_rows.look(example, tokenizer, settings)
    assert shown["trains"] == bool(trained.items)
    for sequence in shown["sequences"]:
        items = [getattr(item, sequence["part"]) if sequence["part"] else item for item in trained.items]
        kept = [piece for piece in sequence["pieces"] if not piece["cut"]]
        assert [piece["id"] for piece in kept] == [token for item in items for token in item.ids.tolist()]
        assert [piece["learned"] for piece in kept] == [
            bit for item in items for bit in item.learned.tolist()
        ]
        assert sequence["num_learned"] == sum(item.num_learned for item in items)
        assert [place for place, piece in enumerate(sequence["pieces"]) if piece["starts"]] == list(
            np.cumsum([len(item) for item in items])[:-1]
        )


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_pieces_join_to_what_the_template_renders(example: Example, tokenizer: Any) -> None:
    for sequence in preview_rows.look(example, tokenizer, LONG)["sequences"]:
        text = "".join(piece["text"] for piece in sequence["pieces"])
        assert text.removesuffix("<|end|>") == sequence["text"].removesuffix("<|end|>")
        assert "�" not in text


def test_a_character_split_over_tokens_stands_whole_at_its_first_and_marks_are_told_from_text(
    tokenizer: Any,
) -> None:
    pieces = preview_rows.look(ChatExample([ASKED, SAID]), tokenizer, LONG)["sequences"][0]["pieces"]
    smile = next(place for place, piece in enumerate(pieces) if piece["text"] == "🙂")
    assert [piece["joined"] for piece in pieces[smile : smile + 5]] == [False, True, True, True, False]
    assert [piece["text"] for piece in pieces if piece["special"]] == [
        "<|user|>",
        "<|end|>",
        "<|assistant|>",
        "<|end|>",
    ]


def test_text_that_holds_a_broken_character_ends(tokenizer: Any) -> None:
    pieces = preview_rows.look(Text("a � b"), tokenizer, LONG)["sequences"][0]["pieces"]
    assert pieces[-2]["text"] == "b"


def test_spaces_of_sentencepiece_are_kept() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(["▁one", "▁two", "three", "</s>"])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>")
    assert preview_rows.split_text([0, 1, 2, 3], fast) == ["one", " two", "three", "</s>"]


def test_the_histogram_counts_every_row_once() -> None:
    lengths = np.array([1, 2, 3, 50, 51, 52, 240, 5_000], dtype=np.int64)
    bars = preview_rows.histogram(lengths)
    assert sum(bar["rows"] for bar in bars) == len(lengths)
    assert len(bars) <= preview_rows.BARS
    for bar in bars:
        assert bar["rows"] == ((lengths >= bar["from"]) & (lengths <= bar["to"])).sum()
    assert preview_rows.histogram(np.zeros(0, dtype=np.int64)) == []


@pytest.fixture
def new(ada: User, base_model: ModelRow, tiny_base: Path, make_version: MakeVersion) -> Callable[..., NewJob]:
    """``new(rows, **fields)``: a request of Ada's."""

    def make(rows: list[dict[str, Any]], **fields: Any) -> NewJob:
        version = make_version(ada, rows)
        return parse(NewJob, **({"base_model_id": base_model.id, "dataset_id": version.dataset_id} | fields))

    return make


@pytest.fixture(autouse=True, scope="module")
def end_process() -> Any:
    """One process for all tests of this file: it takes seconds to start, and knows no data folder."""
    yield
    preview.stop()


@pytest.fixture(autouse=True)
def end_counting() -> Any:
    yield
    preview_tasks.tasks.cancel_all()


ROWS = [
    {"prompt": "Who?", "completion": "Me."},
    {"prompt": "", "completion": "wrong"},
    {"prompt": "Who is it that asks so long?" * 3, "completion": "I do."},
    {"prompt": "Hm?", "completion": "Yes, " * 40},
]


def count(user: User, request: NewJob) -> Totals:
    found = wait_until(lambda: preview.totals(user, request), lambda seen: isinstance(seen, Totals))
    assert isinstance(found, Totals)
    return found


def test_any_row_is_shown_and_a_wrong_one_says_why(ada: User, new: Any) -> None:
    request = new(ROWS, hyperparameters={"max_length": 64})
    row = preview.row(ada, request, 4)
    (sequence,) = row.sequences
    assert (row.line, row.trains, row.max_length) == (4, True, 64)
    assert sequence.text == "<|user|>Hm?<|end|><|assistant|>" + "Yes, " * 40 + "<|end|>"
    assert (sequence.num_tokens, sequence.num_learned, sequence.num_cut) == (207, 64 - 6, 207 - 64)
    wrong = preview.row(ada, request, 2)
    assert (wrong.errors, wrong.sequences) == ([{"field": "prompt", "message": "is empty"}], [])
    with pytest.raises(NotFound):
        preview.row(ada, request, 5)


def test_totals_say_what_is_cut_empty_and_wrong(ada: User, new: Any) -> None:
    found = count(ada, new(ROWS, hyperparameters={"max_length": 64}))
    assert (found.num_rows, found.num_sequences) == (4, 2)
    assert (found.cut, found.empty) == ([3, 4], [3])
    assert found.wrong == [{"line": 2, "field": "prompt", "message": "is empty"}]
    assert found.longest[0] == {"line": 4, "tokens": 207}
    assert (found.num_tokens, found.num_learned) == (11 + 64, 4 + 58)
    assert found.num_packed == 2
    assert sum(bar["rows"] for bar in found.histogram) == 3


def test_totals_are_kept_on_disk_and_shared_by_settings_that_change_nothing(ada: User, new: Any) -> None:
    request = new(ROWS)
    first = count(ada, request)
    preview_tasks.kept.__init__()  # type: ignore[misc]  # as after a restart
    shared.stop()
    other = request.model_copy(
        update={"hyperparameters": request.hyperparameters.model_copy(update={"n_epochs": 7})}
    )
    assert preview.totals(ada, other) == first
    assert shared.pid is None
    longer = request.model_copy(
        update={"hyperparameters": request.hyperparameters.model_copy(update={"max_length": 20})}
    )
    assert isinstance(preview.totals(ada, longer), TaskProgress)


@pytest.mark.long
def test_counting_stops_when_nobody_asks_or_somebody_cancels(
    ada: User, new: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = new(ROWS[:1] * 200_000)
    assert isinstance(preview.totals(ada, request), TaskProgress)
    assert preview.row(ada, request, 200_000).trains  # one row is not held up by the counting of all
    preview.cancel_totals(ada, request)
    assert not len(preview_tasks.tasks)
    monkeypatch.setattr(preview_tasks, "ABANDONED_SECONDS", 0.0)
    assert isinstance(preview.totals(ada, request), TaskProgress)
    wait_until(lambda: not len(preview_tasks.tasks))
    assert not list((server_settings().data_dir / "previews").rglob("*.json"))


def test_a_killed_process_is_started_anew(ada: User, new: Any) -> None:
    request = new(ROWS)
    preview.row(ada, request, 1)
    first = shared.pid
    assert first
    psutil.Process(first).kill()
    assert preview.row(ada, request, 1).trains
    assert shared.pid != first


@pytest.mark.long
def test_a_process_whose_pipe_is_broken_is_not_asked_again(
    ada: User, new: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process closes its pipes a moment before the system says that it has ended."""
    request = new(ROWS)
    preview.row(ada, request, 1)
    dying = shared.get()
    psutil.Process(dying.pid).kill()
    dying._popen.wait()
    monkeypatch.setattr(dying._popen, "poll", lambda: None)
    assert preview.row(ada, request, 1).trains
    assert shared.pid != dying.pid


def test_nothing_of_others_is_shown(ada: User, bob: User, new: Any) -> None:
    request = new(ROWS)
    with pytest.raises(NotFound):
        preview.row(bob, request, 1)
    for look in (
        preview.totals,
        preview.cancel_totals,
        forecast.forecast,
        forecast.measure,
        forecast.measured,
    ):
        with pytest.raises(NotFound):
            look(bob, request)


def test_rows_that_a_method_cannot_learn_are_refused_with_the_reason(ada: User, new: Any) -> None:
    with pytest.raises(Conflict, match="Choose Supervised fine-tuning or"):
        preview.row(ada, new(ROWS, method="dpo"), 1)


def test_qlora_without_a_gpu_is_refused_before_anything_starts(ada: User, new: Any) -> None:
    request = new(ROWS[:1] * 5, hyperparameters={"tuning": "qlora"})
    for start in (fine_tuning.plan, fine_tuning.create):
        with pytest.raises(ValidationError) as caught:
            start(ada, request)
        assert [detail.field for detail in caught.value.details] == ["hyperparameters.tuning"]


def test_a_page_does_not_hang_while_the_process_starts(ada: User, new: Any) -> None:
    shared.stop()
    request, began = new(ROWS), time.monotonic()
    assert isinstance(preview.look(ada, request, 1, wait=0.0), TaskProgress)
    assert time.monotonic() - began < 2
    while isinstance(found := preview.look(ada, request, 1, wait=1.0), TaskProgress):
        assert time.monotonic() - began < 60
    assert found == preview.row(ada, request, 1)
    with pytest.raises(NotFound):
        preview.look(ada, request, 99, wait=60.0)
