"""The first login of a new platform: an admin with a one-time password, told once on the screen of `cloudbay up`.

Must not know: where people are kept.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from cluster.identity.assembly import IdentityStores, assemble, issuer_url
from cluster.identity.people import NewLogin
from cluster.keys import Keys
from configs.settings import Settings


async def first_login(settings: Settings, keys: Keys, stores: IdentityStores) -> NewLogin | None:
    """Make the first admin and the web pages' client; None when somebody is there already, or logs in elsewhere."""
    if not settings.issuer.enabled:
        return None
    identity = assemble(
        settings, stores, stores.attempts, keys, frozenset(), lambda: datetime.now(UTC), lambda: str(uuid4())
    )
    try:
        issuing = settings.issuer
        return await identity.prepare(frozenset(issuing.web_redirect_uris), frozenset(issuing.web_logout_uris))
    finally:
        identity.close()


def told(made: NewLogin, settings: Settings) -> str:
    """Return what to show of it, once."""
    until = made.expires_at.astimezone().strftime("%Y-%m-%d %H:%M")
    where = f"{issuer_url(settings)}/oauth2/login"
    return (
        f"first login   {where}   name {made.user.login}   password {made.one_time_password}\n"
        f"              shown once, good until {until}; it asks for a password of your own"
    )
