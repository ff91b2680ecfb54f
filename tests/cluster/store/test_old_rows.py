"""A database from before there was a vault: everything in it is sealed by its migration, and reads as before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from actors.domain.token import KnownToken
from actors.errors import Unavailable
from actors.ports import Needs, StoredAnswer
from actors.turn import digest
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.data_keys import PostgresDataKeys
from cluster.store.engine import make_engine
from cluster.store.fleet import PostgresFleet
from cluster.store.holders import digest_key
from cluster.store.migrate import alembic_config, migrate
from cluster.store.old_rows import REVISION
from cluster.store.queries import PostgresQueries
from cluster.vault.key_file import KeyFile
from cluster.vault.keyring import KeyRing

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ID = str(UUID(int=1))
START = '{"connectorId":1,"idTag":"ANNA","meterStart":0}'
STATE = (
    f'{{"id":"{ID}","station_id":"CP-1","transaction_id":"1","created_at":"2026-05-04T12:00:00Z",'
    '"id_token":"ANNA","start_key":"1|anna|12:00|0"}'
)
OLD_DIGEST = digest(START.encode(), b"")
OLD_ROWS = [
    f"""INSERT INTO transactions (id, station_id, transaction_id, start_key, created_at, began_at, id_token, token_key,
        energy_wh, complete, state) VALUES ('{ID}', 'CP-1', '1', '1|anna|12:00|0', '{NOON}', '{NOON}', 'ANNA', 'anna',
        0, false, '{STATE}')""",
    f"""INSERT INTO transaction_events VALUES ('CP-1', '1', '#{OLD_DIGEST}', NULL, 'Started', '{NOON}', '{NOON}', false,
        '{START}', '', '{{"transactionId":"1"}}'), ('CP-1', '1', '7', 7, 'Updated', '{NOON}', '{NOON}', false, '{{}}',
        '', '')""",
    f"INSERT INTO notices VALUES ('CP-1', '{NOON}', 'DataTransfer/x', '{OLD_DIGEST}', '{NOON}', '{START}')",
    f"INSERT INTO station_readings VALUES ('CP-1', '{NOON}', 1, '{OLD_DIGEST}', '{NOON}', '{START}')",
    f"INSERT INTO variables VALUES ('CP-1', 'C', '', 0, 'V', '', 'Actual', '11000', 'ReadOnly', '{NOON}')",
    f"""INSERT INTO commands (id, station_id, action, payload, created_at, deadline, if_offline, requested_by, status,
        response) VALUES ('c-1', 'CP-1', 'Reset', '{{"type":"OnIdle"}}', '{NOON}', '{NOON}', 'wait', '', 'accepted',
        '{{"status":"Accepted"}}')""",
    """INSERT INTO id_tokens (token_key, id_token, status, group_id, master_pass, concurrent)
        VALUES ('anna', 'ANNA', 'Accepted', 'family', false, true), ('anna ', 'ANNA ', 'Blocked', NULL, false, true)""",
]


@pytest.fixture
async def old_database(empty_database: str) -> str:
    """Return a database of the release before, with a row in each table that is sealed now."""

    def upgrade(connection: Connection) -> None:
        config = alembic_config(connection)
        before = ScriptDirectory.from_config(config).get_revision(REVISION).down_revision
        command.upgrade(config, str(before))

    engine = make_engine(empty_database, "cloudbay tests")
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
        for statement in OLD_ROWS:
            await connection.execute(text(statement.replace(":", r"\:")))
    await engine.dispose()
    return empty_database


async def test_what_was_stored_before_is_sealed_and_reads_the_same(old_database: str, tmp_path: Path) -> None:
    provider = KeyFile(tmp_path / "wrapping.keys")
    await migrate(old_database, provider)
    engine = make_engine(old_database, "cloudbay tests")
    vault = await KeyRing(PostgresDataKeys(engine), provider, 30.0, lambda: datetime.now(UTC)).open()
    queries = PostgresQueries(engine, vault)
    store = PostgresChargerStore(engine, vault, "a", await PostgresFleet(engine).join("a", 60))

    (found,) = (await store.load(["CP-1"]))["CP-1"].transactions
    assert (found.id, found.id_token, found.start_key) == (ID, "ANNA", "1|anna|12:00|0")
    key = f"#{digest(START.encode(), digest_key(vault))}"
    needs = Needs("CP-1", ("anna",), "1", "1|anna|12:00|0", (key, "7"))
    (facts,) = await store.facts([needs])
    assert facts.starts == {"1|anna|12:00|0": found}
    assert facts.events == {
        ("1", key): StoredAnswer(START.encode(), b'{"transactionId":"1"}'),
        ("1", "7"): StoredAnswer(b"{}", b""),
    }
    assert facts.tokens == {"anna": KnownToken("ANNA", group_id="family", open_transactions=(ID,))}
    assert len((await queries.tokens()).items) == 1, "a token with blanks around it is the same token"
    assert [c.response for c in (await queries.commands("CP-1")).items] == [{"status": "Accepted"}]
    assert [v.value for v in (await queries.variables("CP-1")).items] == ["11000"]
    assert [n.payload for n in (await queries.notices("CP-1")).items] == [
        {"connectorId": 1, "idTag": "ANNA", "meterStart": 0}
    ]

    async with engine.connect() as connection:
        for table in ("transactions", "transaction_events", "notices", "station_readings", "id_tokens", "commands"):
            rows = [str(row) for row in await connection.execute(text(f"SELECT * FROM {table}"))]
            assert rows
            assert not [row for row in rows if "anna" in row.lower() or OLD_DIGEST in row]
    await engine.dispose()


async def test_without_a_key_provider_nothing_is_changed(old_database: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="sealed"):
        await migrate(old_database)
    assert (await migrate(old_database, KeyFile(tmp_path / "wrapping.keys")))[0].startswith(REVISION)


async def test_a_new_database_is_not_in_need_of_keys(empty_database: str) -> None:
    assert await migrate(empty_database)
