"""Brings a database to the newest schema, by alembic.

Works from a checkout and from an installed package; processes that start together wait for each other. Migrations only
go forward: the way back to an older release is a backup, because what a migration drops cannot be made up.
"""

from __future__ import annotations

import logging
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from actors.errors import Unavailable
from cluster.store.engine import make_engine, reachable
from cluster.store.old_rows import REVISION, holds_old_rows, seal_old_rows
from cluster.vault.ports import KeyProvider

log = logging.getLogger(__name__)

_LOCK: Final = 0x636C6F7564  # "cloud": the advisory lock of migrations


async def migrate(url: str, provider: KeyProvider | None = None) -> list[str]:
    """Run all migrations that are missing, in one transaction, and return each as "revision: what it does".

    A database from before there was a vault is sealed with keys that `provider` wraps; a new one needs none. Raises
    Unavailable when the database or the provider cannot be reached.
    """
    engine = make_engine(url, "cloudbay migrate", pool_size=1, command_timeout_s=None)
    try:
        async with reachable(), engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            applied = await connection.run_sync(_upgrade)
            if any(migration.startswith(REVISION) for migration in applied) and await holds_old_rows(connection):
                if provider is None:
                    raise Unavailable("this database is to be sealed, and nobody is given to wrap its keys")
                await seal_old_rows(connection, provider)
    finally:
        await engine.dispose()
    for migration in applied:
        log.info("migration applied", extra={"migration": migration})
    return applied


def alembic_config(connection: Connection) -> Config:
    """Return alembic's configuration for a connection that is open already."""
    config = Config()
    config.set_main_option("script_location", "cluster.store:migrations")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> list[str]:
    config = alembic_config(connection)
    scripts = ScriptDirectory.from_config(config)
    present = MigrationContext.configure(connection).get_current_heads()
    missing = list(scripts.iterate_revisions("head", present or "base"))
    command.upgrade(config, "head")
    return [f"{script.revision}: {script.doc}" for script in reversed(missing)]
