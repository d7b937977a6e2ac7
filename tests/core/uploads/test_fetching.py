"""Addresses and folders of the server: what comes in, and above all what does not."""

import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core import network, storage, uploads
from core.config import settings
from core.errors import NotFound, TooLarge, UnreadableFile, UnsupportedMediaType, ValidationError
from core.people.users import User
from core.uploads import Upload, sources

CSV = b"a,b\n1,2\n"


class Site(BaseHTTPRequestHandler):
    """Answers that a file server may give, by path."""

    seen: list[tuple[str, str]] = []
    go_on = threading.Event()

    def do_GET(self) -> None:
        self.seen.append((self.headers["Host"], self.path))
        path = self.path.partition("?")[0]
        if path.startswith("/to"):
            self.answer(302, b"", Location=self.path.partition("?")[2])
        elif path == "/loop":
            self.answer(301, b"", Location="/loop")
        elif path == "/named":
            self.answer(200, CSV, **{"Content-Disposition": 'attachment; filename="../table.csv"'})
        elif path == "/typed":
            self.answer(200, CSV, **{"Content-Type": "text/csv; charset=utf-8"})
        elif path == "/short.csv":
            self.answer(200, CSV, **{"Content-Length": "1000"})
        elif path == "/huge.csv":
            self.answer(200, b"", **{"Content-Length": str(10**13)})
        elif path == "/endless.csv":
            self.answer(200, CSV, unsized=True)
            self.wfile.write(b"x" * 2**21)
        elif path == "/waiting.csv":
            self.answer(200, CSV, unsized=True)
            self.wfile.flush()
            self.go_on.wait(20)
        elif path == "/a.csv":
            self.answer(200, CSV)
        elif path == "/empty.csv":
            self.answer(200, b"")
        elif path == "/page":
            self.answer(200, b"<html>", **{"Content-Type": "text/html"})
        else:
            self.answer(404, b"")

    def answer(self, status: int, body: bytes, unsized: bool = False, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({} if unsized else {"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on this machine, which only here counts as public; its host is allowed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    Site.seen, Site.go_on = [], threading.Event()
    allow(monkeypatch, f"data.example:{server.server_port}", f"other.example:{server.server_port}")
    monkeypatch.setattr(network, "is_public", lambda ip: True)
    monkeypatch.setattr(socket, "getaddrinfo", resolve("127.0.0.1"))
    yield f"http://data.example:{server.server_port}"
    Site.go_on.set()
    server.shutdown()
    server.server_close()


def resolve(*ips: str) -> Callable[..., Any]:
    """A name service that knows one answer."""
    real = socket.getaddrinfo

    def answer(host: str, port: int, *args: Any, **more: Any) -> Any:
        if str(host).endswith(".example"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ips]
        return real(host, port, *args, **more)

    return answer


def allow(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    monkeypatch.setenv("LUTHIER_URL_HOSTS", ", ".join(hosts))
    settings.cache_clear()


def fetched(user: User, url: str) -> Upload:
    """What became of it."""
    upload = uploads.from_url(user, url)
    for thread in threading.enumerate():
        if thread.name == f"fetch-{upload.id}":
            thread.join(20)
    return uploads.get(user, upload.id)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/a.csv", "a.csv"), ("/named", "table.csv"), ("/typed", "typed.csv"), ("/to?/a.csv", "a.csv")],
)
def test_file_from_an_allowed_host_comes_in(ada: User, site: str, path: str, name: str) -> None:
    upload = fetched(ada, site + path)
    assert (upload.state, upload.filename, upload.error) == ("received", name, None)
    assert (upload.source, upload.location) == ("url", site + path)
    assert storage.upload_path(upload.id).read_bytes() == CSV


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/none.csv", "404"),
        ("/loop", "redirects"),
        ("/short.csv", "broke"),
        ("/huge.csv", "larger"),
        ("/empty.csv", "empty"),
        ("/page", "text/html"),
        ("/to?http://127.0.0.1/a.csv", "not among the hosts"),
        ("/to?http://data.example/a.csv", "not among the hosts"),
        ("/to?file:///etc/passwd", "https://"),
        ("/to?http://user:pw@data.example/a.csv", "password"),
    ],
)
def test_what_cannot_be_fetched_says_why_and_leaves_nothing(
    ada: User, site: str, path: str, said: str
) -> None:
    upload = fetched(ada, site + path)
    assert upload.state == "failed"
    assert said in (upload.error or "")
    assert not storage.upload_path(upload.id).exists()


@pytest.mark.parametrize("path", ["/huge.csv", "/endless.csv"], ids=["announced", "counted"])
def test_size_is_watched_announced_or_not(
    ada: User, site: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_MAX_UPLOAD_MB", "1")
    settings.cache_clear()
    upload = fetched(ada, site + path)
    assert (upload.state, upload.error) == (
        "failed",
        "The file is larger than 1 MiB, the most this server accepts.",
    )


def test_cancelled_fetch_ends(ada: User, site: str) -> None:
    upload = uploads.from_url(ada, site + "/waiting.csv")
    uploads.cancel(ada, upload.id)
    Site.go_on.set()
    for thread in threading.enumerate():
        if thread.name == f"fetch-{upload.id}":
            thread.join(20)
    assert uploads.list_uploads(ada) == []
    assert not storage.upload_path(upload.id).exists()


def test_fetch_that_a_restart_ended_says_so(ada: User, site: str) -> None:
    upload = uploads.from_url(ada, site + "/waiting.csv")
    uploads.recover()
    told = uploads.get(ada, upload.id)
    assert (told.state, "restarted" in (told.error or "")) == ("failed", True)


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.example/a.csv",
        "http://data.example.evil.example/a.csv",
        "http://data.example@elsewhere.example/a.csv",
        "http://elsewhere.example#@data.example/a.csv",
        "http://elsewhere.example\\@data.example/a.csv",
        "http://data.example:8080/a.csv",
        "http://data.example:99999/a.csv",
        "ftp://data.example/a.csv",
        "file:///etc/passwd",
        "//data.example/a.csv",
        "data.example/a.csv",
        "http://[::1/a.csv",
        "http://127.0.0.1/a.csv",
        "http://2130706433/a.csv",
        "http:///a.csv",
        "http://data.example/a b.csv",
        "http://data.example/a\r\nHost: x",
        "http://dätä.example/a.csv",
        "",
        "x" * 5000,
    ],
)
def test_addresses_that_nobody_allowed_are_not_asked(
    ada: User, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    allow(monkeypatch, "data.example")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    with pytest.raises(ValidationError):
        uploads.from_url(ada, url)
    assert uploads.list_uploads(ada) == []


def test_off_by_default(ada: User) -> None:
    assert not uploads.url_allowed()
    with pytest.raises(ValidationError, match="LUTHIER_URL_HOSTS"):
        uploads.from_url(ada, "https://example.com/a.csv")


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "2001:0:7f00:1::", "fd00:ec2::254",
    ],
)  # fmt: skip
def test_private_addresses_are_private(ip: str) -> None:
    assert not network.is_public(ipaddress.ip_address(ip))


@pytest.mark.parametrize("ip", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_are_public(ip: str) -> None:
    assert network.is_public(ipaddress.ip_address(ip))


@pytest.mark.parametrize("ips", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["169.254.169.254"]])
def test_allowed_host_inside_a_private_network_is_not_asked(
    ada: User, monkeypatch: pytest.MonkeyPatch, ips: list[str]
) -> None:
    allow(monkeypatch, "data.example")
    monkeypatch.setattr(socket, "getaddrinfo", resolve(*ips))
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("a connection was opened"))
    upload = fetched(ada, "http://data.example/a.csv")
    assert (upload.state, "private network" in (upload.error or "")) == ("failed", True)


def test_connection_goes_to_the_address_that_was_checked(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers with a public address first and with a private one the next time."""
    allow(monkeypatch, "data.example")
    answers = iter([["1.1.1.1"], ["127.0.0.1"]])
    asked: list[Any] = []

    def connect(address: Any, **_: Any) -> socket.socket:
        asked.append(address)
        raise OSError("nobody there")

    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: resolve(*next(answers))(host, port))
    monkeypatch.setattr(socket, "create_connection", connect)
    assert fetched(ada, "http://data.example/a.csv").state == "failed"
    assert asked == [("1.1.1.1", 80)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tables"
    (root / "2024").mkdir(parents=True)
    (root / "a.csv").write_bytes(CSV)
    (root / "2024" / "b.csv.gz").write_bytes(b"x")
    (root / "notes.doc").write_bytes(b"x")
    (root / ".hidden.csv").write_bytes(b"x")
    (tmp_path / "secret.csv").write_bytes(b"secret")
    (root / "link.csv").symlink_to(tmp_path / "secret.csv")
    (root / "away").symlink_to(tmp_path)
    os.mkfifo(root / "pipe.csv")
    monkeypatch.setenv("LUTHIER_IMPORT_FOLDERS", f"{root}, {tmp_path / 'missing'}")
    settings.cache_clear()
    return root


def test_folder_shows_what_can_be_read(ada: User, folder: Path) -> None:
    assert uploads.folders() == ["tables"]
    shown = [(entry.name, entry.is_folder, entry.size_bytes) for entry in uploads.list_folder(ada, "tables")]
    assert shown == [("2024", True, 0), ("a.csv", False, len(CSV))]
    assert [entry.path for entry in uploads.list_folder(ada, "tables", "2024")] == ["2024/b.csv.gz"]


@pytest.mark.parametrize("soon", [0, 2**20])
def test_file_of_a_folder_is_copied(
    ada: User, folder: Path, monkeypatch: pytest.MonkeyPatch, soon: int
) -> None:
    monkeypatch.setattr(sources, "SOON_BYTES", soon)
    upload = uploads.from_folder(ada, "tables", "a.csv")
    for thread in threading.enumerate():
        if thread.name == f"fetch-{upload.id}":
            thread.join(20)
    upload = uploads.get(ada, upload.id)
    assert (upload.state, upload.source, upload.location) == ("received", "folder", "tables/a.csv")
    (folder / "a.csv").write_bytes(b"changed")
    assert storage.upload_path(upload.id).read_bytes() == CSV


@pytest.mark.parametrize(
    "path",
    [
        "../secret.csv", "2024/../../secret.csv", "/etc/passwd.csv", "link.csv", "away/secret.csv",
        "pipe.csv", "missing.csv", "2024/x.csv", ".hidden.csv", "a.csv/b.csv", "a.csv\0.csv", "./a.csv",
    ],
)  # fmt: skip
def test_nothing_outside_can_be_named(ada: User, folder: Path, path: str) -> None:
    with pytest.raises(NotFound):
        uploads.from_folder(ada, "tables", path)
    assert uploads.list_uploads(ada) == []


@pytest.mark.parametrize("path", ["..", "away", "2024/../..", "a.csv", "missing", "../tables"])
def test_no_other_folder_can_be_entered(ada: User, folder: Path, path: str) -> None:
    with pytest.raises(NotFound):
        uploads.list_folder(ada, "tables", path)
    with pytest.raises(NotFound):
        uploads.list_folder(ada, "elsewhere")


def test_own_data_are_never_offered(ada: User, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data_dir / "other.csv").write_bytes(CSV)
    monkeypatch.setenv("LUTHIER_IMPORT_FOLDERS", str(data_dir.parent))
    settings.cache_clear()
    [name] = uploads.folders()
    assert uploads.list_folder(ada, name) == []
    with pytest.raises(NotFound):
        uploads.from_folder(ada, name, f"{data_dir.name}/other.csv")


def test_only_readable_kinds_come_in(ada: User, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedMediaType):
        uploads.from_folder(ada, "tables", "notes.doc")
    monkeypatch.setenv("LUTHIER_MAX_UPLOAD_MB", "1")
    settings.cache_clear()
    (folder / "a.csv").write_bytes(b"a" * (2**20 + 1))
    with pytest.raises(TooLarge):
        uploads.from_folder(ada, "tables", "a.csv")


def test_pasted_text_is_an_upload(ada: User) -> None:
    upload = uploads.from_text(ada, "a\tb\nä\t2\n", filename="pasted.tsv")
    assert (upload.state, upload.source, upload.filename) == ("received", "text", "pasted.tsv")
    assert storage.upload_path(upload.id).read_text() == "a\tb\nä\t2\n"


@pytest.mark.parametrize(
    ("text", "error"), [("", UnreadableFile), (" \n", UnreadableFile), ("a\ud800", ValidationError)]
)
def test_text_that_is_none_is_refused(ada: User, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        uploads.from_text(ada, text)
