"""What is said about rows that a training cannot learn from, or not as asked: with counts, the cause and what
would help. The report of a version, the plan of a job, its preview, its events and its failure use these.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WHY_ONE_SIDE = "and rows that are equal always stay on one side"
_TOLD_FROM = 0.1  # a share kept for validation that differs by no more of what was asked is as good


@dataclass(frozen=True)
class CutAway:
    """Rows of which everything to learn lies beyond the longest row.

    ``reach``: tokens of a longest row with which the first of them has something to learn. ``most``: with
    which nine in ten of them are whole, ``all_``: with which all are.
    """

    num_rows: int
    reach: int
    most: int
    all_: int

    @classmethod
    def of(cls, needed: Sequence[tuple[int, int]]) -> "CutAway | None":
        """``needed``: (tokens up to its first learned one, all its tokens) of each such row."""
        if not needed:
            return None
        whole = sorted(size for _, size in needed)
        most = whole[max(0, -(-len(whole) * 9 // 10) - 1)]
        return cls(len(needed), min(reach for reach, _ in needed), most, whole[-1])


def count(n: int, noun: str) -> str:
    """``1 row``, ``7,473 rows``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def share(some: int, all_: int, *, are_first: bool = False) -> str:
    """``1 of 4 rows``; ``are_first``: there are more, which nobody looked at."""
    return f"{some:,} of {'the first ' if are_first else ''}{count(all_, 'row')}"


def no_weight(some: int, all_: int, *, are_first: bool = False) -> str:
    """About rows of which no answer may be learned."""
    has, its, it = ("has", "its", "it") if some == 1 else ("have", "their", "them")
    rows = share(some, all_, are_first=are_first)
    return (
        f"{rows} {has} weight 0 on all {its} answers: nothing of {it} is learned. Give answers that are to "
        "be learned weight 1, or set the loss on all."
    )


def nothing_left(some: int, all_: int) -> str:
    """About rows with nothing to learn for other causes: a text of one token, a template without answers."""
    return f"Nothing is learned of {share(some, all_)}."


def why_empty(
    away: CutAway | None,
    *,
    num_empty: int,
    num_unweighted: int,
    num_rows: int,
    max_length: int,
    context_length: int | None = None,
) -> list[str]:
    """A sentence for each cause for which ``num_empty`` of ``num_rows`` have nothing to learn.

    ``context_length``: tokens that the base can read, where it is known.
    """
    why = []
    if away:
        why.append(cut_away(away, max_length=max_length, context_length=context_length))
    if num_unweighted:
        why.append(no_weight(num_unweighted, num_rows))
    others = num_empty - num_unweighted - (away.num_rows if away else 0)
    return [*why, nothing_left(others, num_rows)] if others else why


def same_answers(some: int, all_: int, *, are_first: bool = False) -> str:
    """About preferences whose two answers are the same."""
    told = f"Both answers are the same in {share(some, all_, are_first=are_first)}: nothing tells them apart"
    return f"{told}, so there is nothing to learn." if some == all_ else f"{told}."


def were_cut(n: int, *, max_length: int) -> str:
    is_, was = ("is", "was") if n == 1 else ("are", "were")
    return f"{count(n, 'row')} {is_} longer than {count(max_length, 'token')} and {was} cut."


def cut_away(rows: CutAway, *, max_length: int, context_length: int | None = None) -> str:
    """``context_length``: tokens that the base can read, where it is known."""
    is_, its, has = ("is", "its", "has") if rows.num_rows == 1 else ("are", "their", "have")
    told = (
        f"{count(rows.num_rows, 'row')} {is_} cut at {count(max_length, 'token')}, before {its} answer "
        f"begins, and {has} nothing to learn."
    )
    if context_length is not None and rows.most > context_length:
        return f"{told} {_too_long_for(rows, context_length)}"
    if rows.most == rows.all_:
        return f"{told} A longest row of {rows.all_:,} tokens would hold {_them(rows)} whole."
    return (
        f"{told} A longest row of {rows.most:,} tokens would hold most of them whole, of {rows.all_:,} all."
    )


def _them(rows: CutAway) -> str:
    return "it" if rows.num_rows == 1 else "them"


def _too_long_for(rows: CutAway, context_length: int) -> str:
    told = f"The base reads {context_length:,} tokens at most: shorten the rows, or choose another base."
    if rows.reach > context_length:
        return told
    return f"{told} A longest row of {rows.reach:,} tokens or more reaches the first answers."


def too_few(some: int, all_: int, *, fewest: int, why: Sequence[str], kept: int = 0) -> str:
    """About rows that together leave too little to start with. ``kept``: for validation."""
    has, is_ = ("has", "is") if some == 1 else ("have", "are")
    what = f"{is_} left to learn" if kept else f"{has} something to learn"
    told = [f"Only {share(some, all_)} {what}; at least {fewest:,} are needed.", *why]
    if kept:
        told.append(f"{count(kept, 'row')} {'is' if kept == 1 else 'are'} kept for validation.")
    return " ".join(told)


def kept_otherwise(kept: int, *, asked: int, num_rows: int, num_distinct: int) -> str | None:
    """About rows kept for validation that are not as many as asked for, since some are equal; else None.

    ``num_distinct``: how many different ones there are among ``num_rows``.
    """
    if asked == 0 or num_distinct == num_rows or abs(kept - asked) <= _TOLD_FROM * asked:
        return None
    if num_distinct == 1:
        return (
            f"No row could be kept for validation: all {count(num_rows, 'row')} are the same, "
            f"{WHY_ONE_SIDE}. There will be no validation loss."
        )
    is_ = "is" if kept == 1 else "are"
    different = f"of {count(num_rows, 'row')} only {num_distinct:,} are different, {WHY_ONE_SIDE}"
    return f"{count(kept, 'row')} {is_} kept for validation instead of {asked:,}: {different}."


def unsure_split(*, asked: int, num_rows: int, num_distinct: int) -> str | None:
    """Before a start: that about a share kept for validation, as far as it is known then."""
    if asked == 0 or num_distinct >= (1 - _TOLD_FROM) * num_rows:
        return None
    if num_distinct == 1:
        return kept_otherwise(0, asked=asked, num_rows=num_rows, num_distinct=1)
    different = f"Of {count(num_rows, 'row')} only {num_distinct:,} are different, {WHY_ONE_SIDE}"
    return f"{different}: more or fewer than {asked:,} may be kept for validation."
