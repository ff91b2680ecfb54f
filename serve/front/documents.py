"""Pages for people: where the applications are, and what the relations of their links mean."""

from __future__ import annotations

import re
from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from actors.errors import NotFound
from serve.headers import policy
from serve.relations import RELATIONS

router = APIRouter(tags=["documentation"], default_response_class=HTMLResponse)

_STYLE = """:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}
dt{font-weight:600;margin-top:1rem}dd{margin:0}
@media(prefers-color-scheme:dark){a{color:#8ab4f8}}"""
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - CloudBay</title>
<style>{style}</style>
{way}
<main>
<h1>{title}</h1>
{body}
</main>
</html>
"""
_WAY = '<nav><a href="/docs">CloudBay</a> / <a href="/docs/relations">Relations</a></nav>'
_CODE = re.compile(r"`([^`]*)`")
_POLICY = policy(f"<style>{_STYLE}</style>")


@router.get("/")
@router.get("/docs")
async def overview(request: Request) -> HTMLResponse:
    """Show where the API is described, and where people log in if they do so here."""
    here = getattr(request.app.state, "issuer", None) is not None
    log_in = '<dt><a href="/oauth2/login">Log in</a></dt><dd>Once, for both; change a one-time password.</dd>'
    body = f"""<p>The API has two applications; each begins at its root and is walked by links (HAL).</p>
<dl><dt><a href="/admin/v1/docs">/admin/v1</a></dt><dd>Staff: the fleet, its stations, the platform.</dd>
<dt><a href="/app/v1/docs">/app/v1</a></dt><dd>App users: their stations, their charges, with whom they share.</dd>
<dt><a href="/docs/relations">Relations</a></dt><dd>What the links of their answers lead to.</dd>
{log_in if here else ""}</dl>"""
    return _page(title="Overview", body=body)


@router.get("/docs/relations")
async def relations() -> HTMLResponse:
    """Show what every relation means."""
    rows = "".join(
        f'<dt id="{name}"><a href="/docs/relations/{name}">cb:{name}</a></dt><dd>{_text(text)}</dd>'
        for name, text in RELATIONS.items()
    )
    return _page(title="Relations", body=f"<dl>{rows}</dl>")


@router.get("/docs/relations/{name}")
async def relation(name: str) -> HTMLResponse:
    """Show what one relation means."""
    if name not in RELATIONS:
        raise NotFound(f"there is no relation cb:{name}; all are at /docs/relations")
    return _page(title=f"cb:{name}", body=f"<p>{_text(RELATIONS[name])}</p>")


def _text(text: str) -> str:
    """Return a text with its names of fields and forms set as code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _page(title: str, body: str) -> HTMLResponse:
    page = _PAGE.format(title=title, style=_STYLE, way=_WAY, body=body)
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})
