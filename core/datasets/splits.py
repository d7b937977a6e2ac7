"""Train, validation and test parts of a version, cut by what is
in the rows: equal rows are always in the same part.

A row's place is the MD5 of the seed and its content, never its number: the same row falls into the same part
in every version, under every DuckDB. ``by`` narrows what counts as content: rows that are equal in these
columns stay together. Stratified, each value of a column is cut by itself: contents are ordered by that hash
and cut at the shares, so that every part has its share of every value; which part a row is in then depends on
the rows beside it, and ``by`` holds within one value only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import storage
from core.datasets import looking, results, rows
from core.datasets.results import Result
from core.datasets.scratch import Scratch, parquet, scratch
from core.datasets.values import Dataset, Version
from core.errors import ValidationError
from core.fields import Input
from core.people.users import User
from core.readers.base import literal, quoted
from core.sql_types import FLOATS
from core.tables import DatasetRow, DatasetVersionRow, VersionParentRow

PARTS = ("train", "validation", "test")
SECONDS = 600.0
MOST_STRATA = 1000
LISTED_STRATA = 20
LARGEST_HASH = 2**64


class NewSplit(Input):
    """How to cut. The shares must add up to 1; a part with share 0 is not made."""

    train: float = Field(0.8, ge=0, le=1, allow_inf_nan=False, title="Train")
    validation: float = Field(0.1, ge=0, le=1, allow_inf_nan=False, title="Validation")
    test: float = Field(0.1, ge=0, le=1, allow_inf_nan=False, title="Test")
    seed: int = Field(
        0, ge=0, le=2**31 - 1, title="Seed", description="The same seed cuts the same rows the same way."
    )
    stratify: str | None = Field(None, title="Same shares of each", description="A column with few values.")
    by: list[str] = Field(
        default_factory=list,
        max_length=100,
        title="Keep together",
        description="Equal rows; empty: all columns.",
    )

    @model_validator(mode="after")
    def _shares_are_whole(self) -> "NewSplit":
        if abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError("the shares must add up to 1")
        if len(self.shares) < 2:
            raise ValueError("at least two parts need a share")
        return self

    @property
    def shares(self) -> dict[str, float]:
        return {part: share for part in PARTS if (share := getattr(self, part)) > 0}


@dataclass(frozen=True)
class SplitCounts:
    """Rows per part; ``strata``: the same per value of the stratified column,
    the commonest first: {"value", part: rows …}."""

    rows: dict[str, int]
    strata: list[dict[str, Any]]


def count_split(user: User, version_id: str, new: NewSplit) -> SplitCounts:
    """What :func:`split` would make.

    Raises NotFound, Conflict, ValidationError, QueryTimeout, RateLimited.
    """
    source = _source(user, version_id, new)
    with scratch(SECONDS, of=[source.id]) as work:
        _assign(work, source, new)
        return _count(work, new)


def split(user: User, version_id: str, new: NewSplit) -> list[Dataset]:
    """Make a dataset per part, named ``<name> train`` and so on,
    or their next versions when the same source was split before.

    Raises as :func:`count_split` does, ValidationError for a part without rows, and what making versions
    raises.
    """
    source = _source(user, version_id, new)
    name = looking.get(user, source.dataset_id).name
    staged = {part: storage.new_staging_path() for part in new.shares}
    try:
        with scratch(SECONDS, of=[source.id]) as work:
            _assign(work, source, new)
            counts = _count(work, new).rows
            if empty := [part for part, count in counts.items() if not count]:
                raise ValidationError.of(empty[0], "would have no rows: give it a larger share")
            _write(work, source, staged)
        return _keep(user, source, name, new, staged)
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)


def _source(user: User, version_id: str, new: NewSplit) -> Version:
    source = looking.get_version(user, version_id)
    rows.require_readable(source)
    known = {column["name"] for column in source.columns}
    for field, names in (("by", new.by), ("stratify", [new.stratify] if new.stratify else [])):
        if unknown := [name for name in names if name not in known]:
            raise ValidationError.of(field, f"there is no column {unknown[0][:100]!r}")
    return source


def _assign(work: Scratch, source: Version, new: NewSplit) -> None:
    """The table ``parts``: (line, part, stratum); part counts from 0 among those with a share."""
    stratum = f"{quoted(new.stratify)}::VARCHAR" if new.stratify else "NULL::VARCHAR"
    hashed = (
        f"SELECT file_row_number AS line, {stratum} AS stratum, "
        f"md5_number_lower({literal(f'{new.seed}:')} || {_content(source, new.by)}) AS h "
        f"FROM {parquet(source.id)}"
    )
    if not new.stratify:
        work.run(f"CREATE TEMP TABLE parts AS SELECT line, {_cut(new)} AS part, stratum FROM ({hashed})")
        return
    work.run(f"CREATE TEMP TABLE hashed AS {hashed}")
    if work.one("SELECT count(DISTINCT stratum) FROM hashed")[0] > MOST_STRATA:
        raise ValidationError.of(
            "stratify", f"has more than {MOST_STRATA:,} different values: choose a column with few"
        )
    so_far = [round(sum(list(new.shares.values())[: n + 1]), 9) for n in range(len(new.shares) - 1)]
    places = ", ".join(map(str, so_far))
    work.run(
        f"CREATE TEMP TABLE cuts AS SELECT stratum, quantile_disc(h, [{places}]) AS q FROM hashed "
        f"GROUP BY stratum"
    )
    cases = " ".join(f"WHEN h <= q[{n + 1}] THEN {n}" for n in range(len(so_far)))
    work.run(
        f"CREATE TEMP TABLE parts AS SELECT line, CASE {cases} ELSE {len(so_far)} END "
        f"AS part, hashed.stratum "
        "FROM hashed JOIN cuts ON hashed.stratum IS NOT DISTINCT FROM cuts.stratum"
    )


def _content(source: Version, by: Sequence[str]) -> str:
    """A row as JSON, columns by name, so that their order says nothing; minus zero is zero."""
    columns = sorted((c["name"], c["type"]) for c in source.columns if not by or c["name"] in by)
    cells = ", ".join(
        f"{quoted(name)} := {quoted(name)}{' + 0.0' if type_ in FLOATS else ''}" for name, type_ in columns
    )
    return f"to_json(struct_pack({cells}))::VARCHAR"


def _cut(new: NewSplit) -> str:
    """SQL for the number of the part of a row whose hash is ``h``."""
    so_far, cases = 0.0, ""
    for n, share in enumerate(list(new.shares.values())[:-1]):
        so_far += share
        cases += f"WHEN h < {round(so_far * LARGEST_HASH)} THEN {n} "
    return f"CASE {cases}ELSE {len(new.shares) - 1} END"


def _count(work: Scratch, new: NewSplit) -> SplitCounts:
    names = list(new.shares)
    each = ", ".join(f"count(*) FILTER (part = {n})" for n in range(len(names)))
    counts = dict(zip(names, work.one(f"SELECT {each} FROM parts"), strict=True))
    if not new.stratify:
        return SplitCounts(counts, [])
    strata = work.run(
        f"SELECT stratum, {each} FROM parts GROUP BY stratum ORDER BY count(*) DESC, stratum "
        f"LIMIT {LISTED_STRATA}"
    )
    return SplitCounts(
        counts,
        [{"value": value, **dict(zip(names, numbers, strict=True))} for value, *numbers in strata],
    )


def _write(work: Scratch, source: Version, staged: dict[str, Path]) -> None:
    """In the order of the source: one thread, and no join is turned round."""
    work.use_one_thread()
    work.run("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    cells = ", ".join(f"d.{quoted(column['name'])}" for column in source.columns)
    for n, path in enumerate(staged.values()):
        work.run(
            f"COPY (SELECT {cells} FROM {parquet(source.id)} d SEMI JOIN (SELECT line FROM parts "
            f"WHERE part = {n}) p "
            f"ON p.line = d.file_row_number) TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd)"
        )


def _keep(user: User, source: Version, name: str, new: NewSplit, staged: dict[str, Path]) -> list[Dataset]:
    """All parts or, when one fails, none."""
    parts = [
        Result(
            path,
            origin="split",
            note=f"{new.shares[part]:.3g} of version {source.version}, seed {new.seed}",
            options={"split": {"part": part, "source": source.dataset_id, **new.model_dump()}},
        )
        for part, path in staged.items()
    ]

    def place(session: Session, result: Result) -> Result:
        """Two splits at once see each other's parts, or none of them."""
        rows.lock(session, user.id, source.dataset_id)
        part = result.options["split"]["part"]
        known = _part_of(session, user, source.dataset_id, part)
        if known:
            return replace(result, dataset_id=known)
        free = rows.free_name(session, user.id, f"{name} {part}")
        return replace(result, name=free, description=f"The {part} part of {name}."[:2000])

    return [dataset for dataset, _ in results.keep(user, parts, parents=[source.id], place=place)]


def _part_of(session: Session, user: User, source_id: str, part: str) -> str | None:
    """The dataset that an earlier split of this source made for this part."""
    version = DatasetVersionRow
    parents = select(VersionParentRow.version_id).join(version, version.id == VersionParentRow.parent_id)
    statement = (
        select(version.dataset_id, version.options)
        .join(DatasetRow, DatasetRow.id == version.dataset_id)
        .where(
            DatasetRow.owner_id == user.id,
            version.origin == "split",
            version.id.in_(parents.where(version.dataset_id == source_id)),
        )
        .order_by(version.created_at.desc())
    )
    return next(
        (
            dataset_id
            for dataset_id, options in session.execute(statement)
            if options.get("split", {}).get("part") == part
        ),
        None,
    )
