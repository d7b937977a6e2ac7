"""What a browser may do with an answer of ours: the Content-Security-Policy.

Whatever a user, a model or a file wrote, a page calls no other host: not for pictures, styles, scripts,
frames or requests. A link that a person clicks may leave. ``core/ui/markdown.py`` keeps such things out of
the page in the first place; each of the two is enough alone.
"""

from http import HTTPStatus

DIRECTIVES = {
    "default-src": "'self'",
    # unsafe-inline: Streamlit's index and our own st.html scripts (sign-in, sign-out) are inline. blob:
    # Streamlit imports the script of every own element from one. wasm-unsafe-eval: Graphviz draws the lineage
    # in WebAssembly. No unsafe-eval: Vega is given an interpreter by Streamlit.
    "script-src": "'self' 'unsafe-inline' 'wasm-unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",  # Streamlit styles its elements with inline styles
    "img-src": "'self' data:",  # the logo, icons within styles
    "font-src": "'self' data:",  # the font of the tables' icons
    # the websocket as well: browsers count ws and wss of the same host and port as 'self' (CSP 3)
    "connect-src": "'self'",
    "media-src": "'none'",
    "worker-src": "'none'",
    "frame-src": "'none'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'self'",
}
PAGE = "; ".join(f"{name} {sources}" for name, sources in DIRECTIVES.items())
# For files that a browser might show as a document of our origin, an SVG for one: no script, no request, an
# origin of its own.
FILE = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'"

INDEX = ("/", "/index.html")
HTML = ("text/html", "application/xhtml+xml")
PARTS_OF_A_PAGE = ("text/javascript", "application/javascript", "text/css", "application/wasm", "font/")


def policy_for(path: str, status: int, content_type: str | None) -> str | None:
    """The policy of an answer; None for what never is a document, a worker's script for one."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    # its headers replace those that the browser has kept, from before an update as well
    if status == HTTPStatus.NOT_MODIFIED:
        return PAGE if path in INDEX else None
    if kind in HTML:
        return PAGE
    return None if kind.startswith(PARTS_OF_A_PAGE) else FILE
