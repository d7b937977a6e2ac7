"""Phone numbers in texts: only those that a numbering plan knows, in a form that people write."""

import re
from collections.abc import Iterator

import phonenumbers
from phonenumbers import NumberParseException

CALLED_PHONE = re.compile(
    r"phone|telef|mobil|handy|fax|whatsapp|(?<![a-z])(tel|cell)(?![a-z])", re.IGNORECASE
)
# tried where a column is called a phone number
REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "AU", "BR", "JP")
_DECIMAL = re.compile(r"\+\d+\.\d+")  # a coordinate with its sign
# North America's form is told from order numbers by its separators; bare digits and spaces are not enough.
_AMERICAN = re.compile(
    r"(?<![\w.+/-])(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}([-.]))\d{3}(?(1)\1|[-.])\d{4}(?![\w/-]|\.\d)"
)
_INTERNATIONAL = re.compile(r"(?<![\w+=*^)])\+\s?\(?\d(?:[\s()./-]{0,2}\d){6,14}(?!\w)")

Span = tuple[int, int, str]


def phones(text: str) -> Iterator[Span]:
    """International ones (+49 …) of any country, and North American ones in their usual form."""
    for hit in _INTERNATIONAL.finditer(text):
        if not _DECIMAL.fullmatch(hit[0]):
            number = _valid(hit[0], None)
            if number is not None:
                yield (
                    hit.start(),
                    hit.end(),
                    f"+{number.country_code} •••••{str(number.national_number)[-2:]}",
                )
    for hit in _AMERICAN.finditer(text):
        number = _valid(hit[0], "US")
        if number is not None:
            yield hit.start(), hit.end(), f"(•••) •••-••{hit[0][-2:]}"


def is_national(digits: str) -> bool:
    """Whether the digits are a number somewhere; ask only where a column says that it holds phone numbers."""
    return any(_valid(digits, region) is not None for region in REGIONS)


def _valid(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None
