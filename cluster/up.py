"""The platform on this machine: everything started in order, everything stopped in reverse.

Progress goes to the screen, one line a step. Whatever was started is stopped again when a later step fails.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cluster import runtime
from cluster.bootstrap.api import make_first_login
from cluster.bootstrap.keys import key_provider, make_first_keys
from cluster.embedded import EmbeddedPostgres, EmbeddedValkey
from cluster.first_login import told
from cluster.fleet.fleet import Fleet
from cluster.keys import Keys, load_keys
from cluster.server_process import ServerProcess, keep_running
from cluster.store.engine import make_engine
from cluster.store.fleet import PostgresFleet
from cluster.store.gateways import PostgresGateways
from cluster.store.migrate import migrate
from cluster.store.placements import PostgresPlacements
from configs.settings import Settings


@dataclass(frozen=True)
class Addresses:
    """Where a running platform is reached; also what `run.json` in the data folder holds."""

    stations: str
    api: str


class Screen:
    """Says what is going on and how long it took."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @asynccontextmanager
    async def step(self, what: str) -> AsyncIterator[Callable[[str], None]]:
        """Show one step while it runs; the step may add a remark to its line."""
        began, remarks = time.monotonic(), list[str]()
        live = sys.stdout.isatty()
        if live:
            print(f"  {what} ...", end="\r", flush=True)
        try:
            yield remarks.append
        except BaseException:
            print(f"  {what:<16} failed", flush=True)
            raise
        remark = f"  {remarks[-1]}" if remarks else ""
        print(f"  {what:<16} {time.monotonic() - began:5.1f} s{remark}", flush=True)

    def elapsed_s(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._began


@asynccontextmanager
async def platform(settings: Settings) -> AsyncIterator[tuple[Addresses, Keys]]:
    """Run the whole platform while the block runs."""
    screen = Screen()
    settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    keys = load_keys(settings.data_dir)
    async with AsyncExitStack() as stack:
        settings = await _databases(settings, stack, screen)
        made = await make_first_login(settings, keys)
        async with screen.step("Ray") as remark:
            # On this thread, because Ray's processes end with the one that starts them.
            running = runtime.start(settings)
            stack.callback(running.stop)
            remark(running.address)
        fleet = await _fleet(settings, keys, partial(running.deploy, settings, keys), stack, screen)
        addresses = Addresses(
            stations=f"ws://{settings.gateway.host}:{settings.gateway.port}/ocpp/",
            api=f"http://{settings.api.host}:{settings.api.port}",
        )
        stack.enter_context(_run_file(settings.data_dir, addresses))
        print(
            f"ready in {screen.elapsed_s():.1f} s   stations {addresses.stations}<stationId>   "
            f"API {addresses.api}/docs   gateways {len(fleet.gateways.ids)}   data {settings.data_dir}",
            flush=True,
        )
        if made is not None:
            print(told(made, settings), flush=True)
        yield addresses, keys
        print("stopping ...", flush=True)


async def _databases(settings: Settings, stack: AsyncExitStack, screen: Screen) -> Settings:
    """Start what has no URL of its own, bring the schema to head, and return the settings with all URLs filled in."""
    database, redis = settings.database, settings.redis
    if database.url is None:
        async with screen.step("PostgreSQL") as remark:
            url = await _start(EmbeddedPostgres(settings.data_dir), stack)
            database = database.model_copy(update={"url": url})
            remark("embedded")
    if redis.url is None:
        async with screen.step("Valkey") as remark:
            url = await _start(EmbeddedValkey(settings.data_dir, redis.port, redis.max_memory_mb), stack)
            redis = redis.model_copy(update={"url": url})
            remark("embedded")
    async with screen.step("schema") as remark:
        applied = await migrate(str(database.url), key_provider(settings))
        settings = settings.model_copy(update={"database": database, "redis": redis})
        await make_first_keys(settings)
        remark(f"{len(applied)} steps, up to {applied[-1]}" if applied else "up to date")
    return settings


async def _start(server: ServerProcess, stack: AsyncExitStack) -> str:
    """Start a server and start it again whenever it dies, until the stack is closed."""
    stack.push_async_callback(asyncio.to_thread, server.stop)
    url = await asyncio.to_thread(server.start)
    closing = asyncio.Event()
    keeper = asyncio.create_task(keep_running(server, closing))

    async def let_go() -> None:
        closing.set()
        await keeper

    stack.push_async_callback(let_go)
    return url


async def _fleet(
    settings: Settings, keys: Keys, deploy_api: Callable[[int], None], stack: AsyncExitStack, screen: Screen
) -> Fleet:
    engine = make_engine(str(settings.database.url), "cloudbay-up", pool_size=2)
    stack.push_async_callback(engine.dispose)
    hosts = settings.hosts
    fleet = Fleet(
        settings,
        keys,
        PostgresFleet(engine, hosts.count),
        PostgresPlacements(engine, hosts.placement == "dedicated", hosts.max_dedicated),
        PostgresGateways(engine),
        deploy_api,
    )
    stack.push_async_callback(fleet.stop)
    async with screen.step("hosts") as remark:
        await fleet.start_hosts()
        remark(f"{len(fleet.hosts.ids)} with {settings.hosts.partitions} partitions")
    async with screen.step("gateways") as remark:
        await fleet.start_gateways()
        remark(", ".join(fleet.gateways.ids))
    async with screen.step("API"):
        await fleet.api.start()
    fleet.watch()
    return fleet


@contextmanager
def _run_file(data_dir: Path, addresses: Addresses) -> Iterator[None]:
    """Leave word of the running platform for the other verbs of the command."""
    path = data_dir / "run.json"
    path.write_text(json.dumps(vars(addresses)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


async def up(settings: Settings) -> None:
    """Run the platform until it is told to stop."""
    async with platform(settings):
        await asyncio.Event().wait()


def run(work: Coroutine[None, None, None]) -> int:
    """Run `work` until it is done, or until Ctrl-C or SIGTERM; in both cases it cleans up after itself."""
    asyncio.run(_interruptible(work))
    return 0


async def _interruptible(work: Coroutine[None, None, None]) -> None:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
