"""Addresses, and connections to them, without becoming anybody's way into the network this server stands in.

Rules kept here: http and https only, on their usual ports unless a list of hosts names another; no user name
or password in an address. A host's addresses are looked up once, each must be public, and the connection goes
to one that was checked: a name that answers differently the next time changes nothing. No proxy is used. Who
may be asked at all is decided by who calls.
"""

import http.client
import ipaddress
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from core.errors import UnreadableFile, ValidationError

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 30.0
MOST_CHARACTERS = 4000
PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
# Public by their number, but they lead to private ones: IPv6 addresses that carry an IPv4 address which a
# gateway would unpack
_CARRIERS = [
    ipaddress.ip_network(text)
    for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
]
Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Address:
    """An address that the list of hosts allows.

    ``text`` is how it was written, ``target`` what the request line says.
    """

    text: str
    scheme: str
    host: str
    port: int
    target: str

    @property
    def filename(self) -> str:
        return unquote(PurePosixPath(self.target.partition("?")[0]).name)


def parse_address(url: str) -> Address:
    """An address that is well formed, whoever it leads to. Raises ValidationError."""
    parts = _split(url)
    host = (parts.hostname or "").lower().rstrip(".")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(url, parts.scheme, host, parts.port or PORTS[parts.scheme], target)


def is_listed(address: Address, hosts: Sequence[str]) -> bool:
    """Whether a list of ``host`` and ``host:port`` names it; a host alone means the usual port."""
    named_port = f"{_bracketed(address.host)}:{address.port}" in hosts
    return named_port or (address.host in hosts and address.port == PORTS[address.scheme])


def connect(
    address: Address, *, may_be_private: bool = False, seconds: float | None = None
) -> http.client.HTTPConnection:
    """A connection to one of the host's addresses, each of
    which was checked to be public unless ``may_be_private``.

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
            problem = (
                "it took too long to answer" if isinstance(error, TimeoutError) else "it does not answer"
            )
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


def _refuse(why: str) -> ValidationError:
    return ValidationError.of("url", why)


def _split(url: str) -> SplitResult:
    if len(url) > MOST_CHARACTERS or _CONTROL.search(url) or not url.isascii() or "\\" in url:
        raise _refuse(
            "must be an address as a browser shows it, without spaces; other characters are written as %XX"
        )
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


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _checked_ips(address: Address, *, may_be_private: bool) -> list[str]:
    """Where the host is, asked once.

    One private address among them is enough to refuse: it may be the next answer's only one.
    """
    try:
        entries = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreadableFile(f"There is no host {address.host}. Check the address.") from error
    ips = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in entries))
    if not ips or (not may_be_private and not all(is_public(ipaddress.ip_address(ip)) for ip in ips)):
        raise UnreadableFile(
            f"{address.host} is inside a private network. Only public addresses may be asked."
        )
    return ips


def _open_socket(address: Address, ip: str, seconds: float | None) -> socket.socket:
    plain = socket.create_connection((ip, address.port), timeout=seconds or CONNECT_SECONDS)
    try:
        if address.scheme == "https":
            plain = ssl.create_default_context().wrap_socket(plain, server_hostname=address.host)
        plain.settimeout(seconds or SILENT_SECONDS)
    except BaseException:  # whatever it was is raised again: nobody else could close the socket
        plain.close()
        raise
    return plain
