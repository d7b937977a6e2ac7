"""What calamine does not tell of a workbook's sheet: formulas without a stored result, error values, and
numbers that are shown with zeros in front.

The first two are empty cells to it. All stand in the sheet's XML, which is read in pieces and never parsed as
one.
"""

import html
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PIECE = 1 << 20
LONGEST_CELL = 1 << 17
_SHEET = re.compile(rb"<sheet\b[^>]*>")
_LINK = re.compile(rb"<Relationship\b[^>]*>")
_CELL = re.compile(rb"<c\b([^>]*?)(?:/>|>(.*?)</c>)", re.DOTALL)
_FORMAT = re.compile(rb"<numFmt\b[^>]*>")
_STYLES = re.compile(rb"<cellXfs\b.*?</cellXfs>", re.DOTALL)
_STYLE = re.compile(rb"<xf\b[^>]*>")
_ZEROS = re.compile("0{2,}")  # a format such as 00000
_RESULT = re.compile(rb"<v>[^<]|<is>")


def sentences(path: Path, sheet: str) -> list[str]:
    """About the cells of a sheet of an .xlsx that are empty though something stands there, or that are shown
    otherwise than they are."""
    errors: Counter[str] = Counter()
    formulas: Counter[str] = Counter()
    padded: Counter[str] = Counter()
    try:
        with zipfile.ZipFile(path) as archive:
            member = _member_of(archive, sheet)
            styles = _padding_styles(archive)
            for attributes, content in _cells(archive, member, styles) if member else ():
                column = _attribute(attributes, "r").rstrip("0123456789")
                if _attribute(attributes, "t") == "e":
                    errors[column] += 1
                elif b"<f" in content and not _RESULT.search(content):
                    formulas[column] += 1
                elif _attribute(attributes, "s").encode() in styles and b"<v>" in content:
                    padded[column] += _attribute(attributes, "t") in ("", "n")
    except (KeyError, zipfile.BadZipFile, NotImplementedError):
        return []  # of an odd layout, which calamine could read all the same
    told = []
    if errors:
        told.append(
            f"{_count(errors)} of errors such as #DIV/0! became empty, in column {_columns(errors)}. "
            "Mend the formulas if values are missed."
        )
    if formulas:
        told.append(
            f"{_count(formulas)} of formulas without a stored result are empty, in column "
            f"{_columns(formulas)}. Open the workbook in a spreadsheet program, save it and upload it again."
        )
    if +padded:
        told.append(
            "Shown with zeros in front in the workbook, and read as the numbers that they are: column "
            f"{_columns(+padded)}."
        )
    return told


def _padding_styles(archive: zipfile.ZipFile) -> set[bytes]:
    """The numbers of the cell styles that show zeros in front of a number."""
    if "xl/styles.xml" not in archive.namelist():
        return set()
    styles = archive.read("xl/styles.xml")
    formats = {
        _attribute(found, "numFmtId")
        for found in _FORMAT.findall(styles)
        if _ZEROS.fullmatch(_attribute(found, "formatCode"))
    }
    block = _STYLES.search(styles)
    found_styles = _STYLE.findall(block[0]) if block and formats else []
    return {
        str(place).encode()
        for place, style in enumerate(found_styles)
        if _attribute(style, "numFmtId") in formats
    }


def _member_of(archive: zipfile.ZipFile, sheet: str) -> str | None:
    """The file of a sheet, by the workbook's own table."""
    ids = {
        html.unescape(_attribute(found, "name")): _attribute(found, "r:id")
        for found in _SHEET.findall(archive.read("xl/workbook.xml"))
    }
    targets = {
        _attribute(found, "Id"): _attribute(found, "Target")
        for found in _LINK.findall(archive.read("xl/_rels/workbook.xml.rels"))
    }
    target = targets.get(ids.get(sheet, ""), "")
    if not target:
        return None
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def _cells(archive: zipfile.ZipFile, member: str, styles: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Attributes and content of the cells of each piece in which one may be worth telling of."""
    marks = [b"<f", b't="e"', *(b's="' + style + b'"' for style in styles)]
    with archive.open(member) as file:
        rest = b""
        while piece := file.read(PIECE):
            text = rest + piece
            end = text.rfind(b"</c>") + 4
            if end < 4:
                rest = text[-LONGEST_CELL:]
                continue
            if any(mark in text for mark in marks):
                yield from ((found[1], found[2] or b"") for found in _CELL.finditer(text, 0, end))
            rest = text[end:][-LONGEST_CELL:]


def _attribute(tag: bytes, name: str) -> str:
    found = re.search(rb"\b" + name.encode() + rb'="([^"]*)"', tag)
    return found[1].decode("utf-8", "replace") if found else ""


def _count(found: Counter[str]) -> str:
    total = sum(found.values())
    return f"{total:,} cell{'s' * (total != 1)}"


def _columns(found: Counter[str]) -> str:
    return ", ".join(list(found)[:10])
