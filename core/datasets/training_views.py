"""What a version would teach a model: how many rows are examples,
what is wrong with the others, and the examples themselves.

As a version comes, the answer was stored at its conversion and covers every row. Under a mapping it is read
now; a long version is then judged by its first rows, and the answer says by how many. What a row must look
like is ``core.formats``'s business.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from statistics import median
from typing import Any

from core import formats, storage
from core.datasets import looking, rows
from core.datasets.values import TrainingReport, Version
from core.errors import Detail
from core.formats import ChatExample, Example, PreferenceExample
from core.ingest import converter
from core.people.users import User

SAMPLE_ROWS = 50_000  # about a second; a job reads every row when it starts
SHORT_WORDS = 3
MAX_ERRORS = 100
NOTHING_THERE = ("is empty", "is missing", "has no messages")


@dataclass(frozen=True)
class TrainingView:
    """How a version's rows do as examples.

    ``num_examples`` and ``num_bad`` are of the first ``num_checked`` rows, the shares of the first
    ``num_sampled``: ``num_empty`` rows lack what is to be learned, ``num_short`` examples teach fewer than
    SHORT_WORDS words; ``words`` is {"median", "longest"} of what is taught. ``errors``: the first hundred,
    {"line", "field", "message"}. ``remarks``: what stands in the rows and is not learned, as in a training
    report.
    """

    format: str
    num_rows: int
    num_checked: int
    num_examples: int
    num_bad: int
    errors: list[dict[str, Any]]
    num_sampled: int
    num_empty: int
    num_short: int
    words: dict[str, int]
    remarks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.num_examples > 0 and not self.num_bad


def view_for_training(
    user: User, version_id: str, mapping: Mapping[str, str] | None = None, *, sample: int = SAMPLE_ROWS
) -> TrainingView:
    """The version as it is, or under a mapping.

    Raises NotFound, Conflict (not ready), ValidationError (the mapping).
    """
    version = _ready(user, version_id)
    format_ = formats.mapped(version.columns, mapping, version.format)
    taught: list[int] = []
    bad = empty = 0
    errors: list[dict[str, Any]] = []
    tally, parquet = formats.RowTally(), storage.parquet_path(version.id)
    for line, example in islice(
        formats.read_examples(parquet, format_, mapping or None, tally=tally), sample
    ):
        if isinstance(example, list):
            bad += 1
            empty += all(detail.message in NOTHING_THERE for detail in example)
            errors += [
                {"line": line, "field": d.field, "message": d.message}
                for d in example
                if len(errors) < MAX_ERRORS
            ]
        else:
            taught.append(count_words(example))
    view = TrainingView(
        format=format_.name,
        num_rows=version.num_rows,
        num_checked=len(taught) + bad,
        num_examples=len(taught),
        num_bad=bad,
        errors=errors,
        num_sampled=len(taught) + bad,
        num_empty=empty,
        num_short=sum(words < SHORT_WORDS for words in taught),
        words={"median": round(median(taught)), "longest": max(taught)} if taught else {},
    )
    remarks = [
        *tally.remarks(are_first=tally.num_rows < version.num_rows),
        *formats.unread_columns(parquet, format_, mapping or None),
    ]
    view = replace(view, remarks=[asdict(one) for one in remarks])
    stored = _stored(version, format_, mapping)
    return _with_stored(view, stored) if stored else view


def _with_stored(seen: TrainingView, stored: Mapping[str, Any]) -> TrainingView:
    """The stored report has read every row."""
    bad = stored.get("num_errors", seen.num_rows - stored["num_examples"])
    return replace(
        seen,
        num_checked=seen.num_rows,
        num_examples=stored["num_examples"],
        num_bad=bad,
        errors=stored["errors"] or seen.errors,
        remarks=stored.get("remarks", seen.remarks),
    )


def count_words(example: Example) -> int:
    """How many words a model learns from an example: the assistant's, not the user's."""
    if isinstance(example, ChatExample):
        messages = [
            message
            for message in example.messages
            if message["role"] == "assistant" and message.get("weight") != 0
        ]
        return sum(len(message["content"].split()) for message in messages)
    if isinstance(example, PreferenceExample):
        return sum(len(message["content"].split()) for message in example.preferred)
    return len(example.text.split())


def training_preview(
    user: User, version_id: str, mapping: Mapping[str, str] | None = None, limit: int = 5, *, offset: int = 0
) -> list[tuple[int, Example | list[Detail]]]:
    """Some rows as examples, or what is wrong with them.

    Raises ValidationError for a mapping that does not fit.
    """
    version = _ready(user, version_id)
    format_ = formats.mapped(version.columns, mapping, version.format)
    examples = formats.read_examples(
        storage.parquet_path(version.id), format_, mapping or None, first=offset + 1
    )
    return list(islice(examples, limit))


def training_report(user: User, version_id: str, mapping: Mapping[str, str] | None = None) -> TrainingReport:
    """Whether a version trains as it is (stored), or under a mapping (read now, all rows)."""
    version = _ready(user, version_id)
    if not mapping and version.training and version.format == "table":
        return TrainingReport(**version.training)
    format_ = formats.mapped(version.columns, mapping, version.format)
    if stored := _stored(version, format_, mapping):
        return TrainingReport(**stored)
    return TrainingReport(
        **converter.training_report(
            storage.parquet_path(version.id), format_.name, dict(mapping or {}) or None
        )
    )


def _stored(
    version: Version, format_: formats.Format, mapping: Mapping[str, str] | None
) -> dict[str, Any] | None:
    """The report about all rows, if it is about rows read in this way."""
    report = version.training
    return report if report and not mapping and report.get("format") == format_.name else None


def _ready(user: User, version_id: str) -> Version:
    version = looking.get_version(user, version_id)
    rows.require_readable(version)
    return version
