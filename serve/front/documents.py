"""Pages for people: where the applications are, and what the relations of their links mean."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from actors.errors import NotFound
from serve.headers import policy
from serve.relations import RELATIONS

router = APIRouter(tags=["documentation"], default_response_class=HTMLResponse)

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}
dt{font-weight:600;margin-top:1rem}dd{margin:0}"""
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
{body}
</html>
"""
_POLICY = policy(f"<style>{_STYLE}</style>")


@router.get("/")
@router.get("/docs")
async def overview() -> HTMLResponse:
    """Show where the API is described."""
    body = """<p>The API has two applications; each begins at its root and is walked by links (HAL).</p>
<dl><dt><a href="/admin/v1/docs">/admin/v1</a></dt><dd>Staff: the fleet, its stations, the platform.</dd>
<dt><a href="/app/v1/docs">/app/v1</a></dt><dd>App users: their stations, their charges, with whom they share.</dd>
<dt><a href="/docs/relations">Relations</a></dt><dd>What the links of their answers lead to.</dd></dl>"""
    return _page(title="CloudBay", body=body)


@router.get("/docs/relations")
async def relations() -> HTMLResponse:
    """Show what every relation means."""
    rows = "".join(f'<dt id="{name}">cb:{name}</dt><dd>{escape(text)}</dd>' for name, text in RELATIONS.items())
    return _page(title="Relations", body=f"<dl>{rows}</dl>")


@router.get("/docs/relations/{name}")
async def relation(name: str) -> HTMLResponse:
    """Show what one relation means."""
    if name not in RELATIONS:
        raise NotFound(f"there is no relation cb:{name}")
    return _page(title=f"cb:{name}", body=f"<p>{escape(RELATIONS[name])}</p>")


def _page(title: str, body: str) -> HTMLResponse:
    page = _PAGE.format(title=title, style=_STYLE, body=body)
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})
