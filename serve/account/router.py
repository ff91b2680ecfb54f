"""One's own account: who one is, one's sessions, one's password."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cluster.identity.account import has_password
from cluster.identity.people import LOCAL_ISSUER
from cluster.identity.sessions import Session
from serve.account.wire import AccountOut, PasswordChange, SessionOut
from serve.context import Asking, Context
from serve.hal import Link, ListOf, Template, present
from serve.origin import address_of
from serve.pages import Cursor, Limit, listed
from serve.route import operations

router = operations("/account", "account")


@router.get("", response_model=AccountOut)
async def who_am_i(asking: Asking) -> dict[str, object]:
    """Return who the caller is here, and may do with the own account."""
    caller = asking.caller
    user = await asking.services.identity.accounts.of(caller)
    links = {
        "cb:sessions": asking.link("GET /account/sessions", query="limit"),
        "cb:logout": _logout(asking),
    }
    change = asking.form("PUT /account/password", "Change the password", body=PasswordChange)
    return {
        "subject": caller.subject,
        "issuer": caller.issuer,
        "login": None if user is None else user.login,
        "name": None if user is None else user.name,
        "email": None if user is None else user.email,
        "roles": sorted(caller.roles),
        "scopes": None if caller.scopes is None else sorted(caller.scopes),
        "logged_in_at": caller.logged_in_at,
        "session_id": caller.session_id,
        "links": {"self": asking.here, "curies": asking.curies, **present(links)},
        "templates": present({"change-password": change if user is not None and has_password(user) else None}),
    }


@router.put("/password", status_code=204)
async def change_password(asked: PasswordChange, asking: Asking) -> None:
    """Replace the own password; all other sessions end."""
    address = address_of(asking.request)
    await asking.services.identity.accounts.change_password(asking.caller, asked.present, asked.new, address)


@router.get("/sessions", response_model=ListOf[SessionOut])
async def list_my_sessions(asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> dict[str, object]:
    """List the browsers in which the caller has logged in, the newest first."""
    page = await asking.services.identity.accounts.sessions(asking.caller, cursor, limit)
    forms = {"end-all": asking.form("DELETE /account/sessions", "Log out everywhere")}
    return listed(asking, "cb:session", page, session_in(asking, lambda session: _end(asking, session)), forms)


@router.delete("/sessions", status_code=204)
async def end_my_sessions(asking: Asking) -> None:
    """Log out everywhere, here too."""
    await asking.services.identity.accounts.end_sessions(asking.caller)


@router.delete("/sessions/{session_id}", status_code=204)
async def end_my_session(session_id: str, asking: Asking) -> None:
    """Log out in one browser."""
    await asking.services.identity.accounts.end_session(asking.caller, session_id)


def session_in(asking: Context, end: Callable[[Session], Template | None]) -> Callable[[Session], dict[str, object]]:
    """Return how a session is shown in a list; `end` makes the form of those that go on."""

    def shown(session: Session) -> dict[str, object]:
        goes_on = session.ended_at is None and asking.services.clock() < session.expires_at
        return {
            **msgspec.structs.asdict(session),
            "current": session.id == asking.caller.session_id,
            "links": {},
            "templates": present({"end": end(session) if goes_on else None}),
        }

    return shown


def _end(asking: Context, session: Session) -> Template | None:
    return asking.form("DELETE /account/sessions/{session_id}", "Log out there", {"session_id": session.id})


def _logout(asking: Context) -> Link | None:
    """Return where a browser signs out; other issuers than the embedded one have their own place for that."""
    here = asking.services.settings.issuer.enabled and asking.caller.issuer == LOCAL_ISSUER
    if not here or asking.caller.scopes is not None:
        return None
    return {"href": asking.services.identity.issuer.logout_url}
