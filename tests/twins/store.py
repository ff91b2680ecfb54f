"""ChargerStore in memory: fenced, refusing content, forgetting nothing until the test ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from actors.domain.command import Command
from actors.domain.meter import Reading
from actors.domain.records import BusinessEvent, Notice, Progress, ReportedVariable, Row, StoredEvent, StoredReading
from actors.domain.station import Station
from actors.domain.token import KnownToken, token_key
from actors.domain.transaction import ChargingTransaction
from actors.errors import Fenced, Unavailable
from actors.ports import MAX_OPEN, Facts, Needs, Snapshot, StoredAnswer, Unit

T = TypeVar("T")


SEALED = ("id_token", "start_key", "value")


def holds_nul(unit: Unit) -> bool:
    """Tell whether a text of the unit holds U+0000, which PostgreSQL cannot store unless it is sealed."""
    texts = (value for row in unit.rows for name, value in msgspec.structs.asdict(row).items() if name not in SEALED)
    return any(isinstance(value, str) and "\0" in value for value in texts)


class MemoryDatabase:
    """The tables, shared by all stores on it; `down` and `refuses` make it fail."""

    def __init__(self) -> None:
        self.epochs: dict[str, int] = {}
        self.stations: dict[str, Station] = {}
        self.transactions: dict[str, ChargingTransaction] = {}
        self.events: dict[tuple[str, str, str], StoredEvent] = {}
        self.readings: dict[tuple[object, ...], StoredReading] = {}
        self.notices: dict[tuple[object, ...], Notice] = {}
        self.variables: dict[tuple[object, ...], ReportedVariable] = {}
        self.commands: dict[str, Command] = {}
        self.outbox: list[BusinessEvent] = []
        self.tokens: dict[str, KnownToken] = {}
        self.commits = 0
        self.down = False
        self.refuses: Callable[[Unit], bool] = holds_nul

    def join(self, host_id: str) -> int:
        """Begin a new life of a host."""
        self.epochs[host_id] = self.epochs.get(host_id, 0) + 1
        return self.epochs[host_id]

    def add_token(self, token: KnownToken) -> None:
        """Register an id token."""
        self.tokens[token_key(token.id_token)] = token

    def store(self, row: Row) -> None:
        """Apply one row as the statements of cluster/store/rows.py do."""
        match row:
            case Station():
                self.stations[row.station_id] = copied(row)
            case ChargingTransaction():
                self.transactions[row.id] = copied(row)
            case Progress():
                assert row.transaction.id in self.transactions, "progress of a transaction that was never stored"
                self.transactions[row.transaction.id] = copied(row.transaction)
            case Command():
                self.commands[row.id] = copied(row)
            case ReportedVariable():
                self.variables[msgspec.structs.astuple(row)[:7]] = row
            case StoredEvent():
                self.events.setdefault((row.station_id, row.transaction_id, row.event_key), row)
            case StoredReading():
                self.readings.setdefault((row.station_id, row.at, row.evse_id, row.digest), row)
            case Notice():
                self.notices.setdefault((row.station_id, row.at, row.kind, row.digest), row)
            case BusinessEvent():
                if row not in self.outbox:
                    self.outbox.append(row)


class MemoryStore:
    """ChargerStore of one host on a MemoryDatabase."""

    def __init__(self, database: MemoryDatabase, host_id: str = "host-0", epoch: int | None = None) -> None:
        self.database = database
        self.host_id = host_id
        self.epoch = database.join(host_id) if epoch is None else epoch

    async def load(self, station_ids: Sequence[str]) -> dict[str, Snapshot]:
        """Fetch snapshots, one for every id asked."""
        self._reach()
        return {station_id: self._snapshot(station_id) for station_id in station_ids}

    async def facts(self, needs: Sequence[Needs]) -> list[Facts]:
        """Fetch what many turns need, aligned with `needs`."""
        self._reach()
        return [self._facts(need) for need in needs]

    async def command(self, command_id: str) -> Command | None:
        """Fetch one command, whatever became of it."""
        self._reach()
        command = self.database.commands.get(command_id)
        return None if command is None else copied(command)

    async def overdue(self, now: datetime) -> list[str]:
        """Fetch stations with queued commands whose deadline has passed."""
        self._reach()
        late = (c for c in self.database.commands.values() if c.status == "queued" and c.deadline <= now)
        return list({command.station_id for command in late})

    async def commit(self, units: Sequence[Unit]) -> frozenset[int]:
        """Store units; one that is refused takes later ones of its station with it."""
        self._reach()
        if units and self.database.epochs.get(self.host_id) != self.epoch:
            raise Fenced(f"host {self.host_id} has been replaced")
        refused: set[int] = set()
        blamed: set[str] = set()
        for index, unit in enumerate(units):
            if unit.station_id in blamed or self.database.refuses(unit):
                blamed.add(unit.station_id)
                refused.add(index)
                continue
            for row in unit.rows:
                self.database.store(row)
        self.database.commits += 1
        return frozenset(refused)

    def _reach(self) -> None:
        if self.database.down:
            raise Unavailable("the database cannot be reached now")

    def _snapshot(self, station_id: str) -> Snapshot:
        found = self.database
        mine = [t for t in found.transactions.values() if t.station_id == station_id and t.ended_at is None]
        commands = [c for c in found.commands.values() if c.station_id == station_id and c.status in ("queued", "sent")]
        station = found.stations.get(station_id)
        return Snapshot(
            None if station is None else copied(station),
            [copied(t) for t in sorted(mine, key=lambda t: t.created_at)[-MAX_OPEN:]],
            [copied(c) for c in sorted(commands, key=lambda c: (c.created_at, c.id))],
        )

    def _facts(self, need: Needs) -> Facts:
        found = self.database
        facts = Facts(tokens={key: self._token(key) for key in need.tokens})
        mine = sorted(
            (t for t in found.transactions.values() if t.station_id == need.station_id), key=lambda t: t.created_at
        )
        if need.transaction_id is not None:
            wire_id = need.transaction_id
            facts.transactions[wire_id] = newest([t for t in mine if t.transaction_id == wire_id])
            for key in need.event_keys:
                event = found.events.get((need.station_id, wire_id, key))
                facts.events[wire_id, key] = None if event is None else StoredAnswer(event.payload, event.answer)
            if need.readings:
                facts.readings[wire_id] = self._readings(need.station_id, wire_id)
        if need.start_key is not None:
            facts.starts[need.start_key] = newest([t for t in mine if t.start_key == need.start_key])
        return facts

    def _token(self, key: str) -> KnownToken | None:
        token = self.database.tokens.get(key)
        if token is None:
            return None
        charging = [
            t.id
            for t in self.database.transactions.values()
            if t.ended_at is None and t.id_token is not None and token_key(t.id_token) == key
        ]
        return msgspec.structs.replace(token, open_transactions=tuple(charging[:MAX_OPEN]))

    def _readings(self, station_id: str, transaction_id: str) -> list[Reading]:
        events = [
            e for e in self.database.events.values() if (e.station_id, e.transaction_id) == (station_id, transaction_id)
        ]
        return [r for e in events if e.readings for r in msgspec.json.decode(e.readings, type=list[Reading])]


def copied(value: T) -> T:
    """Return an independent copy, as a row read back is."""
    return msgspec.json.decode(msgspec.json.encode(value), type=type(value))


def newest(found: list[ChargingTransaction]) -> ChargingTransaction | None:
    """Return a copy of the last one."""
    return copied(found[-1]) if found else None
