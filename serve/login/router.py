"""The embedded issuer's endpoints, for a FastAPI application with an `Issuer` in its state. They decide nothing.

    app.state.issuer = issuer
    app.include_router(router)

Must not know: how people, clients and tokens are kept.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from actors.errors import TooMany
from cluster.identity.authorization import AuthorizationRequest
from cluster.identity.issuer import Issuer
from cluster.identity.login import BadLogin
from cluster.identity.opaque import make_secret
from cluster.identity.passwords import WeakPassword
from cluster.identity.sessions import Session
from cluster.identity.signing import NotOurToken
from cluster.identity.tickets import BadTicket
from serve.login.browser import Cookie, fields, form, is_own_page
from serve.login.pages import Page, logged_in_page, logged_out_page, login_page, logout_page, password_page
from serve.login.routes import NO_STORE, PageRoute, ProtocolRoute, redirect, retry_after
from serve.origin import address_of

_PUBLIC: Final = {"Cache-Control": "public, max-age=300"}

router = APIRouter(include_in_schema=False)
_programs = APIRouter(route_class=ProtocolRoute)
_people = APIRouter(route_class=PageRoute)


def _issuer(request: Request) -> Issuer:
    issuer: Issuer = request.app.state.issuer
    return issuer


Issuing = Annotated[Issuer, Depends(_issuer)]


@_programs.get("/.well-known/openid-configuration")
@_programs.get("/.well-known/oauth-authorization-server")
async def discovery(issuer: Issuing) -> Response:
    """Return what the issuer can do and where."""
    return JSONResponse(issuer.discovery(), headers=_PUBLIC)


@_programs.get("/oauth2/jwks")
async def jwks(issuer: Issuing) -> Response:
    """Return the public keys."""
    return JSONResponse(issuer.signer.jwks(), headers=_PUBLIC)


@_programs.post("/oauth2/token")
async def token(request: Request, issuer: Issuing) -> Response:
    """Exchange a code, a refresh token or a client's secret for an access token."""
    answer = await issuer.exchange.token(await form(request), request.headers.get("authorization"))
    return JSONResponse(answer, headers=NO_STORE)


@_programs.post("/oauth2/revoke")
async def revoke(request: Request, issuer: Issuing) -> Response:
    """Take a token back."""
    await issuer.revoke(await form(request), request.headers.get("authorization"))
    return Response(headers=NO_STORE)


@_programs.get("/oauth2/userinfo")
@_programs.post("/oauth2/userinfo")
async def userinfo(request: Request, issuer: Issuing) -> Response:
    """Return who an access token speaks for."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise NotOurToken("a bearer token is needed")
    return JSONResponse(await issuer.userinfo(bearer.strip()), headers=NO_STORE)


@_people.get("/oauth2/authorize")
@_people.post("/oauth2/authorize")
async def authorize(request: Request, issuer: Issuing) -> Response:
    """Send the browser back with a code; ask the person to log in before, if needed."""
    given = fields(request.url.query) if request.method == "GET" else await form(request)
    asked = await issuer.authorization.read(given)
    cookie = Cookie(issuer.url)
    session = await issuer.sessions.current(cookie.of(request))
    if not issuer.authorization.needs_login(asked, session) and session is not None:
        return redirect(await issuer.authorization.grant(asked, session))
    note = "" if session is None else "This asks you to log in again, to be sure that it is you."
    return _opened(request, issuer, asked, urlencode(given), note)


@_people.get("/oauth2/login")
async def open_login(request: Request, issuer: Issuing) -> Response:
    """Let a person log in whom no application has sent: a first login, or a page that was loaded again."""
    session = await issuer.sessions.current(Cookie(issuer.url).of(request))
    return _opened(request, issuer, None, "") if session is None else logged_in_page()


@_people.get("/oauth2/password")
async def open_password() -> Response:
    """Send who loads the page of a new password again to where they log in."""
    return redirect("/oauth2/login")


@_people.post("/oauth2/login")
async def login(request: Request, issuer: Issuing) -> Response:
    """Check login name and password."""
    posted, browser = await _posted(request, issuer)
    kept = issuer.tickets.read(posted.get("ticket", ""), "login", browser)
    asked = await _asked(issuer, kept["request"])
    name = posted.get("login", "")
    try:
        proof = await issuer.login.attempt(name, posted.get("password", ""), address_of(request))
    except (BadLogin, TooMany) as error:
        status = error.http_status if isinstance(error, TooMany) else 400
        page = _login_page(issuer, asked, kept["request"], browser, name, fault=str(error), status=status)
        page.headers.update(retry_after(error))
        return page
    if not proof.must_change:
        return await _entered(request, issuer, asked, proof.user_id)
    kept |= {"user_id": proof.user_id, "login": proof.login, "fingerprint": proof.fingerprint}
    ticket = issuer.tickets.make("password", browser, kept)
    return password_page({"ticket": ticket}, _target(asked), proof.login, issuer.login.password_rule)


@_people.post("/oauth2/password")
async def new_password(request: Request, issuer: Issuing) -> Response:
    """Set a password of the person's own in the place of a one-time password, and go on."""
    posted, browser = await _posted(request, issuer)
    ticket = posted.get("ticket", "")
    kept = issuer.tickets.read(ticket, "password", browser)
    asked = await _asked(issuer, kept["request"])
    new = posted.get("new_password", "")
    fault = "" if new == posted.get("again") else "the two passwords differ"
    try:
        if not fault:
            await issuer.login.change_password(kept["user_id"], kept["login"], kept["fingerprint"], new)
    except WeakPassword as error:
        fault = str(error)
    if fault:
        rule = issuer.login.password_rule
        return password_page({"ticket": ticket}, _target(asked), kept["login"], rule, fault, 400)
    return await _entered(request, issuer, asked, kept["user_id"])


@_people.get("/oauth2/logout")
@_people.post("/oauth2/logout")
async def logout(request: Request, issuer: Issuing) -> Response:
    """End the session: at once when its client names it, after a question otherwise (RP-Initiated Logout)."""
    given = fields(request.url.query) if request.method == "GET" else await form(request)
    cookie = Cookie(issuer.url)
    browser = cookie.of(request) or ""
    session = await issuer.sessions.current(browser)
    if request.method == "POST" and "ticket" in given:
        _, browser = await _posted(request, issuer, given)
        target = issuer.tickets.read(given["ticket"], "logout", browser).get("target") or None
    else:
        target, named = await issuer.logout_target(given)
        if session is not None and session.id != named:
            ticket = issuer.tickets.make("logout", browser, {"target": target or ""})
            return logout_page({"ticket": ticket}, target)
    return await _left(issuer, cookie, session, target)


async def _posted(request: Request, issuer: Issuer, given: dict[str, str] | None = None) -> tuple[dict[str, str], str]:
    """Return a form of one of our own pages and the browser's cookie. Raises BadTicket for any other."""
    browser = Cookie(issuer.url).of(request)
    if browser is None or not is_own_page(request, issuer.url):
        raise BadTicket
    return (await form(request) if given is None else given), browser


async def _asked(issuer: Issuer, request: str) -> AuthorizationRequest | None:
    """Return what an application has asked for, None when none has."""
    return await issuer.authorization.read(fields(request)) if request else None


def _target(asked: AuthorizationRequest | None) -> str | None:
    return None if asked is None else asked.redirect_uri


async def _entered(request: Request, issuer: Issuer, asked: AuthorizationRequest | None, user_id: str) -> Response:
    cookie = Cookie(issuer.url)
    previous = await issuer.sessions.current(cookie.of(request))
    agent = request.headers.get("user-agent")
    session, secret = await issuer.sessions.begin(user_id, previous, address_of(request), agent)
    target = "/oauth2/login" if asked is None else await issuer.authorization.grant(asked, session)
    return cookie.given(redirect(target), secret)


async def _left(issuer: Issuer, cookie: Cookie, session: Session | None, target: str | None) -> Response:
    if session is not None:
        await issuer.log_out(session)
    return cookie.taken(logged_out_page() if target is None else redirect(target))


def _opened(
    request: Request, issuer: Issuer, asked: AuthorizationRequest | None, query: str, note: str = ""
) -> Response:
    cookie = Cookie(issuer.url)
    browser = cookie.of(request) or make_secret()
    hint = "" if asked is None else asked.login_hint or ""
    page = _login_page(issuer, asked, query, browser, hint, note)
    return page if cookie.of(request) else cookie.given(page, browser)


def _login_page(
    issuer: Issuer,
    asked: AuthorizationRequest | None,
    request: str,
    browser: str,
    login: str,
    note: str = "",
    fault: str = "",
    status: int = 200,
) -> Page:
    ticket = issuer.tickets.make("login", browser, {"request": request})
    return login_page({"ticket": ticket}, _target(asked), login, note, fault, status)


router.include_router(_programs)
router.include_router(_people)
