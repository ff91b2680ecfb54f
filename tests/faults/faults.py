"""What can go wrong, each as a function that does it to a running platform and lets it heal.

A fault names whether it may cost sockets, CALLERRORs, both or neither: what it must not cost is a failure.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

import httpx
import psutil
from websockets.asyncio.client import connect
from websockets.frames import CloseCode
from websockets.typing import Subprotocol

from benchmarks.processes import Platform
from benchmarks.witnesses import Witnesses
from tests.faults import stations
from tests.faults.garbage import broken_text, garbage

LEASE_S = 5.0
_RUBBISH_STATIONS = 10
_CROWD = 2000


class Scene(NamedTuple):
    """Where a fault happens."""

    platform: Platform
    witnesses: Witnesses
    dice: random.Random
    long: bool
    """Whether outages take as long as real ones (20 s), or just long enough to show."""


Act = Callable[[Scene], Awaitable[None]]


class Fault(NamedTuple):
    """One way to hurt a platform, and what it may cost its stations."""

    act: Act
    may_disconnect: bool = False
    may_refuse: bool = False


async def kill_a_host(scene: Scene) -> None:
    """SIGKILL one host."""
    kill([scene.dice.choice(hosts(scene.platform))])


async def kill_all_hosts(scene: Scene) -> None:
    """SIGKILL every host at once."""
    kill(hosts(scene.platform))


async def kill_the_gateways(scene: Scene) -> None:
    """SIGKILL every gateway: its sockets are gone with it."""
    kill(await asyncio.to_thread(scene.platform.pids, "gateways"))


async def kill_the_api(scene: Scene) -> None:
    """SIGKILL the API's replicas, and then what controls them."""
    for name in ("ray::ServeReplica", "ray::ServeController"):
        kill(process.pid for process in family(scene.platform) if _title(process).startswith(name))
        await asyncio.sleep(0.5)


async def freeze_a_host(scene: Scene) -> None:
    """SIGSTOP one host beyond its lease, and let it go on as if nothing had been."""
    await _freeze([scene.dice.choice(hosts(scene.platform))], LEASE_S * 2.5)


async def freeze_the_database(scene: Scene) -> None:
    """SIGSTOP PostgreSQL with all its processes."""
    await _freeze(_server(scene.platform, "postgres"), 20 if scene.long else 10)


async def crash_the_database(scene: Scene) -> None:
    """SIGKILL PostgreSQL; it recovers from its log."""
    kill(_server(scene.platform, "postgres"))


async def freeze_valkey(scene: Scene) -> None:
    """SIGSTOP Valkey: charging must not notice."""
    await _freeze(_server(scene.platform, "valkey-server"), 20 if scene.long else 4)


async def crash_valkey(scene: Scene) -> None:
    """SIGKILL Valkey."""
    kill(_server(scene.platform, "valkey-server"))


async def scale(scene: Scene) -> None:
    """Run one host, then four, then two, waiting each time until they hold everything."""
    for count in (1, 4, 2):
        await asyncio.to_thread(scene.platform.scale, count)


async def restart_everything(scene: Scene) -> None:
    """Start every process anew: hosts, then gateways, whose stations reconnect, then the API."""
    await asyncio.to_thread(scene.platform.restart)


async def dedicate(scene: Scene) -> None:
    """Give three charging stations hosts of their own, and let them share hosts again."""
    chosen = set(scene.dice.sample([station.identity for station in scene.witnesses.load.stations], 3))
    for dedicated, wanted in ((True, chosen), (False, set[str]())):
        await asyncio.to_thread(scene.platform.place, chosen, dedicated=dedicated)
        async with asyncio.timeout(60):
            while await asyncio.to_thread(scene.platform.dedicated) != wanted:  # noqa: ASYNC110 - as in _whole
                await asyncio.sleep(0.2)


async def storm(scene: Scene) -> None:
    """Cut 2,000 charging stations at once; all come back within three seconds, and the others do not notice."""
    crowd = Witnesses(scene.platform, _CROWD, 5.0, f"CROWD{scene.dice.getrandbits(32):08x}")
    await crowd.load.connect()
    await crowd.all_connected(within_s=30)
    crowd.drop_all()
    await crowd.all_connected(within_s=60)
    audit = await crowd.end()
    assert audit.clean, audit
    assert not crowd.refusals


async def connect_twice(scene: Scene) -> None:
    """Connect a station that is connected and charging."""
    await stations.connect_twice(scene.platform, f"TWICE-{scene.dice.getrandbits(32):08x}")


async def lose_a_line(scene: Scene) -> None:
    """Leave a socket half open: its station neither reads nor says anything more."""
    await stations.lose_the_line(scene.platform, f"HALF-{scene.dice.getrandbits(32):08x}")


async def silence_a_station(scene: Scene) -> None:
    """Let a station answer no order."""
    await stations.answer_no_order(scene.platform, f"SILENT-{scene.dice.getrandbits(32):08x}")


async def send_garbage(scene: Scene) -> None:
    """Send frames that nobody should send, over ten sockets of their own, and end each with a frame that closes it."""
    count = (5000 if scene.long else 1000) // _RUBBISH_STATIONS
    uris = [f"{scene.platform.stations}/GARBAGE-{number}" for number in range(_RUBBISH_STATIONS)]
    answers = await asyncio.gather(*(_throw(uri, garbage(scene.dice, count), scene.dice) for uri in uris))
    assert all(answers), "garbage that begins like a CALL gets a CALLERROR"


async def _throw(uri: str, frames: Sequence[str], dice: random.Random) -> int:
    """Send frames and then broken text; return how many CALLERRORs came."""
    async with connect(uri, subprotocols=[Subprotocol("ocpp2.0.1")], max_size=None) as socket:
        for frame in frames:
            await socket.send(frame)
        await socket.send(json.dumps([2, "last", "Heartbeat", {}]))
        refused = 0
        async with asyncio.timeout(60):
            while (answer := json.loads(await socket.recv()))[1] != "last":
                refused += answer[0] == 4
        await socket.send(broken_text(dice), text=True)
        await asyncio.wait_for(socket.wait_closed(), 60)
        assert socket.close_code == CloseCode.INVALID_DATA, socket.close_code
    return refused


FAULTS = {
    "kill a host": Fault(kill_a_host),
    "kill all hosts": Fault(kill_all_hosts),
    "kill the gateways": Fault(kill_the_gateways, may_disconnect=True),
    "kill the API": Fault(kill_the_api),
    "freeze a host": Fault(freeze_a_host, may_refuse=True),
    "freeze the database": Fault(freeze_the_database, may_refuse=True),
    "crash the database": Fault(crash_the_database, may_refuse=True),
    "freeze Valkey": Fault(freeze_valkey),
    "crash Valkey": Fault(crash_valkey),
    "scale": Fault(scale),
    "dedicate": Fault(dedicate),
    "restart everything": Fault(restart_everything, may_disconnect=True),
    "storm": Fault(storm),
    "duplicate connection": Fault(connect_twice),
    "half-open socket": Fault(lose_a_line),
    "silent station": Fault(silence_a_station),
    "garbage": Fault(send_garbage),
}


async def inflict(name: str, scene: Scene, within_s: float = 60.0) -> None:
    """Let a fault happen and heal: every station is served, the fleet whole again, and it cost no more than it may."""
    fault, witnesses = FAULTS[name], scene.witnesses
    disconnects, refusals = witnesses.disconnects, witnesses.refusals
    await fault.act(scene)
    await witnesses.all_go_on(within_s)
    try:
        async with asyncio.timeout(within_s):
            while not await _whole(scene.platform):  # noqa: ASYNC110 - the facts are in other processes
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise TimeoutError(f"{name}: the fleet is not whole again") from None
    assert fault.may_disconnect or witnesses.disconnects == disconnects, f"{name}: sockets were closed"
    assert fault.may_refuse or witnesses.refusals == refusals, f"{name}: events were refused"


async def _whole(platform: Platform) -> bool:
    try:
        return await asyncio.to_thread(platform.whole)
    except httpx.TransportError:
        return False


def hosts(platform: Platform) -> list[int]:
    """Return the processes of the hosts."""
    return [process.pid for process in family(platform) if _title(process).startswith("ray::HostActor")]


def family(platform: Platform) -> list[psutil.Process]:
    """Return every process of a platform."""
    return psutil.Process(platform.pid).children(recursive=True)


def kill(pids: Iterable[int]) -> None:
    """SIGKILL processes; one that has ended by itself meanwhile is none to worry about."""
    for pid in list(pids):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


async def _freeze(pids: Iterable[int], seconds: float) -> None:
    frozen = [psutil.Process(pid) for pid in pids]
    for process in frozen:
        process.suspend()
    try:
        await asyncio.sleep(seconds)
    finally:
        for process in frozen:
            process.resume()


def _server(platform: Platform, name: str) -> list[int]:
    """Return an embedded server's process and its children, the parent first."""
    for process in psutil.Process(platform.pid).children():
        if process.name() == name:
            return [process.pid, *(child.pid for child in process.children(recursive=True))]
    raise AssertionError(f"{name} is not running")


def _title(process: psutil.Process) -> str:
    try:
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return ""
    return command[0] if command else ""
