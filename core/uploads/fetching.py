"""Files from addresses that the admin allows.

Rules kept here: nothing is asked unless the admin listed its host (``LUTHIER_URL_HOSTS``); every redirect is
checked again, and none leads from https to http; no cookie and no credential is sent. Size and time are
limited. What an address may be, and that only public hosts are connected to, is ``core.network``'s business;
what becomes of the bytes ``core.uploads``'s.
"""

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from urllib.parse import urljoin

from core.config import settings
from core.errors import UnreadableFile, UnsupportedMediaType, ValidationError
from core.network import Address, connect, host_header, is_listed, parse_address
from core.readers import kind_of
from core.storage import upload_size

WHOLE_SECONDS = 3 * 3600.0
MOST_REDIRECTS = 5
PIECE_BYTES = 2**18
SUFFIXES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/json": ".json",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.file": ".arrow",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.ms-excel": ".xls",
    "application/zip": ".zip",
}


@dataclass(frozen=True)
class Fetched:
    """A file that is being read: what the other side says of it, and its bytes. Close it."""

    filename: str
    size_bytes: int | None
    pieces: Iterator[bytes]
    close: Callable[[], None]


def check_address(url: str) -> Address:
    """Raises ValidationError, saying why, unless the host is one that the admin allows."""
    allowed = settings().url_host_list
    if not allowed:
        raise ValidationError.of(
            "url",
            "fetching from addresses is off on this server; an admin can allow hosts with LUTHIER_URL_HOSTS",
        )
    address = parse_address(url)
    if not is_listed(address, allowed):
        raise ValidationError.of(
            "url", f"{address.host} is not among the hosts that the admin allows: {', '.join(allowed)}"
        )
    return address


def fetch(address: Address) -> Fetched:
    """Ask, follow redirects, and hand over the bytes as they come.

    Raises ValidationError, UnreadableFile, TooLarge.
    """
    current, until = address, time.monotonic() + WHOLE_SECONDS
    for _ in range(MOST_REDIRECTS + 1):
        connection = connect(current)
        try:
            answer = _ask(connection, current)
            location = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or not location:
                return _accept(current, answer, _read(answer, until), connection.close)
        except BaseException:  # raised again: nobody else could close the connection
            connection.close()
            raise
        connection.close()
        current = _follow(current, location)
    raise UnreadableFile(f"The address redirects more than {MOST_REDIRECTS} times. Use the one it ends at.")


def _follow(asked: Address, location: str) -> Address:
    try:
        target = check_address(urljoin(asked.text, location))
    except ValidationError as error:
        raise UnreadableFile(f"The address leads on to one that may not be asked. {error.message}") from error
    if asked.scheme == "https" and target.scheme == "http":
        raise UnreadableFile("The address leads from https to http. Use an address that stays with https.")
    return target


def _ask(connection: http.client.HTTPConnection, address: Address) -> http.client.HTTPResponse:
    headers = {
        "Host": host_header(address),
        "User-Agent": "Luthier",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    try:
        connection.request("GET", address.target, headers=headers)
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise UnreadableFile(f"{address.host} gave no valid answer. Try again later.") from error


def _accept(
    address: Address, answer: http.client.HTTPResponse, pieces: Iterator[bytes], close: Callable[[], None]
) -> Fetched:
    if answer.status != 200:
        raise UnreadableFile(
            f"{address.host} answered {answer.status} {answer.reason[:80]}. Check the address."
        )
    stated = answer.headers.get("content-length", "")
    size = (
        int(stated)
        if stated.isdecimal() and "chunked" not in answer.headers.get("transfer-encoding", "")
        else None
    )
    upload_size.require_not_larger(size or 0)
    return Fetched(_name(address, answer.headers), size, pieces, close)


def _name(address: Address, headers: Message) -> str:
    """The first name that says what kind of file it is:
    the one it is sent under, the address's, or that plus its content type."""
    suffix = SUFFIXES.get(headers.get_content_type(), "")
    # though we asked for it plain
    gz = ".gz" if headers.get("content-encoding", "") in ("gzip", "x-gzip") else ""
    sent = headers.get_filename() or ""
    for name in (sent, address.filename, f"{address.filename or address.host}{suffix}"):
        with suppress(UnsupportedMediaType):
            kind_of(name)
            return name if name.endswith(".gz") else name + gz
    raise UnsupportedMediaType(
        f"{address.host} sends no file of a kind that can be read, but {headers.get_content_type()}."
    )


def _read(answer: http.client.HTTPResponse, until: float) -> Iterator[bytes]:
    try:
        while piece := answer.read1(PIECE_BYTES):
            if time.monotonic() > until:
                raise UnreadableFile(
                    "The transfer took too long. Fetch the file in another way and upload it."
                )
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise UnreadableFile("The connection broke before all of it was here. Start it again.") from error
