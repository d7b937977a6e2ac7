"""The application behind ``/v1``."""

from fastapi import FastAPI
from starlette.middleware import Middleware

from core.api.edge import ApiEdge
from core.api.last_resort import LastResort, handlers
from core.api.openai import chat, models
from core.api.openai.errors import render

ROUTERS = (models.router, chat.router)

v1 = FastAPI(
    title="Luthier, OpenAI-compatible",
    version="1",
    routes=[route for router in ROUTERS for route in router.routes],
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    redirect_slashes=False,
    middleware=[Middleware(LastResort, render=render)],
    exception_handlers=handlers(render),
)
edge = ApiEdge(v1, prefix="/v1", render=render)
