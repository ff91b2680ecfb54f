"""The stores of identity on one pool.

Must not know: what is done with them.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.identity.assembly import IdentityStores
from cluster.store.attempts import PostgresAttempts
from cluster.store.grants import PostgresClients, PostgresGrants
from cluster.store.machine_keys import PostgresMachineKeys
from cluster.store.people import PostgresCredentials, PostgresUsers
from cluster.store.sessions import PostgresRetention, PostgresSessions
from cluster.vault.vault import Vault


def identity_stores(engine: AsyncEngine, vault: Vault) -> IdentityStores:
    """Return all of them."""
    sessions = PostgresSessions(engine, vault)
    return IdentityStores(
        users=PostgresUsers(engine, vault),
        credentials=PostgresCredentials(engine, vault),
        sessions=sessions,
        ended=sessions,
        clients=PostgresClients(engine),
        grants=PostgresGrants(engine),
        machine_keys=PostgresMachineKeys(engine),
        attempts=PostgresAttempts(engine),
        retention=PostgresRetention(engine),
    )
