"""People: who may log in, what they are, their passwords and sessions."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import Query, Response

from actors.errors import NotFound
from cluster.identity.caller import Role
from cluster.identity.people import (
    NewLogin,
    User,
    UserChange,
    UserFilter,
    UserStatus,
    hindrance_to_change,
    hindrance_to_reset,
)
from cluster.identity.sessions import Session
from serve.account.router import session_in
from serve.account.wire import SessionOut
from serve.admin.identity_wire import LoginName, NewLoginOut, UserAsked, UserChangeAsked, UserItemOut, UserOut
from serve.context import Asking, Context
from serve.etags import IfMatch, expected, quoted
from serve.hal import ListOf, Template, present
from serve.headers import NO_STORE
from serve.idempotency import Once
from serve.pages import Cursor, Limit, listed
from serve.route import operations

router = operations("/people", "people")

FILTERS: Final = "login,role,status,limit"
_ONE: Final = "GET /people/{subject}"
_CHANGE: Final = "PATCH /people/{subject}"
_SESSIONS: Final = "/people/{subject}/sessions"


@router.get("", response_model=ListOf[UserItemOut])
async def list_people(
    asking: Asking,
    login: Annotated[LoginName | None, Query(description="A whole login name; parts are sealed.")] = None,
    role: Annotated[Role | None, Query(description="Those who log in here with this role.")] = None,
    status: UserStatus | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, object]:
    """List people, the first known first."""
    page = await asking.services.identity.people.page(cursor, limit, UserFilter(login, role, status))
    forms = {"create": asking.form("POST /people", "Add somebody who logs in here", body=UserAsked)}
    return listed(asking, "cb:user", page, lambda user: _item(asking, user), forms)


@router.post("", status_code=201, response_model=NewLoginOut, dependencies=[Once])
async def create_person(asked: UserAsked, asking: Asking, response: Response) -> dict[str, object]:
    """Add somebody with a one-time password, which is shown this once."""
    people = asking.services.identity.people
    made = await people.create(asked.login, frozenset(asked.roles), asked.name, asked.email)
    response.headers["Location"] = asking.href("/people/{subject}", {"subject": made.user.id})
    return _with_password(asking, made, response)


@router.get("/{subject}", response_model=UserOut)
async def get_person(subject: str, asking: Asking, response: Response) -> dict[str, object]:
    """Return one person."""
    return _shown(asking, await asking.services.identity.people.find(subject), response)


@router.patch("/{subject}", response_model=UserOut)
async def change_person(
    subject: str, asked: UserChangeAsked, asking: Asking, response: Response, if_match: IfMatch = None
) -> dict[str, object]:
    """Change name, e-mail address, roles, or lock and unlock the account; roles and locks end the person's sessions."""
    people, version = asking.services.identity.people, _version(if_match)
    return _shown(asking, await people.change(asking.caller, subject, _change(asked), version), response)


@router.post("/{subject}/password", response_model=NewLoginOut, dependencies=[Once])
async def reset_password(subject: str, asking: Asking, response: Response) -> dict[str, object]:
    """Replace a password by a one-time password, which is shown this once; ends the person's sessions."""
    made = await asking.services.identity.people.reset_password(asking.caller, subject)
    return _with_password(asking, made, response)


@router.get("/{subject}/sessions", response_model=ListOf[SessionOut])
async def list_sessions(subject: str, asking: Asking, cursor: Cursor = None, limit: Limit = 100) -> dict[str, object]:
    """List the browsers in which a person has logged in, the newest first."""
    await asking.services.identity.people.find(subject)
    page = await asking.services.identity.sessions.page(subject, cursor, limit)

    def end(session: Session) -> Template | None:
        at = {"subject": subject, "session_id": session.id}
        return asking.form(f"DELETE {_SESSIONS}/{{session_id}}", "End the session", at)

    forms = {"end-all": asking.form(f"DELETE {_SESSIONS}", "End all sessions", {"subject": subject})}
    return listed(asking, "cb:session", page, session_in(asking, end), forms)


@router.delete("/{subject}/sessions", status_code=204)
async def end_sessions(subject: str, asking: Asking) -> None:
    """End all sessions of a person, and what clients hold of them."""
    await asking.services.identity.people.find(subject)
    await asking.services.identity.sessions.end(subject)


@router.delete("/{subject}/sessions/{session_id}", status_code=204)
async def end_session(subject: str, session_id: str, asking: Asking) -> None:
    """End one session of a person, and what clients hold of it."""
    if not await asking.services.identity.sessions.end(subject, session_id):
        raise NotFound("there is no such session, or it has ended")


def _change(asked: UserChangeAsked) -> UserChange:
    named = asked.model_fields_set
    return UserChange(
        email=asked.email if "email" in named else msgspec.UNSET,
        name=asked.name if "name" in named else msgspec.UNSET,
        roles=msgspec.UNSET if asked.roles is None else frozenset(asked.roles),
        status=msgspec.UNSET if asked.status is None else asked.status,
    )


def _tag(user: User) -> str:
    """Return the version that If-Match asks for, and what besides it makes another answer."""
    login = 0 if user.last_login_at is None else int(user.last_login_at.timestamp())
    return f"{user.version}-{login}"


def _version(if_match: str | None) -> int | None:
    """Return the version of a tag; who has logged in meanwhile is no lost update. 0, which nobody has, for no tag."""
    tag = expected(if_match)
    if tag is None:
        return None
    version = tag.partition("-")[0]
    return int(version) if version.isascii() and version.isdigit() and len(version) < _MAX_DIGITS else 0


_MAX_DIGITS: Final = 10


def _plain(user: User) -> dict[str, object]:
    return {**msgspec.structs.asdict(user), "subject": user.id, "roles": sorted(user.roles)}


def _item(asking: Context, user: User) -> dict[str, object]:
    return {**_plain(user), "links": present({"self": asking.link(_ONE, {"subject": user.id})})}


def _shown(asking: Context, user: User, response: Response) -> dict[str, object]:
    response.headers["ETag"] = quoted(_tag(user))
    at = {"subject": user.id}
    links = {
        "self": asking.link(_ONE, at),
        "cb:sessions": asking.link(f"GET {_SESSIONS}", at, query="limit"),
        "up": asking.link("GET /people"),
    }
    reset = asking.form("POST /people/{subject}/password", "Give a one-time password", at)
    forms = {
        "change": _change_form(asking, user, "Change the person", {}),
        "lock": _change_form(asking, user, "Lock the account", {"status": "disabled"}),
        "unlock": _change_form(asking, user, "Unlock the account", {"status": "active"}),
        "reset-password": reset if hindrance_to_reset(asking.caller, user) is None else None,
    }
    return {
        **_plain(user),
        "links": {"curies": asking.curies, **present(links)},
        "templates": present(forms),
    }


def _change_form(asking: Context, user: User, title: str, values: dict[str, object]) -> Template | None:
    """Return the form of a change, None for one that may not be, or that would change nothing."""
    change = msgspec.convert(values, UserChange)
    if change.status == user.status or hindrance_to_change(asking.caller, user, change) is not None:
        return None
    return asking.form(_CHANGE, title, {"subject": user.id}, body=UserChangeAsked, values=values)


def _with_password(asking: Context, made: NewLogin, response: Response) -> dict[str, object]:
    shown = _shown(asking, made.user, response)
    response.headers["Cache-Control"] = NO_STORE
    return {**shown, "one_time_password": made.one_time_password, "expires_at": made.expires_at}
