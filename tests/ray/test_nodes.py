"""A platform on a Ray cluster of several nodes, which come, are drained and die while stations charge."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from benchmarks.processes import Platform, free_port, platform
from benchmarks.witnesses import Witnesses
from tests.e2e.running import eventually
from tests.ray.ray_cluster import RayCluster, RayNode

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

_ALL_OWNED = "SELECT count(*) = 0 FROM partitions WHERE owner IS NULL"
_GATEWAYS = "SELECT node FROM gateways ORDER BY node"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # short: sockets lie below it
        running: RayCluster | None = None
        try:
            running = RayCluster(Path(folder))
            yield running
        finally:
            if running is not None:
                running.stop()


@pytest.fixture(scope="module")
def settings(cluster: RayCluster) -> Iterator[dict[str, object]]:
    """Return what every platform on this cluster is told: Ray Serve keeps its port for the life of a cluster."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in cluster.environment.items():
            patched.setenv(name, value)
        yield {"ray__address": cluster.address, "gateway__port": free_port(), "api__port": free_port()}


async def join(cluster: RayCluster, *labels: dict[str, str]) -> list[RayNode]:
    """Let nodes with these labels join, all at once."""
    return await asyncio.gather(*(asyncio.to_thread(cluster.join, **each) for each in labels))


async def ask(running: Platform, query: str) -> list[object]:
    """Return the first column of what the platform's database answers."""
    connection = await asyncpg.connect(host=str(running.data_dir / "postgres"), user="cloudbay", database="cloudbay")
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def until_spread(running: Platform, hosts: dict[RayNode, int], gateways: dict[RayNode, int]) -> None:
    """Wait until exactly so many hosts and gateways run on these nodes, known to all and with nothing unowned."""

    def spread() -> bool | None:
        there = all(node.count("HostActor") == count for node, count in hosts.items())
        return (there and all(node.count("GatewayActor") == count for node, count in gateways.items())) or None

    await asyncio.to_thread(eventually, spread, 60)
    known = sorted(node.node_id for node, count in gateways.items() for _ in range(count))
    async with asyncio.timeout(30):
        while await ask(running, _GATEWAYS) != known or await ask(running, _ALL_OWNED) != [True]:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_nodes_join_are_drained_and_die_while_stations_charge(
    cluster: RayCluster, settings: dict[str, object], tmp_path: Path
) -> None:
    only = {"gateway__node_labels": "{edge: n}", "hosts__node_labels": "{work: n}"}
    edge, work = await join(cluster, {"edge": "n"}, {"work": "n"})
    with platform(tmp_path, **settings, **only) as running:
        await until_spread(running, hosts={edge: 0, work: 2}, gateways={edge: 1, work: 0})
        witnesses = Witnesses(running, 60, 0.5, "NODES", reconnect_s=(0.1, 1.0))
        await witnesses.begin()

        first, second = await join(cluster, {"edge": "n", "work": "n"}, {"edge": "n", "work": "n"})
        await until_spread(running, hosts={work: 2}, gateways={edge: 1, first: 1, second: 1})

        await asyncio.to_thread(cluster.drain, work)
        await until_spread(running, hosts={work: 0, first: 1, second: 1}, gateways={edge: 1, first: 1, second: 1})
        await witnesses.all_go_on(30)
        assert (witnesses.disconnects, witnesses.refusals) == (0, 0), "moving hosts costs stations nothing"

        await asyncio.to_thread(cluster.drain, edge)
        await until_spread(running, hosts={first: 1, second: 1}, gateways={edge: 0, first: 1, second: 1})
        await witnesses.all_go_on(30)
        assert witnesses.disconnects <= 60, "each station is sent away at most once"
        assert witnesses.refusals == 0

        first.kill()
        await until_spread(running, hosts={second: 2}, gateways={second: 1})
        await witnesses.all_go_on(30)
        audit = await witnesses.end()
        assert audit.clean, audit
    assert (second.count("HostActor"), second.count("GatewayActor")) == (0, 0), "a stopped platform leaves nothing"


async def test_a_killed_platform_leaves_nothing_that_the_next_one_on_the_cluster_trips_over(
    cluster: RayCluster, settings: dict[str, object], tmp_path: Path
) -> None:
    only = {"gateway__node_labels": "{edge: k}", "hosts__node_labels": "{work: k}"}
    (node,) = await join(cluster, {"edge": "k", "work": "k"})
    with platform(tmp_path, **settings, **only) as first:
        witnesses = Witnesses(first, 30, 0.5, "KILLED", reconnect_s=(0.1, 1.0))
        await witnesses.begin()
        os.kill(first.pid, signal.SIGKILL)
        with platform(tmp_path, **settings, **only) as second:
            await until_spread(second, hosts={node: 2}, gateways={node: 1})
            await witnesses.all_go_on(30)
            audit = await witnesses.end()
            assert audit.clean, audit
    assert (node.count("HostActor"), node.count("GatewayActor")) == (0, 0)
