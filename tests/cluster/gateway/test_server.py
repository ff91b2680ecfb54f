"""The Ray wrapper: handles looked up again after a failure, Ray's errors become HostUnavailable. No cluster runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

import pytest
from ray.exceptions import RayActorError, RayError, RaySystemError, RayTaskError

from cluster import batch
from cluster.gateway.ports import HostUnavailable
from cluster.gateway.server import GatewayActor, RayIngest
from tests.cluster.gateway.fakes import PASSWORD_KEY, FakeHost, FakeRouter, open_station, reserved_port, settings

LOG = {"level": "warning", "format": "json"}


class Handle:
    """An actor handle whose `ingest.remote` does what the test says."""

    def __init__(self, ingest: Callable[[bytes], Awaitable[bytes]]) -> None:
        self.remote = ingest

    @property
    def ingest(self) -> Handle:
        return self


@pytest.mark.parametrize("error", [RayActorError(), RaySystemError("gone"), TimeoutError()])
async def test_what_ray_says_about_a_lost_host_means_send_again_with_a_fresh_handle(error: RayError) -> None:
    lookups: list[str] = []

    async def dead(data: bytes) -> bytes:
        raise error

    async def restarted(data: bytes) -> bytes:
        return data

    def resolve(host_key: str) -> Handle:
        lookups.append(host_key)
        return Handle(dead if len(lookups) == 1 else restarted)

    ingest = RayIngest("host-1", resolve)
    with pytest.raises(HostUnavailable, match="host-1"):
        await ingest.ingest(b"x")
    assert await ingest.ingest(b"x") == b"x"
    assert await ingest.ingest(b"y") == b"y"
    assert lookups == ["host-1", "host-1"]


async def test_a_host_that_is_not_there_yet_is_unavailable() -> None:
    def resolve(host_key: str) -> Handle:
        raise ValueError(f"Failed to look up actor with name '{host_key}'")

    with pytest.raises(HostUnavailable):
        await RayIngest("host-1", resolve).ingest(b"x")


async def test_an_error_inside_the_host_is_not_taken_for_a_lost_host() -> None:
    async def broken(data: bytes) -> bytes:
        raise RayTaskError("ingest", "Traceback", ValueError("broken")).as_instanceof_cause()

    with pytest.raises(RayTaskError):
        await RayIngest("host-1", lambda _: Handle(broken)).ingest(b"x")


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Give the process its logging back, which the actor takes for itself."""
    loggers = [logging.getLogger(name) for name in ("", "actors", "cluster", "serve", "simulator")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.usefixtures("own_logging")
async def test_the_actor_runs_a_gateway_until_it_is_stopped() -> None:
    host = FakeHost()
    with reserved_port() as port:
        actor = GatewayActor(
            "gateway-1",
            "node-1",
            settings(port=port).model_dump(),
            PASSWORD_KEY,
            FakeRouter(),
            lambda _: Handle(host.ingest),
            LOG,
        )
        with pytest.raises(RuntimeError, match="call start"):
            await actor.stats()
        address, _ = await actor.start()
        station = await open_station(f"ws://{address}:{port}/ocpp/CP-1", ("ocpp2.0.1",))
        assert batch.decode_delivered(await actor.push(batch.encode([batch.Send("CP-1", 1, b"hello")]))) == [True]
        assert await station.recv() == "hello"
        stats = await actor.stats()
        assert (stats["connected"], stats["node"]) == (1, "node-1")
        await actor.drain()
        await asyncio.wait_for(station.wait_closed(), 5)
        async with asyncio.timeout(5):
            while (await actor.stats())["connected"]:  # noqa: ASYNC110 - its end is noted a turn of the loop later
                await asyncio.sleep(0)
        await actor.stop()
        assert host.disconnects()[0].code == 1001
