"""Who calls: the client's address and scheme, behind configured proxies or not.

``streamlit run`` has uvicorn believe ``X-Forwarded-For`` from every loopback peer and offers no switch for
it, so anybody on the machine could choose the address that sign-in throttling counts. Uvicorn's own step is
therefore taken out here, and only the addresses in ``LUTHIER_TRUSTED_PROXIES`` are believed.
"""

from typing import Any

import uvicorn.config
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Scope

from core.config import settings


def believe_no_proxy_but_ours() -> None:
    """Before uvicorn wraps the application, that is when ``app.py`` is imported."""
    uvicorn.config.ProxyHeadersMiddleware = _pass_on  # type: ignore[assignment, misc]


def _pass_on(app: ASGIApp, **_: Any) -> ASGIApp:
    return app


def put_real_client(scope: Scope) -> None:
    """Set ``scope["client"]`` and the scheme from a trusted proxy's headers:
    the last address that no trusted proxy has."""
    trusted = settings().trusted_proxy_list
    if not trusted or not scope.get("client") or scope["client"][0] not in trusted:
        return
    headers = Headers(scope=scope)
    hops = [
        hop.strip() for line in headers.getlist("x-forwarded-for") for hop in line.split(",") if hop.strip()
    ]
    strangers = [hop for hop in hops if hop not in trusted]
    if hops:
        scope["client"] = ((strangers or hops)[-1][:64], 0)
    if scope["type"] == "http" and headers.get("x-forwarded-proto") in ("http", "https"):
        scope["scheme"] = headers["x-forwarded-proto"]
