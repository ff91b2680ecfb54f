"""A planted marker is found nowhere: not in the database's files and logs, not in a dump, not in our logs.

A second marker, in what is stored as it is, shows that the search would find the first.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.command import Command
from actors.domain.token import KnownToken
from actors.turn import Rules
from cluster.batch import Connect, Frame, Item, encode
from cluster.embedded import EmbeddedPostgres
from cluster.host import ChargerHost, HostLimits
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.data_keys import PostgresDataKeys
from cluster.store.engine import database_url, make_engine
from cluster.store.fleet import PostgresFleet
from cluster.store.frame_log import PostgresFrameLog
from cluster.store.holders import digest_key
from cluster.store.migrate import migrate
from cluster.store.queries import PostgresQueries
from cluster.store.tokens import PostgresTokens
from cluster.vault.key_file import KeyFile
from cluster.vault.keyring import KeyRing
from cluster.vault.vault import Vault
from tests.cluster.unlucky import NoGateway
from tests.twins.watchers import MemoryBus

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SECRET = "PLANTED-7F3A9C"
"""An id token, a part of an e-mail address, a password: whatever must not be found."""
PUBLIC = "INPLAINSIGHT42"
EMAIL = f"{SECRET}@example.org"


class Planted:
    """A database of its own, with a host that has heard and said the marker in every way a station can."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = EmbeddedPostgres(folder)
        self.url = self.server.start()
        self.engine: AsyncEngine
        self.vault: Vault

    async def fill(self) -> None:
        await migrate(self.url)
        self.engine = make_engine(self.url, "cloudbay tests")
        provider = KeyFile(self.folder / "secrets" / "wrapping.keys")
        self.vault = await KeyRing(PostgresDataKeys(self.engine), provider, 30.0, lambda: NOON).open()
        await PostgresTokens(self.engine, self.vault).put(KnownToken(SECRET, group_id=f"{SECRET}-family"))
        await self._converse()

    async def _converse(self) -> None:
        epoch = await PostgresFleet(self.engine).join("a", 60)
        store = PostgresChargerStore(self.engine, self.vault, "a", epoch)
        log = PostgresFrameLog(self.engine, self.vault, timedelta(hours=24), 1000, lambda: NOON)
        log.start()
        rules = Rules(accept_unknown_stations=True, digest_key=digest_key(self.vault))
        host = ChargerHost(store, NoGateway(), log, MemoryBus(), rules, HostLimits(partitions=4), clock=lambda: NOON)
        host.hold(range(4), {})
        await host.ingest(encode([Connect(s, "g", v, None, "") for s, v in STATIONS.items()]))
        for items in CONVERSATION:
            await host.ingest(encode([items]))
        for command in COMMANDS:
            await host.submit(command)
        await log.close()

    async def execute(self, statement: TextClause) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(statement)

    async def stop(self) -> None:
        """Bring everything from memory into the files; a checkpoint would leave out what is unlogged."""
        await self.engine.dispose()
        await asyncio.to_thread(self.server.stop)

    def dump(self) -> bytes:
        """Return a backup as pg_dump makes it."""
        parsed = database_url(self.url)
        socket = parsed.query["host"]
        program = self.server._binary.with_name("pg_dump")
        command = [str(program), "-h", str(socket), "-U", str(parsed.username), str(parsed.database)]
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout

    @property
    def data(self) -> Path:
        return self.folder / "postgres" / "data"

    @property
    def log_file(self) -> Path:
        return self.folder / "postgres" / "postgres.log"

    def files(self) -> Iterator[tuple[Path, bytes]]:
        for path in self.data.rglob("*"):
            if path.is_file():
                yield path, path.read_bytes()


STATIONS = {"CP-2": "ocpp2.0.1", "CP-16": "ocpp1.6"}
STAMP = NOON.isoformat()
EVENT = {
    "eventType": "Started",
    "timestamp": STAMP,
    "triggerReason": "Authorized",
    "seqNo": 0,
    "transactionInfo": {"transactionId": "tx-1"},
    "evse": {"id": 1, "connectorId": 1},
    "idToken": {"idToken": SECRET, "type": "ISO14443"},
    "customData": {"vendorId": "x", "email": EMAIL},
}
BOOT = {"reason": "PowerUp", "chargingStation": {"model": PUBLIC, "vendorName": PUBLIC}}
REPORT = {
    "requestId": 1,
    "generatedAt": STAMP,
    "seqNo": 0,
    "reportData": [
        {
            "component": {"name": "SecurityCtrlr"},
            "variable": {"name": "BasicAuthPassword"},
            "variableAttribute": [{"value": SECRET}],
        }
    ],
}
READINGS = {
    "evseId": 1,
    "meterValue": [{"timestamp": STAMP, "sampledValue": [{"value": 1.0}]}],
    "customData": {"vendorId": EMAIL},
}
START16 = {"connectorId": 1, "idTag": SECRET, "meterStart": 0, "timestamp": STAMP}


def call(station_id: str, action: str, payload: object) -> Item:
    return Frame(station_id, 1, orjson.dumps([2, f"m-{action}", action, payload]))


CONVERSATION = [
    call("CP-2", "BootNotification", BOOT),
    call("CP-2", "Authorize", {"idToken": {"idToken": SECRET, "type": "ISO14443"}}),
    call("CP-2", "TransactionEvent", EVENT),
    call("CP-2", "TransactionEvent", {**EVENT, "eventType": "Ended", "seqNo": 1}),
    call("CP-2", "TransactionEvent", {**EVENT, "customData": {"vendorId": "x", "email": f"2{EMAIL}"}}),  # a conflict
    call("CP-2", "DataTransfer", {"vendorId": "x", "data": EMAIL}),
    call("CP-2", "NotifyReport", REPORT),
    call("CP-2", "MeterValues", READINGS),
    call("CP-2", "NoSuchAction", {"email": EMAIL}),
    Frame("CP-2", 1, b"no frame at all: " + EMAIL.encode()),
    Frame("CP-2", 1, orjson.dumps([2, "m-bad", "TransactionEvent", {"idToken": SECRET, "email": EMAIL}])),
    call("CP-16", "BootNotification", {"chargePointVendor": PUBLIC, "chargePointModel": "m"}),
    call("CP-16", "StartTransaction", START16),
    call("CP-16", "StartTransaction", START16),
    call("CP-16", "StopTransaction", {"transactionId": 0, "idTag": SECRET, "meterStop": 1, "timestamp": STAMP}),
]
ORDERS: list[tuple[str, dict[str, object]]] = [
    ("RequestStartTransaction", {"idToken": {"idToken": SECRET, "type": "Central"}}),
    (
        "SetVariables",
        {
            "setVariableData": [
                {
                    "component": {"name": "SecurityCtrlr"},
                    "variable": {"name": "BasicAuthPassword"},
                    "attributeValue": SECRET,
                }
            ]
        },
    ),
]
COMMANDS = [
    Command(f"00000000-0000-0000-0000-00000000000{n}", "CP-2", action, payload, NOON, NOON + timedelta(minutes=5))
    for n, (action, payload) in enumerate(ORDERS)
]


@pytest.fixture
async def planted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Planted]:
    caplog.set_level(logging.DEBUG)
    it = await asyncio.to_thread(Planted, tmp_path)
    try:
        await it.fill()
        yield it
    finally:
        await it.stop()


def spellings(marker: str) -> list[bytes]:
    """Return a marker as it may stand in a file: as it is, folded, and as PostgreSQL writes bytes in text."""
    return [form for word in (marker, marker.lower()) for form in (word.encode(), word.encode().hex().encode())]


def holds(content: bytes, marker: str) -> bool:
    return any(form in content for form in spellings(marker))


async def test_what_was_planted_is_in_no_file_of_the_database_and_in_no_backup(planted: Planted) -> None:
    backup = await asyncio.to_thread(planted.dump)
    assert holds(backup, PUBLIC)
    assert not holds(backup, SECRET)

    await planted.stop()
    assert [path for path, content in planted.files() if holds(content, SECRET)] == []
    folders = {path.relative_to(planted.data).parts[0] for path, content in planted.files() if holds(content, PUBLIC)}
    assert folders == {"base", "pg_wal"}, "the search sees tables and the write-ahead log"


async def test_what_was_planted_is_there_for_who_may_ask(planted: Planted) -> None:
    queries = PostgresQueries(planted.engine, planted.vault)
    transactions = (await queries.transactions(show_tokens=True)).items
    assert {t.id_token for t in transactions} == {SECRET}
    assert [t.id_token for t in (await queries.tokens(show_tokens=True)).items] == [SECRET]
    assert any(SECRET in frame.data for frame in (await queries.frames("CP-16")).items)
    assert [v.value for v in (await queries.variables("CP-2")).items] == [SECRET]
    assert any(EMAIL in str(notice.payload) for notice in (await queries.notices("CP-2")).items)


async def test_what_was_planted_is_in_no_log(planted: Planted, caplog: pytest.LogCaptureFixture) -> None:
    """PostgreSQL writes the rows that it refuses into its log."""
    refused = text("INSERT INTO transactions SELECT * FROM transactions")
    with pytest.raises(IntegrityError):
        await planted.execute(refused)
    await planted.stop()
    assert b"duplicate key" in planted.log_file.read_bytes()
    assert not holds(planted.log_file.read_bytes(), SECRET)
    ours = [record for record in caplog.records if record.name.startswith(("actors", "cluster"))]
    assert not [record for record in ours if holds(str(vars(record)).encode(), SECRET)]
