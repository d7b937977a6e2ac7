"""The application behind ``/api``.

To add a resource: a file beside this one, or in the folder of its concept, with a ``router``, and a line in
``ROUTERS``.
"""

from fastapi import FastAPI
from starlette.middleware import Middleware

from core.api.edge import ApiEdge
from core.api.errors import render
from core.api.last_resort import LastResort, handlers
from core.api.rest import alerts, apikeys, auth, chats, docs, exports, messages, models, query, uploads, usage
from core.api.rest.datasets import datasets, rows, work
from core.api.rest.fine_tuning import before, checkpoints, jobs, monitor, queue, run, sweeps

ROUTERS = (
    docs.router,
    auth.public,
    auth.router,
    chats.router,
    messages.router,
    datasets.router,
    rows.router,
    work.router,
    uploads.router,
    query.router,
    models.admin,
    models.router,
    queue.router,  # before the jobs: their {job_id} would take its address
    exports.router,
    before.router,
    monitor.router,
    jobs.router,
    sweeps.router,
    checkpoints.router,
    run.router,
    apikeys.router,
    alerts.router,
    usage.router,
)

api = FastAPI(
    title="Luthier",
    version="1",
    description=(
        "A team's data becomes models the team can call. Send `Authorization: Bearer <token>`, with the "
        "token of `POST /api/auth/login` or with an API key whose scopes name the route."
    ),
    routes=[route for router in ROUTERS for route in router.routes],
    docs_url=None,
    redoc_url=None,
    openapi_url="/openapi.json",
    redirect_slashes=False,
    middleware=[Middleware(LastResort, render=render)],
    exception_handlers=handlers(render),
)
api.openapi = lambda: docs.describe(api)  # type: ignore[method-assign]
edge = ApiEdge(api, prefix="/api", render=render)
