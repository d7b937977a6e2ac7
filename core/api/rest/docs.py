"""``/api/docs``: the interface to read and try, without the network:
Swagger UI comes from a Python package, not from a CDN."""

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, Response

from core.api.deps import Public
from core.api.scopes import scopes_for
from core.errors import NotFound

router = APIRouter(route_class=Public, include_in_schema=False)
ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                    },
                },
                "request_id": {"type": "string"},
            },
        }
    },
}


@router.get("/docs")
def show_docs() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/api/openapi.json",
        title="Luthier API",
        swagger_js_url="/api/docs/swagger-ui-bundle.js",
        swagger_css_url="/api/docs/swagger-ui.css",
        swagger_favicon_url="/api/docs/favicon-32x32.png",
        swagger_ui_parameters={
            "persistAuthorization": False,
            "docExpansion": "list",
            "tryItOutEnabled": True,
        },
    )


@router.get("/docs/{name}")
def get_asset(name: str) -> Response:
    if name not in ASSETS:
        raise NotFound
    content = (files("fastapi_swagger") / "resources" / name).read_bytes()
    return Response(content, media_type=ASSETS[name], headers={"Cache-Control": "public, max-age=86400"})


def _keys(method: str, path: str) -> str:
    scopes = " or ".join(f"`{scope}`" for scope in scopes_for(method.upper(), "/api" + path))
    return f"API keys: scope {scopes}." if scopes else "API keys: none, only a signed token."


def describe(api: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, with our way of signing in and our error body instead of FastAPI's."""
    if api.openapi_schema:
        return api.openapi_schema
    schema = get_openapi(
        title=api.title,
        version=api.version,
        description=api.description,
        routes=api.routes,
        servers=[{"url": "/api"}],
    )
    parts = schema.setdefault("components", {})
    parts["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT or API key (sk-…)"}
    }
    parts.setdefault("schemas", {})["Error"] = ERROR
    for unused in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(unused, None)
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            operation["responses"]["4XX"] = {
                "description": "Error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }
            if path not in ("/auth/register", "/auth/login"):
                operation["security"] = [{"token": []}]
                operation["description"] = f"{operation['description']}\n\n{_keys(method, path)}"
    api.openapi_schema = schema
    return schema
