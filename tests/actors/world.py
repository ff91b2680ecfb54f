"""A world for the pure core: a database in memory, a clock, and the host's part of a turn.

No asyncio, no sockets. Turns run as `cluster/rounds.py` runs them: receive, fetch until nothing is needed, handle,
commit, and only then let frames go. What is stored is copied through JSON: a crash leaves nothing that is not data.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec

from actors.charger import Charger, Opened, Refusal
from actors.domain.command import Command, IfOffline
from actors.domain.events import Event, Fact
from actors.domain.meter import EnergyPoint, Reading, curve
from actors.domain.records import LiveEvent, StoredEvent
from actors.domain.station import ConnectorState, Station, connector_key
from actors.domain.token import KnownToken
from actors.domain.transaction import ChargingTransaction
from actors.errors import Unavailable
from actors.ocpp.frames import OcppVersion, pack_error
from actors.ports import Unit
from actors.turn import Rules, Turn
from tests.twins.store import MemoryDatabase, MemoryStore

T = TypeVar("T")
E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Fact)

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
OPEN_RULES = Rules(accept_unknown_stations=True)
Fault = Literal["before the commit", "after the commit", "database down"]


class Lost(Exception):
    """The host died before the answer left: the station hears nothing."""


def done(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("the store of a pure test has waited for something")


class World:
    """One database, one host that can crash, and the sockets of stations."""

    def __init__(self, rules: Rules = OPEN_RULES, now: datetime = NOON) -> None:
        self.rules = rules
        self.now = now
        self.database = MemoryDatabase()
        self.store = MemoryStore(self.database)
        self.chargers: dict[str, Charger] = {}
        self.sockets: dict[tuple[str, int], list[bytes]] = {}
        """Frames that wait to be read by the station, by its id and conn_epoch."""
        self.closed: list[tuple[str, int]] = []
        """Older sockets the host wanted closed: (gateway_id, conn_epoch)."""
        self.live: list[LiveEvent] = []
        self.rows_written = 0
        self.fault: Fault | None = None
        """What happens to the next turn that writes."""
        self._command_number = 0

    def crash(self) -> None:
        """Lose the memory of the host; sockets are the gateway's and stay."""
        self.chargers.clear()

    def wait(self, seconds: float) -> None:
        """Let time pass, and tick the chargers that wait for it."""
        self.now += timedelta(seconds=seconds)
        for station_id in [i for i, charger in self.chargers.items() if charger.waiting]:
            self.act(station_id, lambda charger, now: charger.tick(now))

    def charger(self, station_id: str) -> Charger:
        """Return the charger, awake."""
        if station_id not in self.chargers:
            snapshot = done(self.store.load([station_id]))[station_id]
            self.chargers[station_id] = Charger(station_id, snapshot, self.rules)
        return self.chargers[station_id]

    def run(self, station_id: str, start: Callable[[Charger, datetime], Opened | Turn]) -> Turn:
        """Run one turn to its commit; its frames are the caller's to deliver. Raises Lost, Unavailable."""
        self.now += timedelta(milliseconds=100)
        charger = self.charger(station_id)
        outcome = start(charger, self.now)
        if isinstance(outcome, Opened):
            while (needs := outcome.needs()) is not None:
                outcome.turn.facts.update(done(self.store.facts([needs]))[0])
            turn = charger.handle(outcome)
        else:
            turn = outcome
        self._commit(station_id, turn)
        self.live += turn.live
        self.closed += turn.closes
        return turn

    def _commit(self, station_id: str, turn: Turn) -> None:
        if not turn.rows:
            return
        fault, self.fault = self.fault, None
        if fault == "before the commit":
            self.crash()
            raise Lost
        self.database.down = fault == "database down"
        try:
            refused = done(self.store.commit([Unit(station_id, turn.rows)]))
        except Unavailable:
            del self.chargers[station_id]
            raise
        finally:
            self.database.down = False
        assert not refused, "the database refuses the rows of this turn"
        self.rows_written += len(turn.rows)
        if fault == "after the commit":
            self.crash()
            raise Lost

    def act(self, station_id: str, act: Callable[[Charger, datetime], Turn]) -> Turn:
        """Run a turn that no frame asked for, and push its frames."""
        turn = self.run(station_id, act)
        self.sockets.setdefault((station_id, turn.station.conn_epoch), []).extend(turn.frames)
        return turn

    def deliver(self, station_id: str, conn_epoch: int, frame: bytes) -> None:
        """Take a frame from a socket; the answers go back to it. Raises Lost."""
        opened: list[Opened | Turn] = []

        def receive(charger: Charger, now: datetime) -> Opened | Turn:
            opened.append(charger.receive(conn_epoch, frame, now))
            return opened[0]

        inbox = self.sockets.setdefault((station_id, conn_epoch), [])
        version = self.charger(station_id).version
        try:
            inbox += self.run(station_id, receive).frames
        except Unavailable:
            turn = opened[0].turn if isinstance(opened[0], Opened) else opened[0]
            if turn.call is not None:
                inbox.append(pack_error(turn.call.message_id, "InternalError", "send it again", version))

    def connect(
        self, station_id: str, version: OcppVersion, gateway_id: str = "g-1", password_digest: str | None = None
    ) -> int | Refusal:
        """Admit a socket: its conn_epoch, or why not."""
        refusals: list[Refusal] = []

        def admit(charger: Charger, now: datetime) -> Turn:
            turn, refusal = charger.connect(now, gateway_id, version, password_digest)
            refusals.extend([refusal] if refusal else [])
            return turn

        turn = self.run(station_id, admit)
        return refusals[0] if refusals else turn.station.conn_epoch

    def disconnect(self, station_id: str, conn_epoch: int) -> None:
        """Tell the host that a socket is gone."""
        self.act(station_id, lambda charger, now: charger.disconnect(conn_epoch, now))

    def command(
        self,
        action: str,
        payload: dict[str, Any],
        station_id: str = "CP-1",
        *,
        deadline_s: float = 60.0,
        if_offline: IfOffline = "wait",
        energy_limit_wh: float | None = None,
    ) -> str:
        """Submit a command; return its id. Raises what `Charger.submit` raises."""
        self._command_number += 1
        command = Command(
            str(UUID(int=self._command_number)),
            station_id,
            action,
            payload,
            self.now,
            self.now + timedelta(seconds=deadline_s),
            if_offline,
            energy_limit_wh=energy_limit_wh,
        )
        self.act(station_id, lambda charger, now: charger.submit(command, now))
        return command.id

    def cancel(self, command_id: str, station_id: str = "CP-1") -> None:
        """Withdraw a command. Raises NotFound, Conflict."""
        self.act(station_id, lambda charger, now: charger.cancel(command_id, now))

    # What the database says.

    def stored_command(self, command_id: str) -> Command:
        """Return a command as stored."""
        return self.database.commands[command_id]

    def stored_station(self, station_id: str = "CP-1") -> Station:
        """Return a station as stored."""
        return self.database.stations[station_id]

    def connector(self, evse_id: int = 1, connector_id: int = 1, station_id: str = "CP-1") -> ConnectorState | None:
        """Return the stored state of a connector."""
        return self.stored_station(station_id).connectors.get(connector_key(evse_id, connector_id))

    def transactions(self, station_id: str = "CP-1") -> list[ChargingTransaction]:
        """Return a station's transactions as stored, oldest first."""
        mine = [t for t in self.database.transactions.values() if t.station_id == station_id]
        return sorted(mine, key=lambda t: t.created_at)

    def transaction(self, transaction_id: str | int, station_id: str = "CP-1") -> ChargingTransaction:
        """Return one transaction as stored, by its id on the wire."""
        (found,) = [t for t in self.transactions(station_id) if t.transaction_id == str(transaction_id)]
        return found

    def events(self, transaction_id: str | int, station_id: str = "CP-1") -> list[StoredEvent]:
        """Return the stored events of a transaction, in the order in which they were first received."""
        wanted = (station_id, str(transaction_id))
        return [e for e in self.database.events.values() if (e.station_id, e.transaction_id) == wanted]

    def curve(self, transaction_id: str | int, station_id: str = "CP-1") -> list[EnergyPoint]:
        """Return the charging curve of a transaction, from its stored readings."""
        decode = msgspec.json.Decoder(list[Reading]).decode
        return curve(r for e in self.events(transaction_id, station_id) if e.readings for r in decode(e.readings))

    def told(self, kind: type[F]) -> list[F]:
        """Return the business events of a type."""
        return [event.data for event in self.database.outbox if type(event.data) is kind]

    def shown(self, kind: type[E]) -> list[E]:
        """Return the live events of a type."""
        return [event.data for event in self.live if type(event.data) is kind]

    def add_token(self, id_token: str, **values: Any) -> None:
        """Register an id token, or change it."""
        self.database.add_token(KnownToken(id_token, **values))
