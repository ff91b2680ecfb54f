"""A host with all it needs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from actors.domain.token import TokenRules
from actors.turn import Rules
from cluster.bootstrap.connections import database_url, now, redis_url
from cluster.bootstrap.keys import open_vault
from cluster.bootstrap.ways_out import start_ways_out
from cluster.bus.client import make_client
from cluster.bus.live import ValkeyLiveBus
from cluster.bus.outbox import Relay
from cluster.host import ChargerHost, HostLimits
from cluster.membership import Membership
from cluster.refs import RayPeers, RayStationLink, make_directory
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.data_keys import PostgresDataKeys
from cluster.store.engine import make_engine
from cluster.store.fleet import PostgresFleet
from cluster.store.frame_log import PostgresFrameLog
from cluster.store.holders import digest_key
from cluster.store.outbox import PostgresOutbox
from cluster.webhooks.dispatcher import Dispatcher
from configs.settings import Settings

_HOST_COMMAND_TIMEOUT_S = 8.0
"""Below the gateways' patience with a host, so that a database that hangs ends in a CALLERROR and not in silence."""
_DEDICATED_POOL_SIZE = 2


@dataclass(frozen=True)
class HostServices:
    """A host with what it needs, and how to close all of it."""

    host: ChargerHost
    membership: Membership
    fleet: PostgresFleet
    webhooks: Dispatcher | None
    """None in a dedicated host, which leaves them to the others."""
    stack: AsyncExitStack

    def stats(self) -> dict[str, float]:
        """Return counters since the start, and what is held now."""
        return {**self.host.stats(), **(self.webhooks.stats() if self.webhooks is not None else {})}

    async def live(self) -> None:
        """Serve until fenced off. Raises Fenced."""
        ticking = asyncio.create_task(self.host.run())
        try:
            await self.membership.run()
        finally:
            ticking.cancel()

    async def leave(self) -> None:
        """Give everything up and close."""
        try:
            await self.host.give_up(self.host.owned)
            await self.fleet.bury([self.membership.host_id], only_expired=False)
        finally:
            await self.close()

    async def close(self) -> None:
        """Flush and close everything, the newest first."""
        await self.stack.aclose()


def rules(settings: Settings, digest_key: bytes) -> Rules:
    """Return the platform's choices as the charger core knows them; `digest_key` keeps what is digested unguessable."""
    ocpp = settings.ocpp
    return Rules(
        heartbeat_interval_s=ocpp.heartbeat_interval_s,
        retry_interval_s=ocpp.retry_interval_s,
        call_timeout_s=ocpp.call_timeout_s,
        answers_kept=ocpp.answer_cache_size,
        keep_answers_s=ocpp.answer_cache_s,
        max_nesting=ocpp.max_nesting,
        strict=ocpp.validation == "strict",
        accept_unknown_stations=settings.stations.unknown == "accept",
        require_password=settings.stations.require_password,
        accept_boot=settings.stations.boot == "accept",
        tokens=TokenRules(unknown_status="Accepted" if settings.tokens.unknown == "accept" else "Invalid"),
        max_queued_commands=settings.commands.max_queued,
        seen_write_interval_s=settings.hosts.seen_write_interval_s,
        digest_key=digest_key,
    )


async def open_host(settings: Settings, host_id: str, own_partition: int | None, generation: int) -> HostServices:
    """Join the fleet with a new epoch and return a host that owns nothing yet.

    With an `own_partition` it is dedicated to one station: a few connections do, and the outbox is left to the others.
    """
    async with AsyncExitStack() as stack:
        return await _open_host(settings, host_id, own_partition, generation, stack)


async def _open_host(
    settings: Settings, host_id: str, own_partition: int | None, generation: int, stack: AsyncExitStack
) -> HostServices:
    pool_size = settings.database.pool_size if own_partition is None else _DEDICATED_POOL_SIZE
    engine = make_engine(database_url(settings), host_id, pool_size, command_timeout_s=_HOST_COMMAND_TIMEOUT_S)
    stack.push_async_callback(engine.dispose)
    vault = await open_vault(settings, PostgresDataKeys(engine), stack)
    fleet = PostgresFleet(engine, settings.hosts.count)
    epoch = await fleet.join(host_id, settings.hosts.lease_s, own_partition, generation)
    retention = timedelta(hours=settings.frames_log.retention_hours)
    frame_log = PostgresFrameLog(engine, vault, retention, settings.frames_log.max_queued, now)
    frame_log.start()
    stack.push_async_callback(frame_log.close)
    redis = make_client(redis_url(settings), host_id)
    stack.push_async_callback(redis.aclose)
    live = ValkeyLiveBus(redis, settings.live.stream_max_events)
    live.start()
    stack.push_async_callback(live.close)
    webhooks = None
    if own_partition is None:
        relay = Relay(PostgresOutbox(engine), redis, settings.outbox.poll_s, settings.outbox.batch)
        stack.callback(asyncio.create_task(relay.run()).cancel)
        webhooks = await start_ways_out(settings, vault, host_id, stack)
    directory = make_directory(settings)
    host = ChargerHost(
        PostgresChargerStore(engine, vault, host_id, epoch),
        RayStationLink(directory),
        frame_log,
        live,
        rules(settings, digest_key(vault)),
        HostLimits(
            partitions=settings.hosts.partitions,
            passivate_after_s=settings.hosts.passivate_after_s,
            tick_s=settings.hosts.tick_s,
            max_commit_units=settings.hosts.max_commit_units,
        ),
        clock=now,
    )
    membership = Membership(host_id, epoch, fleet, RayPeers(directory), host, settings.hosts.lease_s)
    return HostServices(host, membership, fleet, webhooks, stack.pop_all())
