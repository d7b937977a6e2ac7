"""The front door in a real uvicorn, in this process:
for the SDK, for streams, and for clients that hang up."""

import contextlib
import threading
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from core.server.front_door import FrontDoor
from tests.waiting import wait_until

WAIT_SECONDS = 20


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Its address, for instance ``http://127.0.0.1:41234``."""
    app = FrontDoor(Starlette(routes=[Mount("/", app=PlainTextResponse("streamlit"))]))
    server = uvicorn.Server(
        uvicorn.Config(
            app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1, lifespan="off"
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(WAIT_SECONDS)
