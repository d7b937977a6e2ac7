"""Files from addresses, without becoming anybody's way into the network this server stands in.

Rules kept here: nothing is asked unless the admin listed its host (``LUTHIER_URL_HOSTS``); http and https only, on their usual
ports unless the list names another; no user name or password in an address; every redirect is checked again, and none leads from
https to http. A host's addresses are looked up once, each must be public, and the connection goes to one that was checked: a name
that answers differently the next time changes nothing. No proxy is used, no cookie and no credential is sent. Size and time are
limited. What becomes of the bytes is ``core.uploads``'s business.
"""

import http.client
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import PurePosixPath
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from core.config import settings
from core.errors import TooLarge, UnreadableFile, UnsupportedMediaType, ValidationError
from core.readers import kind_of

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 30.0
WHOLE_SECONDS = 3 * 3600.0
MOST_REDIRECTS = 5
MOST_CHARACTERS = 4000
PIECE_BYTES = 2**18
PORTS = {"http": 80, "https": 443}
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
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
# Public by their number, but a door to private ones: IPv6 addresses that carry an IPv4 address which a gateway would unpack
_CARRIERS = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")]
Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Address:
    """An address that the list of hosts allows. ``text`` is how it was written, ``target`` what the request line says."""

    text: str
    scheme: str
    host: str
    port: int
    target: str

    @property
    def filename(self) -> str:
        return unquote(PurePosixPath(self.target.partition("?")[0]).name)


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
        raise _refuse("fetching from addresses is off on this server; an admin can allow hosts with LUTHIER_URL_HOSTS")
    address = parse_address(url)
    if not is_listed(address, allowed):
        raise _refuse(f"{address.host} is not among the hosts that the admin allows: {', '.join(allowed)}")
    return address


def parse_address(url: str) -> Address:
    """An address that is well formed, whoever it leads to. Raises ValidationError."""
    parts = _split(url)
    host = _plain_host(parts.hostname)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(url, parts.scheme, host, parts.port or PORTS[parts.scheme], target)


def is_listed(address: Address, hosts: Sequence[str]) -> bool:
    """Whether a list of ``host`` and ``host:port`` names it; a host alone means the usual port."""
    named_port = f"{_bracketed(address.host)}:{address.port}" in hosts
    return named_port or (address.host in hosts and address.port == PORTS[address.scheme])


def fetch(address: Address) -> Fetched:
    """Ask, follow redirects, and hand over the bytes as they come. Raises ValidationError, UnreadableFile, TooLarge."""
    asked, until = address, time.monotonic() + WHOLE_SECONDS
    for _ in range(MOST_REDIRECTS + 1):
        connection = connect(asked)
        try:
            answer = _ask(connection, asked)
            location = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or not location:
                return _accept(asked, answer, _read(answer, until), connection.close)
        except BaseException:
            connection.close()
            raise
        connection.close()
        asked = _follow(asked, location)
    raise UnreadableFile(f"The address redirects more than {MOST_REDIRECTS} times. Use the one it ends at.")


def connect(address: Address, *, may_be_private: bool = False, seconds: float | None = None) -> http.client.HTTPConnection:
    """A connection to one of the host's addresses, each of which was checked to be public unless ``may_be_private``.

    ``seconds`` bounds each wait. Raises UnreadableFile.
    """
    ips, problem = _checked_ips(address, may_be_private=may_be_private), "it does not answer"
    for ip in ips:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=seconds or SILENT_SECONDS)
        try:
            connection.sock = _open_socket(address, ip, seconds)
            return connection
        except ssl.SSLCertVerificationError:
            problem = "its certificate is not valid"
        except OSError as error:
            problem = "it took too long to answer" if isinstance(error, TimeoutError) else "it does not answer"
    raise UnreadableFile(f"{address.host} could not be reached: {problem}.")


def host_header(address: Address) -> str:
    port = "" if address.port == PORTS[address.scheme] else f":{address.port}"
    return _bracketed(address.host) + port


def is_public(ip: Ip) -> bool:
    """Whether an address is one that anybody on the internet can reach, and no detour to one that is not."""
    inner = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    if inner is not None:
        return is_public(inner)
    carries = any(ip in network for network in _CARRIERS if network.version == ip.version)
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or carries)


# Private -----------------------------------------------------------------------------------------------------------------------


def _refuse(why: str) -> ValidationError:
    return ValidationError.of("url", why)


def _split(url: str) -> SplitResult:
    if len(url) > MOST_CHARACTERS or _CONTROL.search(url) or not url.isascii() or "\\" in url:
        raise _refuse("must be an address as a browser shows it, without spaces; other characters are written as %XX")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise _refuse("is not a valid address") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise _refuse("must begin with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise _refuse("must not hold a user name or a password")
    return parts


def _plain_host(name: str | None) -> str:
    return (name or "").lower().rstrip(".")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _follow(asked: Address, location: str) -> Address:
    try:
        found = check_address(urljoin(asked.text, location))
    except ValidationError as error:
        raise UnreadableFile(f"The address leads on to one that may not be asked. {error.message}") from error
    if asked.scheme == "https" and found.scheme == "http":
        raise UnreadableFile("The address leads from https to http. Use an address that stays with https.")
    return found


def _checked_ips(address: Address, *, may_be_private: bool) -> list[str]:
    """Where the host is, asked once. One private address among them is enough to refuse: it may be the next answer's only one."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreadableFile(f"There is no host {address.host}. Check the address.") from error
    ips = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
    if not ips or (not may_be_private and not all(is_public(ipaddress.ip_address(ip)) for ip in ips)):
        raise UnreadableFile(f"{address.host} is inside a private network. Only public addresses may be asked.")
    return ips


def _open_socket(address: Address, ip: str, seconds: float | None) -> socket.socket:
    plain = socket.create_connection((ip, address.port), timeout=seconds or CONNECT_SECONDS)
    try:
        if address.scheme == "https":
            plain = ssl.create_default_context().wrap_socket(plain, server_hostname=address.host)
        plain.settimeout(seconds or SILENT_SECONDS)
    except BaseException:
        plain.close()
        raise
    return plain


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


def _accept(address: Address, answer: http.client.HTTPResponse, pieces: Iterator[bytes], close: Callable[[], None]) -> Fetched:
    if answer.status != 200:
        raise UnreadableFile(f"{address.host} answered {answer.status} {answer.reason[:80]}. Check the address.")
    stated = answer.headers.get("content-length", "")
    size = int(stated) if stated.isdecimal() and "chunked" not in answer.headers.get("transfer-encoding", "") else None
    if size is not None and size > settings().max_upload_mb * 2**20:
        raise TooLarge(f"The file is larger than {settings().max_upload_mb:,} MiB, the most this server accepts.")
    return Fetched(_name(address, answer.headers), size, pieces, close)


def _name(address: Address, headers: Message) -> str:
    """The first name that says what kind of file it is: the one it is sent under, the address's, or that plus its content type."""
    suffix = SUFFIXES.get(headers.get_content_type(), "")
    gz = ".gz" if headers.get("content-encoding", "") in ("gzip", "x-gzip") else ""  # though we asked for it plain
    sent = headers.get_filename() or ""
    for name in (sent, address.filename, f"{address.filename or address.host}{suffix}"):
        with suppress(UnsupportedMediaType):
            kind_of(name)
            return name if name.endswith(".gz") else name + gz
    raise UnsupportedMediaType(f"{address.host} sends no file of a kind that can be read, but {headers.get_content_type()}.")


def _read(answer: http.client.HTTPResponse, until: float) -> Iterator[bytes]:
    try:
        while piece := answer.read1(PIECE_BYTES):
            if time.monotonic() > until:
                raise UnreadableFile("The transfer took too long. Fetch the file in another way and upload it.")
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise UnreadableFile("The connection broke before all of it was here. Start it again.") from error
