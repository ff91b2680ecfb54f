"""Webhooks and the forwarder to Kinesis, following the journal."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from datetime import timedelta
from random import random
from uuid import uuid4

from cluster.bootstrap.connections import database_url, now
from cluster.bus.journal import KINESIS
from cluster.bus.kinesis import KinesisForwarder, KinesisStream
from cluster.store.circles import PostgresCircles
from cluster.store.deliveries import PostgresDeliveryQueue
from cluster.store.engine import make_engine
from cluster.store.journal import PostgresJournal
from cluster.store.staff import PostgresStaff
from cluster.vault.vault import Vault
from cluster.webhooks.addresses import AddressRules
from cluster.webhooks.dispatcher import Dispatcher, DispatchLimits
from cluster.webhooks.httpx_sender import HttpxSender
from cluster.webhooks.schedule import Schedule
from cluster.webhooks.sight import RelationSight
from configs.settings import Settings

_POOL_SIZE = 4


async def start_ways_out(settings: Settings, vault: Vault, host_id: str, stack: AsyncExitStack) -> Dispatcher:
    """Let webhooks and Kinesis follow the journal; return who serves webhooks.

    On connections of their own, so that no station waits for them.
    """
    engine = make_engine(database_url(settings), f"{host_id} ways out", _POOL_SIZE)
    stack.push_async_callback(engine.dispose)
    hooks, kinesis = settings.webhooks, settings.kinesis
    sight = RelationSight(PostgresCircles(engine), PostgresStaff(engine), now)
    dispatcher = Dispatcher(
        f"{host_id}/{uuid4()}",
        PostgresDeliveryQueue(engine, vault, sight),
        sight,
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
        clock=now,
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
    return dispatcher
