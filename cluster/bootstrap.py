"""Settings into services: the only file that chooses adapters. Nothing here runs at import time."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import random
from uuid import uuid4

from actors.domain.token import TokenRules
from actors.turn import Rules
from cluster.approvals import KINDS, Approvals
from cluster.audit.spool import Spool
from cluster.audit.trail import AuditTrail
from cluster.bearer import OWN_ISSUER, OwnTokens
from cluster.bus.attempts import ValkeyAttempts
from cluster.bus.client import make_client, reachable
from cluster.bus.fanout import Fanout
from cluster.bus.journal import KINESIS
from cluster.bus.kinesis import KinesisForwarder, KinesisStream
from cluster.bus.live import ValkeyLiveBus, ValkeyLiveLog
from cluster.bus.outbox import Relay
from cluster.charging import Charging
from cluster.embedded import EmbeddedPostgres
from cluster.first_login import first_login
from cluster.host import ChargerHost, HostLimits
from cluster.idempotency import Repeats, purging
from cluster.identity.assembly import assemble
from cluster.identity.callers import IssuedTokens, KeyCallers
from cluster.identity.directory import Callers, Reader
from cluster.identity.people import NewLogin
from cluster.identity.verifier import TokenVerifier, outside_issuers
from cluster.keys import Keys
from cluster.membership import Membership
from cluster.refs import RayChargers, RayFleet, RayPeers, RayStationLink, make_directory
from cluster.services import ApiServices, FleetStats
from cluster.sharing import CircleStore, Sharing, SharingRules
from cluster.store.approvals import PostgresApprovals
from cluster.store.audit import PostgresAudit
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.charges import PostgresCharges
from cluster.store.circles import PostgresCircles
from cluster.store.data_keys import PostgresDataKeys
from cluster.store.deliveries import PostgresDeliveryQueue
from cluster.store.drivers import PostgresDrivers
from cluster.store.engine import make_engine
from cluster.store.fleet import PostgresFleet
from cluster.store.frame_log import PostgresFrameLog
from cluster.store.gateways import PostgresGateways
from cluster.store.holders import digest_key
from cluster.store.idempotency import PostgresClaims
from cluster.store.identity import identity_stores
from cluster.store.journal import PostgresJournal
from cluster.store.outbox import PostgresOutbox
from cluster.store.placements import PostgresPlacements
from cluster.store.queries import PostgresQueries
from cluster.store.sealed import PostgresSealedRows
from cluster.store.tokens import PostgresTokens
from cluster.vault.key_file import KeyFile
from cluster.vault.keyring import KeyRing
from cluster.vault.ports import DataKeys, KeyProvider
from cluster.vault.rotation import Rotation
from cluster.vault.vault import Vault
from cluster.webhooks.addresses import AddressRules
from cluster.webhooks.dispatcher import Dispatcher, DispatchLimits
from cluster.webhooks.httpx_sender import HttpxSender
from cluster.webhooks.schedule import Schedule
from cluster.webhooks.sight import StaffOnly
from configs.fields import ApiName
from configs.settings import Settings

_HOST_COMMAND_TIMEOUT_S = 8.0
"""Below the gateways' patience with a host, so that a database that hangs ends in a CALLERROR and not in silence."""
_DEDICATED_POOL_SIZE = 2
_WAYS_OUT_POOL_SIZE = 4
_REQUEST_WITHIN = timedelta(seconds=30)
"""What a request may take besides the wait that it asked for."""
_PURGE_EVERY_S = 600.0


@dataclass(frozen=True)
class HostServices:
    """A host with what it needs, and how to close all of it."""

    host: ChargerHost
    membership: Membership
    fleet: PostgresFleet
    stack: AsyncExitStack

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


def key_provider(settings: Settings) -> KeyProvider:
    """Return who wraps the data keys."""
    vault = settings.vault
    if vault.provider == "aws-kms" and vault.kms_key_id is not None:
        from cluster.vault.aws_kms import AwsKms  # boto3 takes a while to import

        return AwsKms(vault.kms_key_id, vault.kms_region, vault.kms_endpoint_url)
    return key_file(settings)


def key_file(settings: Settings) -> KeyFile:
    """Return the local file of wrapping keys."""
    return KeyFile(settings.data_dir / "secrets" / "wrapping.keys")


async def make_first_keys(settings: Settings) -> None:
    """Make the data keys of a new database here, before processes on other machines look for them."""
    async with open_rotation(settings) as (keys, _):
        await KeyRing(keys, key_provider(settings), settings.vault.refresh_s, _now).open()


async def _open_vault(settings: Settings, keys: DataKeys, stack: AsyncExitStack) -> Vault:
    """Open the vault and keep its keys up to date until the stack is closed."""
    ring = KeyRing(keys, key_provider(settings), settings.vault.refresh_s, _now)
    vault = await ring.open()
    stack.callback(asyncio.create_task(ring.run()).cancel)
    return vault


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
    engine = make_engine(_database_url(settings), host_id, pool_size, command_timeout_s=_HOST_COMMAND_TIMEOUT_S)
    stack.push_async_callback(engine.dispose)
    vault = await _open_vault(settings, PostgresDataKeys(engine), stack)
    fleet = PostgresFleet(engine, settings.hosts.count)
    epoch = await fleet.join(host_id, settings.hosts.lease_s, own_partition, generation)
    retention = timedelta(hours=settings.frames_log.retention_hours)
    frame_log = PostgresFrameLog(engine, vault, retention, settings.frames_log.max_queued, _now)
    frame_log.start()
    stack.push_async_callback(frame_log.close)
    redis = make_client(_redis_url(settings), host_id)
    stack.push_async_callback(redis.aclose)
    live = ValkeyLiveBus(redis, settings.live.stream_max_events)
    live.start()
    stack.push_async_callback(live.close)
    if own_partition is None:
        relay = Relay(PostgresOutbox(engine), redis, settings.outbox.poll_s, settings.outbox.batch)
        stack.callback(asyncio.create_task(relay.run()).cancel)
        await start_ways_out(settings, vault, host_id, stack)
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
        clock=_now,
    )
    membership = Membership(host_id, epoch, fleet, RayPeers(directory), host, settings.hosts.lease_s)
    return HostServices(host, membership, fleet, stack.pop_all())


async def start_ways_out(settings: Settings, vault: Vault, host_id: str, stack: AsyncExitStack) -> None:
    """Let webhooks and Kinesis follow the journal; on connections of their own, so that no station waits for them."""
    engine = make_engine(_database_url(settings), f"{host_id} ways out", _WAYS_OUT_POOL_SIZE)
    stack.push_async_callback(engine.dispose)
    hooks, kinesis = settings.webhooks, settings.kinesis
    dispatcher = Dispatcher(
        f"{host_id}/{uuid4()}",
        PostgresDeliveryQueue(engine, vault, StaffOnly()),
        HttpxSender(AddressRules(hooks.allowed_networks), hooks.timeout_s, ssl.create_default_context()),
        Schedule(timedelta(hours=hooks.pause_after_hours), random),
        DispatchLimits(
            poll_s=hooks.poll_s,
            events=settings.outbox.batch,
            endpoints=hooks.max_endpoints,
            lanes=hooks.max_requests_per_endpoint,
            timeout_s=hooks.timeout_s,
            retry_for=timedelta(hours=hooks.retry_hours),
            keep_delivered=timedelta(hours=hooks.keep_delivered_hours),
            keep_dead=timedelta(days=hooks.keep_dead_days),
        ),
        clock=_now,
    )
    journal = PostgresJournal(engine)
    await journal.follow(KINESIS, wanted=kinesis.stream is not None)
    running = [asyncio.create_task(dispatcher.run())]
    if kinesis.stream is not None:
        stream = KinesisStream(kinesis.stream, kinesis.region, kinesis.endpoint_url)
        forwarder = KinesisForwarder(journal, stream, f"{host_id}/{uuid4()}", kinesis.poll_s, random)
        running.append(asyncio.create_task(forwarder.run()))

    async def stop() -> None:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    stack.push_async_callback(stop)


async def make_first_login(settings: Settings, keys: Keys) -> NewLogin | None:
    """Make the first admin of a new database; None when somebody is there already, or logs in elsewhere."""
    async with AsyncExitStack() as stack:
        engine = make_engine(_database_url(settings), "cloudbay-up identity", pool_size=1)
        stack.push_async_callback(engine.dispose)
        vault = await _open_vault(settings, PostgresDataKeys(engine), stack)
        return await first_login(settings, keys, identity_stores(engine, vault))


async def open_api(
    settings: Settings, keys: Keys, generation: int, api: ApiName, scopes: frozenset[str]
) -> ApiServices:
    """Return what one process of an API needs; `scopes` are those that keys of machines can have."""
    stack = AsyncExitStack()
    engine = make_engine(_database_url(settings), "api", settings.database.pool_size)
    stack.push_async_callback(engine.dispose)
    vault = await _open_vault(settings, PostgresDataKeys(engine), stack)
    redis = make_client(_redis_url(settings), "api")
    stack.push_async_callback(redis.aclose)
    watched = settings.live
    live = Fanout(ValkeyLiveLog(redis), watched.stream_max_events, watched.max_listeners, watched.max_queued)
    live.start()
    stack.push_async_callback(live.close)
    directory = make_directory(settings)
    members = RayFleet(directory)
    fleet, gateways = PostgresFleet(engine, settings.hosts.count), PostgresGateways(engine)

    audit = PostgresAudit(engine)
    limits = settings.audit
    audit_log = AuditTrail(audit, Spool(settings.data_dir / "audit"), limits.gather_s, limits.note_s, limits.max_queued)
    audit_log.start()
    stack.push_async_callback(audit_log.close)

    async def stats() -> FleetStats:
        host_ids = [member.host_id for member in await fleet.members()]
        hosts, sockets = await asyncio.gather(members.stats(host_ids), members.stats(await gateways.ids()))
        return FleetStats(time.monotonic(), hosts, sockets)

    async def ping_redis() -> None:
        with reachable():
            await redis.ping()

    stores = identity_stores(engine, vault)
    identity = assemble(settings, stores, ValkeyAttempts(redis), keys, scopes, _now, _new_id)
    stack.callback(identity.close)
    stack.callback(asyncio.create_task(identity.run()).cancel)
    verifier = TokenVerifier(await stack.enter_async_context(outside_issuers(settings.identity)), _now)
    issued = IssuedTokens(identity.issuer.signer, identity.ended, settings.issuer.audiences)
    own: dict[str, Reader] = {OWN_ISSUER: OwnTokens(keys.token), identity.issuer.url: issued}

    repeats = Repeats(
        PostgresClaims(engine),
        keys.password,
        lock=timedelta(seconds=settings.api.max_wait_s) + _REQUEST_WITHIN,
        kept=timedelta(hours=settings.api.idempotency_hours),
        clock=_now,
        new_id=_new_id,
    )
    stack.callback(asyncio.create_task(purging(repeats, _PURGE_EVERY_S)).cancel)

    return ApiServices(
        settings=settings,
        queries=PostgresQueries(engine, vault),
        tokens=PostgresTokens(engine, vault),
        chargers=RayChargers(directory),
        callers=Callers(api, KeyCallers(identity.machine_keys), own, verifier, identity.people),
        identity=identity,
        hosts=fleet,
        placements=PostgresPlacements(engine, settings.hosts.placement == "dedicated", settings.hosts.max_dedicated),
        sharing=_sharing(settings, PostgresCircles(engine), keys),
        charging=Charging(
            PostgresCharges(engine),
            PostgresQueries(engine, vault),
            RayChargers(directory),
            PostgresDrivers(engine, vault),
            _now,
            timedelta(seconds=settings.charging.start_within_s),
        ),
        audit_log=audit_log,
        audit=audit,
        approvals=Approvals(PostgresApprovals(engine), KINDS, _now, lambda: str(uuid4())),
        repeats=repeats,
        stats=stats,
        ping_redis=ping_redis,
        live=live,
        clock=_now,
        new_id=_new_id,
        password_key=keys.password,
        generation=generation,
        close=stack.aclose,
    )


def _sharing(settings: Settings, circles: CircleStore, keys: Keys) -> Sharing:
    limits = settings.sharing
    rules = SharingRules(limits.max_people, timedelta(days=limits.invitation_days), timedelta(days=limits.claim_days))
    return Sharing(circles, rules, _now, keys.password)


@asynccontextmanager
async def open_rotation(settings: Settings) -> AsyncIterator[tuple[DataKeys, Rotation]]:
    """Lend the data keys and what rotates them, on the database of a platform that runs."""
    url = settings.database.url or EmbeddedPostgres(settings.data_dir).url
    # The last look at a column goes through the whole table, however large.
    engine = make_engine(url, "cloudbay keys", pool_size=2, command_timeout_s=None)
    try:
        keys = PostgresDataKeys(engine)
        yield (
            keys,
            Rotation(keys, key_provider(settings), PostgresSealedRows(engine), settings.vault.refresh_s, clock=_now),
        )
    finally:
        await engine.dispose()


def _database_url(settings: Settings) -> str:
    if settings.database.url is None:
        raise ValueError("database.url is not filled in yet")
    return settings.database.url


def _redis_url(settings: Settings) -> str:
    if settings.redis.url is None:
        raise ValueError("redis.url is not filled in yet")
    return settings.redis.url


def _new_id() -> str:
    return str(uuid4())


def _now() -> datetime:
    return datetime.now(UTC)
