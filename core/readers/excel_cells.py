"""What calamine does not tell of a workbook's sheet: formulas without a stored result, and error values.

Both are empty cells to it. They stand in the sheet's XML, which is read in pieces and never parsed as one.
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
_RESULT = re.compile(rb"<v>[^<]|<is>")


def sentences(path: Path, sheet: str) -> list[str]:
    """About the cells of a sheet of an .xlsx that are empty though something stands there."""
    errors: Counter[str] = Counter()
    formulas: Counter[str] = Counter()
    try:
        with zipfile.ZipFile(path) as archive:
            member = _member_of(archive, sheet)
            for attributes, content in _cells(archive, member) if member else ():
                column = _attribute(attributes, "r").rstrip("0123456789")
                if _attribute(attributes, "t") == "e":
                    errors[column] += 1
                elif b"<f" in content and not _RESULT.search(content):
                    formulas[column] += 1
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
    return told


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


def _cells(archive: zipfile.ZipFile, member: str) -> Iterator[tuple[bytes, bytes]]:
    """Attributes and content of each cell."""
    with archive.open(member) as file:
        rest = b""
        while piece := file.read(PIECE):
            text = rest + piece
            end = text.rfind(b"</c>") + 4
            if end < 4:
                rest = text[-LONGEST_CELL:]
                continue
            if b"<f" in text or b't="e"' in text:
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
