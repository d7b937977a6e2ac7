"""Which addresses there are behind the front door, and the answer where there is nothing.

Streamlit answers every address that it does not know with its index page and 200, so that a misspelt one
looks like a page, and ``/docs`` or ``/metrics`` like something that is there.
"""

from functools import cache
from http import HTTPStatus
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, Response
from starlette.types import Message, Scope
from streamlit.file_util import get_static_dir

from core.api import errors
from core.config import ROOT
from core.errors import NotFound
from core.server.page_policy import HTML

# Below these Streamlit has its own routes and files
STREAMLIT = ("/_stcore/", "/static/", "/media/", "/component/", "/app/static/")
SAID = "There is nothing at this address."
NOTHING_HERE = Path(__file__).with_name("nothing_here.html").read_text(encoding="utf-8")


def is_known(path: str) -> bool:
    """Whether a page is there, or something that Streamlit may have."""
    return path.startswith(STREAMLIT) or path.rstrip("/") in _pages() or path in _files()


def is_index_instead(path: str, answer: Message) -> bool:
    """Whether Streamlit answers with its index page where it has nothing: it has no HTML there."""
    kind = Headers(raw=answer["headers"]).get("Content-Type", "").partition(";")[0].lower()
    return (
        answer["status"] == HTTPStatus.OK
        and kind in HTML
        and path.startswith(STREAMLIT)
        and not path.startswith("/component/")
    )


def nothing_here(scope: Scope, request_id: str) -> Response:
    """A page for a browser, the error body for a program."""
    if "text/html" in HTTPConnection(scope).headers.get("Accept", ""):
        return HTMLResponse(NOTHING_HERE, status_code=HTTPStatus.NOT_FOUND)
    return errors.render(NotFound(SAID), request_id)


@cache
def _pages() -> frozenset[str]:
    """The files in ``pages/`` have the names of their addresses; the first page has none."""
    return frozenset({""} | {f"/{page.stem}" for page in (ROOT / "pages").glob("*.py")} - {"/home"})


@cache
def _files() -> frozenset[str]:
    return frozenset(f"/{file.name}" for file in Path(get_static_dir()).iterdir() if file.is_file())
