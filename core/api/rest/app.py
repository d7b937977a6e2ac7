"""The application behind ``/api``.

To add a resource: a file beside this one with a ``router``, and a line in ``ROUTERS``.
"""

from fastapi import FastAPI
from starlette.middleware import Middleware

from core.api.edge import Edge
from core.api.errors import render
from core.api.last_resort import LastResort, handlers
from core.api.rest import (
    alerts,
    apikeys,
    auth,
    chats,
    checkpoints,
    dataset_rows,
    dataset_work,
    datasets,
    docs,
    exports,
    finetune,
    finetune_before,
    messages,
    models,
    monitor,
    query,
    queue,
    run_reports,
    sweeps,
    uploads,
    usage,
)

ROUTERS = (
    docs.router,
    auth.public,
    auth.router,
    chats.router,
    messages.router,
    datasets.router,
    dataset_rows.router,
    dataset_work.router,
    uploads.router,
    query.router,
    models.router,
    queue.router,  # before the jobs: their {job_id} would take its address
    exports.router,
    finetune_before.router,
    monitor.router,
    finetune.router,
    sweeps.router,
    checkpoints.router,
    run_reports.router,
    apikeys.router,
    alerts.router,
    usage.router,
)

api = FastAPI(
    title="Luthier",
    version="1",
    description="A team's data becomes models the team can call. Sign in, then send `Authorization: Bearer <token>`.",
    routes=[route for router in ROUTERS for route in router.routes],
    docs_url=None,
    redoc_url=None,
    openapi_url="/openapi.json",
    redirect_slashes=False,
    middleware=[Middleware(LastResort, render=render)],
    exception_handlers=handlers(render),
)
api.openapi = lambda: docs.describe(api)  # type: ignore[method-assign]
edge = Edge(api, prefix="/api", render=render)
