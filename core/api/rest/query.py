"""``/api/query``: SQL over the caller's datasets, answered as JSON or as an Arrow stream.

A client that hangs up stops its query. Each query waits in a thread of its own, because the shared threads
are few and a query may wait for its turn as long as it may run.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, BinaryIO, TypeVar

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from core import query, stopping
from core.api.deps import CurrentUser, SignedIn
from core.api.errors import json_response
from core.errors import QueryStopped, Unavailable
from core.fields import parse
from core.query import ArrowResult, NewArrowQuery, NewQuery, QueryResult, Stop

T = TypeVar("T")
ARROW = "application/vnd.apache.arrow.stream"
LOOK_SECONDS = 0.2
CHUNK_BYTES = 2**20
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "The rows. With `Accept: application/vnd.apache.arrow.stream` an Arrow IPC stream instead of "
            "JSON; what JSON says beside the rows is then in `X-Row-Count`, "
            "`X-Truncated` and `X-Elapsed-Ms`."
        ),
        "content": {ARROW: {"schema": {"type": "string", "format": "binary"}}},
    }
}

router = APIRouter(route_class=SignedIn, tags=["query"])


@router.post("/query", response_model=None, responses=ANSWERS)
async def run_query(new: NewArrowQuery, user: CurrentUser, request: Request) -> Response:
    """One SELECT over the datasets by their names, older versions as `"name@2"`.

    JSON: at most 10,000 rows; Arrow: 1,000,000.
    """
    if _wants_arrow(request):
        return _stream(await _until_gone(request, lambda stop: query.arrow(user, new, stop=stop)))
    new_query = parse(NewQuery, **new.model_dump())
    return await _until_gone(request, lambda stop: _json(query.run(user, new_query, stop=stop)))


def _wants_arrow(request: Request) -> bool:
    """Whether Arrow is named, and not less wanted than JSON."""
    weights = dict(map(_weight, request.headers.get("accept", "").split(",")))
    arrow = weights.get(ARROW, 0.0)
    return arrow > 0 and arrow >= weights.get("application/json", 0.0)


def _weight(accepted: str) -> tuple[str, float]:
    """A media type and how much it is wanted, 0 to 1: ``text/csv;q=0.5``."""
    name, *options = (part.strip().lower() for part in accepted.split(";"))
    given = next((option.removeprefix("q=") for option in options if option.startswith("q=")), "1")
    try:
        return name, float(given)
    except ValueError:
        return name, 1.0


async def _until_gone(request: Request, work: Callable[[Stop], T]) -> T:
    """What ``work`` returns; its stop is set when the client hangs up or the server goes down.

    Raises what it raises.
    """
    stop, loop = Stop(), asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work(stop)
        except Exception as error:  # outermost loop of this thread; the other side raises it again
            _tell(loop, done, error=error)
        else:
            _tell(loop, done, result=result)

    threading.Thread(target=run, name="query", daemon=True).start()
    try:
        while not (await asyncio.wait({done}, timeout=LOOK_SECONDS))[0]:
            if stopping.is_stopping() or await request.is_disconnected():
                stop.set()
        return done.result()
    except QueryStopped:
        raise (
            Unavailable("The server is stopping. Try again in a moment.")
            if stopping.is_stopping()
            else QueryStopped
        ) from None
    finally:
        stop.set()


def _tell(
    loop: asyncio.AbstractEventLoop,
    done: asyncio.Future[T],
    *,
    result: Any = None,
    error: Exception | None = None,
) -> None:
    def settle() -> None:
        if not done.done():  # the route was cancelled
            done.set_result(result) if error is None else done.set_exception(error)

    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)


def _json(result: QueryResult) -> Response:
    body = {
        "columns": result.columns,
        "rows": result.rows,
        "row_count": result.row_count,
        "truncated": result.truncated,
        "elapsed_ms": result.elapsed_ms,
    }
    return json_response(body, status=200)


def _stream(result: ArrowResult) -> Response:
    headers = {
        "Content-Length": str(result.size_bytes),
        "X-Row-Count": str(result.row_count),
        "X-Truncated": "true" if result.truncated else "false",
        "X-Elapsed-Ms": str(result.elapsed_ms),
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_chunks(result.stream), media_type=ARROW, headers=headers)


async def _chunks(stream: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while chunk := await run_in_threadpool(stream.read, CHUNK_BYTES):
            yield chunk
    finally:
        stream.close()
