"""What is looked up about a run beside its curves: hardest rows, sampled answers, its log, notes and tags."""

from collections.abc import Callable

import numpy as np
import pytest

from core import fine_tuning, storage
from core.db import writing
from core.errors import NotFound, ValidationError
from core.fields import parse
from core.fine_tuning import Annotation, JobList, SampleList
from core.jobs import notes, row_files
from core.people.users import User
from core.tables import JobRow
from core.training.method import AnswerSample, RowLosses

MakeJob = Callable[..., JobRow]


@pytest.fixture
def job(ada: User, make_job: MakeJob) -> JobRow:
    return make_job(ada)


def write_losses(job: JobRow, losses: list[float], split: str = "train", step: int = 4) -> None:
    found = np.array(losses, np.float32)
    lines, tokens = np.arange(1, len(losses) + 1), np.full(len(losses), 7)
    row_files.write(job.id, RowLosses(split, lines, found, found + 1, tokens, step))  # type: ignore[arg-type]


def test_hardest_rows_come_first_with_their_text(ada: User, job: JobRow) -> None:
    assert fine_tuning.hardest_rows(ada, job.id).total == 0
    write_losses(job, [0.5, np.nan, 3.0, 1.0])
    found = fine_tuning.hardest_rows(ada, job.id, limit=2)
    assert (found.total, [row.line for row in found.items]) == (3, [3, 4])
    assert (found.items[0].loss, found.items[0].first, found.items[0].tokens) == (3.0, 4.0, 7)
    assert found.items[0].data == {"prompt": "Capital number 2?", "completion": "It is Oslo."}
    assert [row.line for row in fine_tuning.hardest_rows(ada, job.id, limit=2, offset=2).items] == [1]


def test_new_losses_are_seen_at_once(ada: User, job: JobRow) -> None:
    for losses, hardest in (([1.0, 2.0], 2), ([5.0, 2.0], 1)):
        write_losses(job, losses)
        assert fine_tuning.hardest_rows(ada, job.id, limit=1).items[0].line == hardest


def test_rows_of_a_removed_version_keep_their_losses(ada: User, job: JobRow) -> None:
    write_losses(job, [1.0, 2.0])
    with writing() as session:
        session.get_one(JobRow, job.id).dataset_version_id = None
    assert [(row.line, row.data) for row in fine_tuning.hardest_rows(ada, job.id).items] == [
        (2, None),
        (1, None),
    ]


def test_samples_by_step_fixed_prompts_first(ada: User, job: JobRow) -> None:
    with writing() as session:
        for step in (10, 20):
            worst = AnswerSample("worst", "Why?", f"so {step}", expected="So.", line=3, loss=2.0)
            notes.note_samples(
                session,
                job.id,
                step,
                [worst, AnswerSample("fixed", "A?", f"a {step}"), AnswerSample("fixed", "B?", "b")],
            )
    assert fine_tuning.sample_steps(ada, job.id) == [10, 20]
    found = fine_tuning.samples(ada, job.id, SampleList(step=20)).items
    assert [(s.kind, s.position, s.answer) for s in found] == [
        ("fixed", 0, "a 20"),
        ("fixed", 1, "b"),
        ("worst", 0, "so 20"),
    ]
    assert fine_tuning.samples(ada, job.id, SampleList(kind="worst")).total == 2


def test_log_search_counts_all_and_numbers_lines(ada: User, job: JobRow) -> None:
    assert fine_tuning.search_log(ada, job.id, "x").total == 0
    path = storage.job_dir(job.id) / "log.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"step {n}: Loss {n}\n" for n in range(1, 1001)))
    found = fine_tuning.search_log(ada, job.id, "LOSS 99", limit=3)
    assert (found.total, found.num_lines) == (11, 1000)
    assert [(line.number, line.text) for line in found.lines][-1] == (999, "step 999: Loss 999")
    assert [line.number for line in found.lines] == [997, 998, 999]


def test_notes_and_tags_are_kept_and_found(ada: User, job: JobRow, make_job: MakeJob) -> None:
    make_job(ada)
    changed = fine_tuning.annotate(
        ada, job.id, parse(Annotation, tags=[" baseline ", "long  rows", "baseline"], notes="Überraschung")
    )
    assert (changed.tags, changed.notes) == (["baseline", "long rows"], "Überraschung")
    assert fine_tuning.annotate(ada, job.id, Annotation(notes="new")).tags == ["baseline", "long rows"]
    assert [j.id for j in fine_tuning.list_jobs(ada, JobList(tag="long rows")).items] == [job.id]
    assert fine_tuning.list_jobs(ada, JobList(tag="long")).total == 0
    assert [j.id for j in fine_tuning.list_jobs(ada, JobList(q="new")).items] == [job.id]
    with pytest.raises(ValidationError):
        parse(Annotation, tags=["a,b"])


def test_jobs_sort_by_their_best_loss_and_those_without_come_last(ada: User, make_job: MakeJob) -> None:
    two, none, one = make_job(ada, best_loss=2.0), make_job(ada), make_job(ada, best_loss=1.0)
    order = [j.id for j in fine_tuning.list_jobs(ada, JobList(sort="best_loss")).items]
    assert order == [one.id, two.id, none.id]
    assert [j.id for j in fine_tuning.list_jobs(ada, JobList(sort="-best_loss")).items] == [
        two.id,
        one.id,
        none.id,
    ]


@pytest.mark.parametrize("look", ["hardest_rows", "samples", "sample_steps", "log_tail"])
def test_another_users_run_looks_missing(bob: User, job: JobRow, look: str) -> None:
    with pytest.raises(NotFound):
        getattr(fine_tuning, look)(bob, job.id)
    with pytest.raises(NotFound):
        fine_tuning.annotate(bob, job.id, Annotation(notes="mine now"))
