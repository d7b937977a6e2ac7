"""A fine-tuning as a YAML file: what the form downloads and takes,
what a job says of itself, what the command line runs.

The file has the fields of :class:`~core.fine_tuning.starting.NewJob` and nothing else, each under its own
help. Reading is strict: a field that does not exist, stands twice or has a wrong value is an error that names
the field and its line. An idempotency key belongs to one press of a button, so it is never in a file. Read
with the safe parts of YAML only; aliases are refused, since a few bytes of them can stand for gigabytes, and
so is deep nesting, which takes the longer the deeper it goes: 5,000 brackets took eight seconds.
"""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import BaseModel

from core.errors import Detail, ValidationError
from core.fields import parse
from core.fine_tuning.starting import NewJob
from core.fine_tuning.values import Job
from core.training import Hyperparameters

MAX_CHARACTERS, MAX_LEVELS = 100_000, 20
COMMENT_WIDTH = 110
LEFT_OUT = ("idempotency_key", "copied_from")  # they belong to one start
HEAD = "A fine-tuning of Luthier: load this file in the form, or give it to the command line."


def to_yaml(new: NewJob) -> str:
    """The request as a file that ``from_yaml`` reads back, with each field's help as a comment."""
    values = new.model_dump(exclude=set(LEFT_OUT))
    lines = [*_comment(HEAD), ""]
    for name, value in values.items():
        if name != "hyperparameters":
            lines += _entry(name, value, NewJob.model_fields[name].description)
    return "\n".join([*lines, *_settings_lines(values["hyperparameters"])]) + "\n"


def from_yaml(text: str) -> NewJob:
    """Raises ValidationError: with the line for what is no YAML,
    with field and line for unknown, double and wrong fields."""
    if len(text) > MAX_CHARACTERS:
        raise ValidationError.of("file", f"is longer than {MAX_CHARACTERS:,} characters")
    lines: dict[str, int] = {}
    values = _values(text, lines)
    unknown = _unknown(values)
    if unknown:
        raise ValidationError(
            details=[_with_line(Detail(name, "there is no such setting"), lines) for name in unknown]
        )
    try:
        return parse(NewJob, **values)
    except ValidationError as error:
        raise ValidationError(details=[_with_line(detail, lines) for detail in error.details]) from error


def of_job(job: Job) -> NewJob:
    """The request that would start the same job again, its seed included.

    Raises ValidationError when its base or data is gone.
    """
    fields = {
        name: getattr(job, name)
        for name in NewJob.model_fields
        if hasattr(job, name) and name not in ("hyperparameters", *LEFT_OUT)
    }
    for name in ("base_model_id", "dataset_id"):
        if fields[name] is None:
            raise ValidationError.of(name, "was deleted, so this job cannot be repeated")
    if job.validation_dataset_id:
        fields["validation_fraction"] = 0.0
    known = {name: value for name, value in job.asked.items() if name in Hyperparameters.model_fields}
    return parse(NewJob, **fields, hyperparameters=known)


def _settings_lines(chosen: Mapping[str, Any]) -> Iterator[str]:
    yield "hyperparameters:"
    section = ""
    for name, value in chosen.items():
        field = Hyperparameters.model_fields[name]
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        if extra.get("section") != section:
            section = str(extra.get("section"))
            yield from ("", f"  # --- {section} ---")
        methods = extra.get("methods")
        only = (
            f" Only for {' and '.join(map(str, methods))}." if isinstance(methods, list) and methods else ""
        )
        yield from (f"  {line}" for line in _entry(name, value, f"{field.description}{only}")[:-1])


def _entry(name: str, value: Any, help: str | None) -> list[str]:
    """Comment, field, empty line."""
    written = yaml.safe_dump(
        {name: value}, allow_unicode=True, default_flow_style=False, sort_keys=False, width=10_000
    )
    return [*_comment(help or ""), *written.rstrip("\n").split("\n"), ""]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, COMMENT_WIDTH)]


def _values(text: str, lines: dict[str, int]) -> dict[str, Any]:
    """The document as a dictionary; ``lines`` gets the line of every field by its dotted name."""
    try:
        _require_plain(text)
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        _note_lines(document, "", lines)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValidationError.of("file", f"is not YAML{_place(error)}") from error
    if not isinstance(values, dict):
        raise ValidationError.of("file", "must be a list of settings, such as “method: supervised”")
    return {str(name): value for name, value in values.items()}


def _require_plain(text: str) -> None:
    level = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValidationError.of("file", "must not use YAML aliases (*name)")
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > MAX_LEVELS:
            raise ValidationError.of("file", f"must not nest more than {MAX_LEVELS} levels deep")


def _note_lines(node: Any, name: str, lines: dict[str, int]) -> None:
    """Raises ValidationError for a field that stands twice: which one counts would be a guess."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = f"{name}.{key.value}" if name else str(key.value)
            line = key.start_mark.line + 1
            if inner in lines:
                raise ValidationError(
                    details=[Detail(inner, f"stands twice, in lines {lines[inner]} and {line}")]
                )
            lines[inner] = line
            _note_lines(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            lines[f"{name}[{number}]"] = value.start_mark.line + 1
            _note_lines(value, f"{name}[{number}]", lines)


def _unknown(values: Mapping[str, Any]) -> list[str]:
    settings = values.get("hyperparameters")
    inner = _not_in(Hyperparameters, settings, ()) if isinstance(settings, dict) else []
    return [*_not_in(NewJob, values, LEFT_OUT), *(f"hyperparameters.{name}" for name in inner)]


def _not_in(model: type[BaseModel], values: Mapping[Any, Any], left_out: tuple[str, ...]) -> list[str]:
    return [str(name) for name in values if name not in model.model_fields or name in left_out]


def _with_line(detail: Detail, lines: Mapping[str, int]) -> Detail:
    line = lines.get(detail.field)
    return Detail(detail.field, f"{detail.message} (line {line})") if line else detail


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f": line {mark.line + 1}, {getattr(error, 'problem', None) or 'cannot be read'}" if mark else ""
