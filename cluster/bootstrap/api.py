"""What a process of an API needs, and the first login of a new platform."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import timedelta

from cluster.approvals import KINDS, Approvals
from cluster.attendance import Attendance
from cluster.audit.metrics import numbers as audit_numbers
from cluster.audit.spool import Spool
from cluster.audit.trail import AuditTrail
from cluster.bearer import OWN_ISSUER, OwnTokens
from cluster.bootstrap.connections import database_url, new_id, now, redis_url
from cluster.bootstrap.keys import open_vault
from cluster.bootstrap.webhooks import open_deliveries, open_webhooks
from cluster.bus.attempts import ValkeyAttempts
from cluster.bus.client import make_client, reachable
from cluster.bus.fanout import Fanout
from cluster.bus.live import ValkeyLiveLog
from cluster.bus.vitals import ValkeyVitals, telling
from cluster.charging import Charging
from cluster.first_login import first_login
from cluster.idempotency import Repeats, purging
from cluster.identity.assembly import assemble
from cluster.identity.callers import IssuedTokens, KeyCallers
from cluster.identity.directory import Callers, Reader
from cluster.identity.people import NewLogin
from cluster.identity.verifier import TokenVerifier, outside_issuers
from cluster.keys import Keys
from cluster.onlookers import Onlookers
from cluster.personal_data import PersonalData
from cluster.refs import RayChargers, RayFleet, make_directory
from cluster.services import Answered, ApiServices, FleetStats
from cluster.sharing import CircleStore, Sharing, SharingRules
from cluster.store.approvals import PostgresApprovals
from cluster.store.audit import PostgresAudit
from cluster.store.charges import PostgresCharges
from cluster.store.circles import PostgresCircles
from cluster.store.data_keys import PostgresDataKeys
from cluster.store.dossiers import PostgresPersonalRecords
from cluster.store.drivers import PostgresDrivers
from cluster.store.engine import make_engine
from cluster.store.fleet import PostgresFleet
from cluster.store.gateways import PostgresGateways
from cluster.store.idempotency import PostgresClaims
from cluster.store.identity import identity_stores
from cluster.store.onlookers import PostgresOnlookers
from cluster.store.placements import PostgresPlacements
from cluster.store.queries import PostgresQueries
from cluster.store.tokens import PostgresTokens
from cluster.store.webhooks import PostgresDeliveryLog, PostgresSubscriptions
from configs.fields import ApiName
from configs.settings import Settings

_REQUEST_WITHIN = timedelta(seconds=30)
"""What a request may take besides the wait that it asked for."""
_PURGE_EVERY_S = 600.0


async def make_first_login(settings: Settings, keys: Keys) -> NewLogin | None:
    """Make the first admin of a new database; None when somebody is there already, or logs in elsewhere."""
    async with AsyncExitStack() as stack:
        engine = make_engine(database_url(settings), "cloudbay-up identity", pool_size=1)
        stack.push_async_callback(engine.dispose)
        vault = await open_vault(settings, PostgresDataKeys(engine), stack)
        return await first_login(settings, keys, identity_stores(engine, vault))


async def open_api(
    settings: Settings, keys: Keys, generation: int, api: ApiName, scopes: frozenset[str]
) -> ApiServices:
    """Return what one process of an API needs; `scopes` are those that keys of machines can have."""
    stack = AsyncExitStack()
    engine = make_engine(database_url(settings), "api", settings.database.pool_size)
    stack.push_async_callback(engine.dispose)
    vault = await open_vault(settings, PostgresDataKeys(engine), stack)
    redis = make_client(redis_url(settings), "api")
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

    answered = Answered()

    def numbers() -> dict[str, float]:
        requests = {f"api_{name}": number for name, number in asdict(answered).items()}
        return {"live_listeners": live.listeners, **requests, **audit_numbers(audit_log.status())}

    vitals = ValkeyVitals(redis)
    stack.callback(asyncio.create_task(telling(vitals, f"{socket.gethostname()}:{os.getpid()}", numbers)).cancel)

    async def stats() -> FleetStats:
        host_ids = [member.host_id for member in await fleet.members()]
        hosts, sockets = await asyncio.gather(members.stats(host_ids), members.stats(await gateways.ids()))
        return FleetStats(time.monotonic(), hosts, sockets)

    async def ping_redis() -> None:
        with reachable():
            await redis.ping()

    stores = identity_stores(engine, vault)
    identity = assemble(settings, stores, ValkeyAttempts(redis), keys, scopes, now, new_id)
    stack.callback(identity.close)
    stack.callback(asyncio.create_task(identity.run()).cancel)
    verifier = TokenVerifier(await stack.enter_async_context(outside_issuers(settings.identity)), now)
    issued = IssuedTokens(identity.issuer.signer, identity.ended, settings.issuer.audiences)
    own: dict[str, Reader] = {OWN_ISSUER: OwnTokens(keys.token), identity.issuer.url: issued}

    callers = Callers(api, KeyCallers(identity.machine_keys), own, verifier, identity.people, identity.ended)
    attendance, onlookers = Attendance(callers), Onlookers(PostgresOnlookers(engine), now)
    stack.callback(asyncio.create_task(attendance.run(watched.recheck_s)).cancel)
    stack.callback(asyncio.create_task(onlookers.run(watched.recheck_s)).cancel)

    repeats = Repeats(
        PostgresClaims(engine),
        keys.password,
        lock=timedelta(seconds=settings.api.max_wait_s) + _REQUEST_WITHIN,
        kept=timedelta(hours=settings.api.idempotency_hours),
        clock=now,
        new_id=new_id,
    )
    stack.callback(asyncio.create_task(purging(repeats, _PURGE_EVERY_S)).cancel)

    queries = PostgresQueries(engine, vault)
    stack.push_async_callback(queries.close)
    subscriptions, approvals = PostgresSubscriptions(engine, vault), Approvals(PostgresApprovals(engine), KINDS, now)
    return ApiServices(
        settings=settings,
        queries=queries,
        tokens=PostgresTokens(engine, vault),
        chargers=RayChargers(directory),
        callers=callers,
        identity=identity,
        hosts=fleet,
        placements=PostgresPlacements(engine, settings.hosts.placement == "dedicated", settings.hosts.max_dedicated),
        sharing=_sharing(settings, PostgresCircles(engine), keys),
        charging=Charging(
            PostgresCharges(engine),
            queries,
            RayChargers(directory),
            PostgresDrivers(engine, vault),
            now,
            timedelta(seconds=settings.charging.start_within_s),
        ),
        audit_log=audit_log,
        audit=audit,
        approvals=approvals,
        personal=PersonalData(
            PostgresPersonalRecords(engine, vault), PostgresCharges(engine), identity.users, approvals, now
        ),
        webhooks=open_webhooks(settings, subscriptions),
        deliveries=open_deliveries(settings, subscriptions, PostgresDeliveryLog(engine)),
        repeats=repeats,
        stats=stats,
        answered=answered,
        vitals=vitals.latest,
        ping_redis=ping_redis,
        live=live,
        attendance=attendance,
        onlookers=onlookers,
        clock=now,
        new_id=new_id,
        password_key=keys.password,
        generation=generation,
        close=stack.aclose,
    )


def _sharing(settings: Settings, circles: CircleStore, keys: Keys) -> Sharing:
    limits = settings.sharing
    rules = SharingRules(limits.max_people, timedelta(days=limits.invitation_days), timedelta(days=limits.claim_days))
    return Sharing(circles, rules, now, keys.password)
