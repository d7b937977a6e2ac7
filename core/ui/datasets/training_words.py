"""Whether a version can be learned, and why (not), in the words
that the list, the training view and the "Use it" tab share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core import formats
from core.ui import show
from core.ui.datasets import column_mapping

Tone = Literal["good", "map", "bad", "busy", "failed"]


@dataclass(frozen=True)
class Verdict:
    """``state`` is two or three words, ``why`` a sentence
    as plain text: a user's names in it are not markdown."""

    tone: Tone
    state: str
    why: str


def judge(
    format_: str, columns: Sequence[Mapping[str, str]], report: Mapping[str, Any] | None, num_rows: int
) -> Verdict:
    """Of a ready version with these columns; ``report`` is its training report."""
    if not num_rows:
        return Verdict("bad", "Does not train", "It has no rows.")
    if not formats.FORMATS[format_].trainable or report is None:
        return Verdict("map", "Trains once mapped", _mapping_advice([column["name"] for column in columns]))
    if not report["ok"]:
        return Verdict("bad", "Does not train", _first_problem(report, num_rows))
    title = formats.FORMATS[format_].title
    return Verdict("good", "Trains as it is", f"{title}: {show.count(report['num_examples'], 'example')}.")


def _mapping_advice(names: Sequence[str]) -> str:
    shape = column_mapping.guess_format(names)
    guessed = column_mapping.guess_columns(shape, names)
    needed = [role.name for role in shape.roles if role.required]
    if all(role in guessed for role in needed):
        return (
            f"Table: {' and '.join(f'“{guessed[role]}”' for role in needed)} look like {shape.title.lower()}."
        )
    return "Table: say which column is the question and which the answer."


def _first_problem(report: Mapping[str, Any], num_rows: int) -> str:
    bad = report.get("num_errors") or num_rows - report["num_examples"]
    text, title = (
        f"{show.count(bad, 'row')} cannot be learned",
        formats.FORMATS[report["format"]].title.lower(),
    )
    first = next(iter(report["errors"]), None)
    if first is not None and first.get("line") is not None:
        text += f": row {first['line']:,}, {first['field']} {first['message']}"
    return f"{text}. Read as {title}."
