"""Which pages of other origins may call the APIs from a browser, and what of an answer they may read.

Only the configured origins, exactly; nobody's origin is reflected. They may use every method that a route of
the API takes and every header that a route reads or the OpenAI SDK for JavaScript sends; of names that only
begin like these, those that the browser asks for are allowed one by one, because CORS knows no patterns.
"""

import re
from collections.abc import Iterable, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Scope, Send

from core.config import settings

REQUEST_HEADERS = (
    *("Accept", "Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "If-Range", "Range"),
    *("OpenAI-Beta", "OpenAI-Organization", "OpenAI-Project", "User-Agent", "X-Client-Request-Id"),
    *(
        f"X-Stainless-{name}"
        for name in (
            *("Arch", "Lang", "OS", "Package-Version", "Runtime", "Runtime-Version"),
            *("Async", "Retry-Count", "Timeout", "Helper-Method", "Poll-Helper", "Custom-Poll-Interval"),
        )
    ),
)
REQUEST_PREFIXES = ("x-stainless-", "openai-")
EXPOSED = (
    *("X-Request-ID", "Retry-After", "X-Should-Retry", "X-Row-Count", "X-Truncated", "X-Elapsed-Ms"),
    *("X-Stale", "X-Made-At", "ETag", "Content-Disposition", "Accept-Ranges", "Content-Range", "Allow"),
)
EXPOSED_PREFIXES = ("x-ratelimit-",)
CACHED_SECONDS = 600
_NAME = re.compile(r"[a-z0-9-]{1,100}")


def answering(scope: Scope, send: Send, methods: Sequence[str]) -> Send:
    """``send``, which adds what a browser must be told. ``methods``: those that the API takes."""
    allowed = settings().cors_origin_list
    if not allowed:
        return send
    headers = Headers(scope=scope)
    origin, is_preflight = headers.get("origin"), scope["method"] == "OPTIONS"

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer = MutableHeaders(scope=message)
            answer.add_vary_header("Origin")
            if origin in allowed:
                answer["Access-Control-Allow-Origin"] = origin
                answer.update(_permissions(headers, methods) if is_preflight else _readable(answer))
        await send(message)

    return sending


def _permissions(asking: Headers, methods: Sequence[str]) -> dict[str, str]:
    asked = (name.strip().lower() for name in asking.get("access-control-request-headers", "").split(","))
    named = [name for name in asked if name.startswith(REQUEST_PREFIXES) and _NAME.fullmatch(name)]
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _joined(REQUEST_HEADERS, named),
        "Access-Control-Max-Age": str(CACHED_SECONDS),
    }


def _readable(answer: MutableHeaders) -> dict[str, str]:
    named = [name for name in answer.keys() if name.startswith(EXPOSED_PREFIXES)]  # noqa: SIM118, no dict
    return {"Access-Control-Expose-Headers": _joined(EXPOSED, named)}


def _joined(always: Sequence[str], more: Iterable[str]) -> str:
    known = {name.lower() for name in always}
    return ", ".join([*always, *dict.fromkeys(name for name in more if name not in known)])
