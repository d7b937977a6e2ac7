"""Text before anybody parses it: what the bytes really are, which encoding, and a UTF-8 file to go on with.

Order: known binary kinds are named (a PDF called .csv), then a byte-order mark decides, then UTF-8 is tried
to the last byte, and only then an encoding is guessed, which the user is told. NUL bytes are refused with
their line: they are not text.
"""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from core.errors import UnreadableFile
from core.readers.base import MAX_ERRORS, Reading, ReadTask, WorkProgress

CHUNK = 1 << 20
IN_CACHE = 1 << 18
FEW_ACCENTS = 200
LONG_LINE = 1 << 24
RARE = 1000  # one damaged line in so many is damage, not another encoding
_ESCAPED = re.compile("[\ud800-\udfff]")
_HIGH_LETTERS = re.compile("[^\x00-\x7f\ud800-\udfff]")
_HIGH_RUNS = re.compile(rb"[\x80-\xff]+")
SAMPLE = 1 << 18
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_PLAUSIBLE = [
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "shift_jis",
    "gb18030",
    "big5",
    "euc_jp",
    "euc_kr",
    "koi8_r",
]
_SIGNATURES: tuple[
    tuple[bytes, str, str], ...
] = (  # first bytes, the suffixes they belong to, what people call it
    (b"PAR1", ".parquet", "a Parquet file"),
    (b"ARROW1", ".arrow .feather", "an Arrow file"),
    (b"FEA1", ".feather", "an old Feather file"),
    (b"PK\x03\x04", ".xlsx .zip", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ".xls", "an old Office document"),
    (b"\x1f\x8b", ".gz", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", ".zst", "a Zstandard archive"),
    (b"BZh", "", "a bzip2 archive"),
    (b"\xfd7zXZ", "", "an xz archive"),
    (b"7z\xbc\xaf", "", "a 7-Zip archive"),
    (b"%PDF", "", "a PDF document"),
    (b"\x89PNG", "", "a picture"),
    (b"\xff\xd8\xff", "", "a picture"),
    (b"GIF8", "", "a picture"),
    (b"SQLite format 3", "", "an SQLite database"),
    (b"\x7fELF", "", "a program"),
)


_NEVER_TEXT = (".xls", ".xlsx", ".parquet", ".arrow", ".feather")
_NOT_IN_TEXT = bytes([*range(9), *range(14, 32)])


@dataclass(frozen=True)
class Plain:
    """A UTF-8 file without byte-order mark, and the encoding it came in."""

    path: Path
    encoding: str


def require_kind(path: Path, suffix: str) -> None:
    """Raises UnreadableFile when a file is empty
    or its first bytes belong to another kind than its name says."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head.strip(b" \t\r\n\0\xef\xbb\xbf"):
        raise UnreadableFile("The file is empty.")
    for signature, suffixes, name in _SIGNATURES:
        if head.startswith(signature):
            if suffix not in suffixes.split():
                raise UnreadableFile(f"The file is called {suffix} but is {name}. {_advice(suffixes)}")
            return
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        raise UnreadableFile(
            f"The file is called {suffix} but is a web page. Download the data itself and upload that."
        )
    if suffix in _NEVER_TEXT and not any(byte in head for byte in _NOT_IN_TEXT):
        kind = ".tsv" if b"\t" in head.partition(b"\n")[0] else ".csv"
        raise UnreadableFile(
            f"The file is called {suffix} but is text. Rename it to {kind} and upload it again."
        )


def as_utf8(task: ReadTask, reading: Reading) -> Plain:
    """The source itself when it is plain UTF-8, else its translation. Raises UnreadableFile.

    When bad rows are to be skipped, a few lines that are not UTF-8 are left in: whoever reads the rows leaves
    those out.
    """
    source, progress, encoding = task.source, task.progress, task.options.encoding
    with source.open("rb") as file:
        head = file.read(SAMPLE)
    marked = next((name for bom, name in _BOMS if head.startswith(bom)), None)
    chosen = marked or encoding or _unmarked_utf16(head)
    bad_at = _first_bad_byte(task) if chosen in (None, "utf-8") else None
    if chosen in (None, "utf-8") and bad_at is None:
        reading.detected["encoding"] = "utf-8"
        return Plain(source, "utf-8")
    if chosen in (None, "utf-8") and (damaged := _damaged_lines(source, is_stated=chosen is not None)):
        reading.detected["encoding"] = "utf-8"
        line, problem = damaged[0]
        is_header = _may_be_header(line, task)
        if task.options.skip_bad_rows and not is_header:
            return Plain(source, "utf-8")
        rest = "" if encoding else ", while the rest of the file is"
        advice = "Mend it, choose another encoding, or skip bad rows."
        if is_header:
            advice = "It names the columns, so it cannot be skipped: mend it, or choose another encoding."
        message = f"Line {line:,}: {problem}{rest}. {advice}"
        raise UnreadableFile(message, lines=damaged[:MAX_ERRORS])
    if chosen is None:
        chosen = _guess(source, bad_at or 0)
        reading.note(
            f"The file is not UTF-8; it was read as {chosen}. If letters look wrong, choose another encoding."
        )
    target = task.work / "utf8"
    _translate(source, target, chosen, progress)
    reading.detected["encoding"] = chosen.removesuffix("-sig")
    return Plain(target, chosen)


def _may_be_header(line: int, task: ReadTask) -> bool:
    """Whether a line of a table is its first: without it the next row would name the columns."""
    is_table = task.suffix in (".csv", ".tsv")
    return is_table and task.options.header is not False and line == (task.options.skip_lines or 0) + 1


def _damaged_lines(path: Path, *, is_stated: bool) -> list[tuple[int, str]]:
    """The lines with bytes that are not UTF-8, when the rest of the file says that it is; else none.

    It does when it was stated, when most of what is not ASCII is UTF-8, or when hardly a line in a thousand
    is damaged: one bad byte does not make it latin-1.
    """
    good, damaged, number, count, first = 0, 0, 1, 0, list[tuple[int, str]]()
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        while line := file.readline(LONG_LINE):
            if not line.isascii():
                wrong = _ESCAPED.findall(line)
                good += sum(map(str.isalpha, _HIGH_LETTERS.findall(line)))
                damaged += len(wrong)
                if wrong and (count := count + 1) <= MAX_ERRORS:
                    first.append(
                        (number, f"a byte that is not UTF-8 at character {line.index(wrong[0]) + 1:,}")
                    )
            number += line.endswith("\n")
    return first if is_stated or good >= max(damaged, 1) or count * RARE < number else []


def _first_bad_byte(task: ReadTask) -> int | None:
    """Where a file stops being UTF-8; None if it is UTF-8 to its end.

    Raises UnreadableFile at a NUL byte, if not asked to skip.
    """
    decoder, num_read, size, in_letter = (
        codecs.getincrementaldecoder("utf-8")(),
        0,
        max(task.source.stat().st_size, 1),
        False,
    )
    with task.source.open("rb") as file:
        while chunk := file.read(IN_CACHE):
            if b"\0" in chunk and not task.options.skip_bad_rows:
                raise _with_nul(chunk, 1 + _count_lines(file, num_read))
            try:
                if in_letter or not chunk.isascii():  # three times as fast as decoding
                    decoder.decode(chunk)
                    in_letter = bool(decoder.getstate()[0])
            except UnicodeDecodeError as error:
                return max(num_read + error.start, 0)
            num_read += len(chunk)
            task.progress.advance(num_read / size)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return num_read
    return None


def _count_lines(file: IO[bytes], end: int) -> int:
    """The line ends before ``end``: counted only when somebody needs to know."""
    file.seek(0)
    return sum(file.read(min(CHUNK, end - at)).count(b"\n") for at in range(0, end, CHUNK))


def _with_nul(chunk: bytes, lines: int) -> UnreadableFile:
    at = chunk.index(b"\0")
    line, character = lines + chunk.count(b"\n", 0, at), at - chunk.rfind(b"\n", 0, at)
    problem = f"a NUL byte at character {character:,}"
    message = (
        f"Line {line:,}: {problem}, so the file is binary or damaged. Export it again as text, "
        f"or skip bad rows."
    )
    return UnreadableFile(message, lines=[(line, problem)])


def _translate(source: Path, target: Path, encoding: str, progress: WorkProgress) -> None:
    decoder, lines, size = codecs.getincrementaldecoder(encoding)(), 1, max(source.stat().st_size, 1)
    with source.open("rb") as file, target.open("w", encoding="utf-8", newline="") as plain:
        while True:
            chunk = file.read(CHUNK)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line = lines + error.object[: error.start].count(b"\n")
                raise UnreadableFile(
                    f"It is not {encoding} text.", lines=[(line, f"a byte that is not {encoding}")]
                ) from error
            _refuse_nul(text, "\0", lines)
            plain.write(text)
            lines += text.count("\n")
            progress.advance(file.tell() / size)
            if not chunk:
                return


def _guess(path: Path, bad_at: int) -> str:
    """The likeliest encoding of text that is not UTF-8. Raises UnreadableFile when it is not text at all."""
    with path.open("rb") as file:
        file.seek(max(bad_at - SAMPLE // 2, 0))
        sample = file.read(SAMPLE)
    controls = sum(sample.count(bytes([code])) for code in (*range(1, 9), *range(14, 32)))
    if controls > len(sample) / 100:
        raise UnreadableFile("The file is binary, not text.")
    from charset_normalizer import from_bytes

    best = None if _is_sparse_latin(sample) else from_bytes(sample, cp_isolation=_PLAUSIBLE).best()
    for encoding in (best.encoding if best else "cp1252", "cp1252"):
        if _decodes(path, encoding):
            return encoding
    return "latin-1"


def _is_sparse_latin(sample: bytes) -> bool:
    """A few accented letters among ASCII ones, as in western European text:
    too little for statistics, which then find Chinese."""
    runs = _HIGH_RUNS.findall(sample)
    return len(runs) < FEW_ACCENTS and sum(len(run) == 1 for run in runs) > 0.8 * len(runs)


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        try:
            while chunk := file.read(CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _unmarked_utf16(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of mostly western text is zero."""
    if len(head) < 4 or b"\0" not in head:
        return None
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > len(head) * 0.2 and even < odd / 20:
        return "utf-16-le"
    return "utf-16-be" if even > len(head) * 0.2 and odd < even / 20 else None


def _refuse_nul(chunk: bytes | str, nul: bytes | str, line: int) -> None:
    at = chunk.find(nul)  # type: ignore[arg-type]
    if at >= 0:
        newline = b"\n" if isinstance(chunk, bytes) else "\n"
        line += chunk[:at].count(newline)  # type: ignore[arg-type]
        raise UnreadableFile(
            "The file holds NUL bytes, so it is binary or damaged.", lines=[(line, "a NUL byte")]
        )


def _advice(suffixes: str) -> str:
    return (
        f"Rename it to {suffixes.split()[0]} and upload it again."
        if suffixes
        else "Export the data as CSV and upload that."
    )
