"""The page that shows an application's description and lets its reader try it; it brings its own scripts."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from serve.headers import policy

STATIC = "/static-offline-docs"


def add_page(app: FastAPI, prefix: str) -> None:
    """Serve the page of an application that lives at `prefix`."""
    files = prefix + STATIC
    made = get_swagger_ui_html(
        openapi_url=f"{prefix}{app.openapi_url}",
        title=app.title,
        swagger_js_url=f"{files}/swagger-ui-bundle.js",
        swagger_css_url=f"{files}/swagger-ui.css",
        swagger_favicon_url=f"{files}/favicon.png",
    )
    page = bytes(made.body).decode()
    allowed = policy(page, "script", "style", "connect") + "; img-src 'self' data:"

    @app.get("/docs", include_in_schema=False)
    async def page_of_application() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": allowed})
