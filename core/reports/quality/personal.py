"""Possible personal data: e-mail addresses, phone numbers, payment cards, bank accounts, internet addresses.

A pattern alone finds too much (a phone pattern had 15,350 false hits in real tables), so every hit is
validated, and what people use for other things is left out: order numbers, versions, file names, times,
coordinates. Cells that hold nothing but digits count only where at least half of their column is valid: one
in fifty random numbers looks like a card. Nothing whole is ever shown.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

import numpy as np
from stdnum import iban, luhn

from core.reports.quality.base import (
    Check,
    Finding,
    QualityColumn,
    Severity,
    Tally,
    TextBatch,
    Watcher,
    found,
)
from core.reports.quality.phones import CALLED_PHONE, is_national, phones
from core.reports.quality.texts import matching
from core.sql_types import is_decimal

LARGE_NUMBER = 10**12  # numbers below cannot be a card's
DIGITS = r"^\s*\d{7,19}\s*$"
LEAST_SHARE = 0.5
MAX_HITS = 20  # in one text

Span = tuple[int, int, str]  # where it begins and ends, and how it is shown
Find = Callable[[str], Iterator[Span]]

_EMAIL = re.compile(
    r"(?<![\w.+-])([A-Za-z0-9][\w.+-]{0,63})"
    r"@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+([A-Za-z]{2,24}))(?![\w@])"
)
_FILES = frozenset(
    (
        "png jpg jpeg gif svg webp ico css js mjs ts map html htm json md txt pdf zip gz exe dll so py rb go"
    ).split()
)
_CARD = re.compile(r"(?<![\w.,+/-])\d(?:[ -]?\d){12,18}(?![\w/-]|[.,]\d)")
_GROUPS = re.compile(r"\d{13,19}|\d{4}([ -])(?:\d{4}\1){2}\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
_IP4 = re.compile(
    r"(?<![\w.-])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w-]|\.\d)"
)
_IP6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){3,7}[0-9A-Fa-f]{0,4}(?![\w:.])")
_VERSION = re.compile(
    r"(?:\bv|\bver\.?|\bversion|\brelease|\bbuild|\bfirmware|§|\bsection|\bchapter)\s*$", re.IGNORECASE
)
_SMALL_OCTET = 20  # 1.2.3.4 is the number of a version or a chapter


def emails(text: str) -> Iterator[Span]:
    for hit in _EMAIL.finditer(text):
        if hit[3].lower() not in _FILES and ".." not in hit[1]:
            yield hit.start(), hit.end(), f"{hit[1][0]}•••@{hit[2][0]}•••.{hit[3]}"


def cards(text: str) -> Iterator[Span]:
    for hit in _CARD.finditer(text):
        digits = re.sub(r"\D", "", hit[0])
        if _GROUPS.fullmatch(hit[0]) and is_card(digits):
            yield hit.start(), hit.end(), f"•••• •••• •••• {digits[-4:]}"


def is_card(digits: str) -> bool:
    """Length and first digits of a network (ISO/IEC 7812), and the check digit."""
    size, two, four = len(digits), int(digits[:2]), int(digits[:4])
    of_network = (
        (digits[0] == "4" and size in (13, 16, 19))
        or (size == 16 and (51 <= two <= 55 or 2221 <= four <= 2720))
        or (size == 15 and two in (34, 37))
        or (
            16 <= size <= 19
            and (four == 6011 or two == 65 or 6440 <= four <= 6499 or two == 62 or 3528 <= four <= 3589)
        )
        or (14 <= size <= 19 and (two in (36, 38, 39) or 3000 <= four <= 3059))
    )
    return of_network and luhn.is_valid(digits)


def ibans(text: str) -> Iterator[Span]:
    for hit in _IBAN.finditer(text):
        # words in capitals may follow: the longest start that is valid
        for end in range(len(hit[0]), 14, -1):
            candidate = hit[0][:end]
            if candidate[-1] != " " and not hit[0][end : end + 1].isalnum() and iban.is_valid(candidate):
                yield hit.start(), hit.start() + end, f"{candidate[:2]}•• •••• •••• {candidate[-2:]}"
                break


def addresses(text: str) -> Iterator[Span]:
    """Public ones: an address within a network says nothing about a person."""
    for hit in _IP4.finditer(text):
        octets = hit[0].split(".")
        is_version = all(int(octet) < _SMALL_OCTET for octet in octets) or _VERSION.search(
            text[max(0, hit.start() - 12) : hit.start()]
        )
        if not is_version and _is_public(hit[0]):
            yield hit.start(), hit.end(), f"{octets[0]}.{octets[1]}.•.•"
    for hit in _IP6.finditer(text):
        if _is_public(hit[0]):
            yield hit.start(), hit.end(), f"{hit[0].split(':')[0]}:•••"


def _is_public(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


@dataclass(frozen=True)
class PersonalKind:
    """One kind of personal data. ``likely`` (RE2) chooses the texts that ``find`` looks at more closely."""

    name: str
    title: str
    severity: Severity
    likely: str
    find: Find


_HELP = (
    "Valid by its form and check digits, but it may still be something else. Whoever can read this data, "
    "and every model trained on it, may learn it. Remove or replace it unless it has to be there."
)
_PHONE = r"\+\s?\(?\d|\(\d{3}\)|\d{3}[-.]\d{3}[-.]\d{4}"
KINDS = (
    PersonalKind("email", "E-mail addresses", "warn", "[A-Za-z0-9]@[A-Za-z0-9]", emails),
    PersonalKind("phone", "Phone numbers", "warn", _PHONE, phones),
    PersonalKind("card", "Payment card numbers", "bad", r"\d(?:[ -]?\d){12}", cards),
    PersonalKind("iban", "Bank accounts (IBAN)", "bad", r"\b[A-Z]{2}\d{2} ?[A-Z0-9]{4}", ibans),
    PersonalKind(
        "ip", "Internet addresses (IP)", "warn", r"\d\.\d{1,3}\.\d{1,3}\.\d|:[0-9A-Fa-f]{0,4}:", addresses
    ),
)


def masked(text: str) -> str:
    """The text with everything that looks like personal data covered, for examples of whatever kind."""
    for kind in KINDS:
        for start, end, shown in sorted(kind.find(text), reverse=True):
            text = text[:start] + shown + text[end:]
    return text


class PersonalWatcher:
    """One kind of personal data in one column."""

    def __init__(self, kind: PersonalKind, column: QualityColumn) -> None:
        self.kind, self.column = kind, column
        self.tally = Tally()
        self.digits = (
            _DigitCells(kind.name, column) if kind.name in ("card", "phone") and column.is_plain else None
        )

    def look(self, batch: TextBatch) -> None:
        if self.digits is not None:
            self.digits.look(batch)
        mask = matching(batch.values, self.kind.likely)
        if self.digits is not None:
            mask &= ~matching(batch.values, DIGITS)
        shown: list[str] = []
        for at in np.flatnonzero(mask):
            hit = next(self.kind.find(batch.values[at].as_py()), None)
            if hit is None:
                mask[at] = False
            else:
                shown.append(hit[2])
        self.tally.add(batch.lines_of(mask), shown)

    def findings(self, num_rows: int) -> Iterator[Finding]:
        if self.digits is not None and self.digits.are_meant():
            lines = np.array(self.digits.tally.lines, np.int64)
            self.tally.add(lines, self.digits.tally.examples)
            self.tally.num_rows += self.digits.tally.num_rows - len(lines)
        if self.tally.num_rows:
            kind = self.kind
            yield found(
                kind.name,
                self.column,
                self.tally,
                title=kind.title,
                severity=kind.severity,
                help=_HELP,
                num_rows=num_rows,
            )


class _DigitCells:
    """Cells of nothing but digits, which mean something only if most of their column does."""

    def __init__(self, kind: str, column: QualityColumn) -> None:
        self.kind, self.tally, self.num_cells = kind, Tally(), 0
        self.is_likely = kind == "card" or bool(CALLED_PHONE.search(column.name))

    def look(self, batch: TextBatch) -> None:
        if not self.is_likely:
            return
        mask = matching(batch.values, DIGITS)
        self.num_cells += int(mask[batch.at].sum())
        shown = []
        for at in np.flatnonzero(mask):
            digits = batch.values[at].as_py().strip()
            mask[at] = len(digits) >= 13 and is_card(digits) if self.kind == "card" else is_national(digits)
            if mask[at]:
                shown.append(
                    "•••• •••• •••• " + digits[-4:] if self.kind == "card" else "••••••" + digits[-2:]
                )
        self.tally.add(batch.lines_of(mask), shown)

    def are_meant(self) -> bool:
        return self.tally.num_rows >= max(1, LEAST_SHARE * self.num_cells)


def _check(kind: PersonalKind) -> Callable[[QualityColumn], Watcher | None]:
    return lambda column: PersonalWatcher(kind, column)


def may_hold(column: QualityColumn) -> bool:
    """Whole numbers that may be a card's or, by their name, a phone's."""
    if column.type not in ("BIGINT", "UBIGINT") and not is_decimal(column.type):
        return False
    most = column.profile.get("max")
    return bool(CALLED_PHONE.search(column.name)) or (isinstance(most, int) and most >= LARGE_NUMBER)


CHECKS: tuple[Check, ...] = tuple(_check(kind) for kind in KINDS)
NUMBER_CHECKS: tuple[Check, ...] = tuple(_check(kind) for kind in KINDS if kind.name in ("card", "phone"))
