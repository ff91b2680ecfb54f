"""Identity put together: settings, stores and keys into services. It chooses no adapters, it is given them.

Must not know: HTTP, SQL, Valkey.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cluster.identity.account import Accounts
from cluster.identity.authorization import Authorization
from cluster.identity.brakes import Attempts, BrakeLimits, Brakes
from cluster.identity.clients import Clients, ClientStore
from cluster.identity.exchange import Exchange
from cluster.identity.grants import Grants, GrantStore
from cluster.identity.issuer import Issuer
from cluster.identity.login import Login
from cluster.identity.machine_keys import MachineKeys, MachineKeyStore
from cluster.identity.passwords import Passwords
from cluster.identity.people import CredentialStore, People, UserStore
from cluster.identity.services import IdentityServices, Retention
from cluster.identity.sessions import EndedQuery, RecentlyEnded, Sessions, SessionStore
from cluster.identity.signing import Signer
from cluster.identity.tickets import Tickets
from cluster.keys import Keys, derived
from configs.settings import Settings

_FORM_LIFE_S: Final = 1800
_ANY_HOST: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - told apart, not bound to


class IdentityStores(NamedTuple):
    """Where people and what belongs to them are kept."""

    users: UserStore
    credentials: CredentialStore
    sessions: SessionStore
    ended: EndedQuery
    clients: ClientStore
    grants: GrantStore
    machine_keys: MachineKeyStore
    attempts: Attempts
    retention: Retention


def assemble(
    settings: Settings,
    stores: IdentityStores,
    attempts: Attempts,
    keys: Keys,
    machine_scopes: frozenset[str],
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
) -> IdentityServices:
    """Return identity on these stores; login attempts are counted in `attempts`, while it is away in the stores."""
    issuing, hashing = settings.issuer, settings.passwords
    passwords = Passwords(hashing.memory_kib, hashing.iterations, hashing.lanes, hashing.max_at_once, hashing.min_chars)
    clients = Clients(stores.clients, tuple(issuing.audiences), machine_scopes, clock)
    sessions = Sessions(stores.sessions, issuing.session_idle_s, issuing.session_max_s, clock, new_id)
    ended = RecentlyEnded(stores.ended, issuing.access_token_ttl_s, issuing.ended_poll_s, clock)
    limits = BrakeLimits(**settings.brakes.model_dump())
    brakes = Brakes(attempts, stores.attempts, limits, derived(keys.token, "attempts"), clock)
    grants = Grants(stores.grants, issuing.code_ttl_s, issuing.refresh_token_ttl_s, clock)
    signer = Signer(keys.issuer, issuer_url(settings), clock, new_id)
    login = Login(stores.credentials, passwords, brakes, clock)
    issuer = Issuer(
        authorization=Authorization(clients, grants, signer.issuer, clock, new_id),
        exchange=Exchange(clients, grants, sessions, stores.users, signer, issuing.access_token_ttl_s),
        login=login,
        sessions=sessions,
        tickets=Tickets(derived(keys.token, "forms"), _FORM_LIFE_S, clock),
        signer=signer,
        clients=clients,
        grants=grants,
        users=stores.users,
        ended=ended,
        machine_scopes=machine_scopes,
    )
    return IdentityServices(
        issuer=issuer,
        people=People(stores.users, stores.credentials, passwords, hashing.one_time_ttl_s, clock, new_id),
        users=stores.users,
        sessions=sessions,
        accounts=Accounts(stores.users, sessions, login),
        clients=clients,
        machine_keys=MachineKeys(stores.machine_keys, machine_scopes, clock),
        ended=ended,
        retention=stores.retention,
        keep_ended=timedelta(days=issuing.keep_ended_days),
        clock=clock,
        close=passwords.close,
    )


def issuer_url(settings: Settings) -> str:
    """Return the embedded issuer's name: its own setting, else the API's address on this machine."""
    host = "127.0.0.1" if settings.api.host in _ANY_HOST else settings.api.host
    return settings.issuer.url or f"http://{f'[{host}]' if ':' in host else host}:{settings.api.port}"
