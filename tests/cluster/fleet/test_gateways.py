"""Gateways on the nodes of a cluster: as many as wanted on each, buried when they die, sent home before a node goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ray.exceptions import RayError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.errors import Unavailable
from cluster.fleet.gateways import Gateways
from cluster.keys import load_keys
from cluster.store.gateways import PostgresGateways
from cluster.store.tables.fleet import gateways as table
from configs.settings import Settings
from tests.cluster.fleet.fakes import FakeCluster, Told

Make = Callable[..., Gateways]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def make(cluster: FakeCluster, engine: AsyncEngine, told: Told, tmp_path: Path) -> Make:
    def made(count: int = 1, **labels: str) -> Gateways:
        wanted = {"gateway.count": count, "gateway.node_labels": labels}
        settings = Settings.load("embedded", env={}, overrides=wanted)
        return Gateways(settings, load_keys(tmp_path), cluster, PostgresGateways(engine), told)

    return made


async def known(engine: AsyncEngine) -> dict[str, str]:
    """Return the node of each gateway, as the database has it."""
    async with engine.connect() as connection:
        return dict((await connection.execute(select(table.c.gateway_id, table.c.node))).all())


def nodes_of(cluster: FakeCluster) -> list[str | None]:
    return sorted(cluster.where("gateway").values(), key=str)


def on(cluster: FakeCluster, node_id: str) -> list[str]:
    """Return the gateways on a node."""
    return [name for name, there in cluster.where("gateway").items() if there == node_id]


async def test_every_node_with_the_labels_gets_as_many_as_wanted(
    cluster: FakeCluster, engine: AsyncEngine, make: Make
) -> None:
    cluster.join("a", "b", edge="yes")
    cluster.join("c")
    gateways = make(2, edge="yes")
    await gateways.start(cluster.nodes)
    assert nodes_of(cluster) == ["a", "a", "b", "b"]
    assert await known(engine) == cluster.where("gateway")
    cluster.join("d", edge="yes")
    await gateways.keep(cluster.nodes)
    assert nodes_of(cluster) == ["a", "a", "b", "b", "d", "d"]
    await gateways.stop()
    assert (nodes_of(cluster), gateways.ids) == ([], [])


async def test_a_platform_that_no_node_fits_says_why(cluster: FakeCluster, make: Make) -> None:
    cluster.join("a")
    with pytest.raises(Unavailable, match=r"gateway\.node_labels: no node .* has {'edge': 'yes'}"):
        await make(edge="yes").start(cluster.nodes)


async def test_a_dead_gateway_is_buried_and_another_started_on_its_node(
    cluster: FakeCluster, engine: AsyncEngine, make: Make, told: Told
) -> None:
    cluster.join("a", "b")
    gateways = make()
    await gateways.start(cluster.nodes)
    (died,) = on(cluster, "a")
    cluster.crash(died)
    await gateways.keep(cluster.nodes)
    assert nodes_of(cluster) == ["a", "b"]
    assert died not in await known(engine)
    assert told.of == [died]


async def test_the_gateways_of_a_lost_node_are_buried_even_if_they_still_answer(
    cluster: FakeCluster, engine: AsyncEngine, make: Make, told: Told
) -> None:
    """A node may be cut off from Ray and not from us: its gateways must not go on unwatched."""
    cluster.join("a", "b")
    gateways = make()
    await gateways.start(cluster.nodes)
    (lost,) = on(cluster, "a")
    handle = cluster.actors[lost]
    await gateways.keep([node for node in cluster.nodes if node.node_id != "a"])
    assert handle.dead
    assert nodes_of(cluster) == ["b"]
    assert list((await known(engine)).values()) == ["b"]
    assert told.of == [lost]


async def test_hosts_that_cannot_be_told_now_do_not_delay_the_next_gateway_and_are_told_again(
    cluster: FakeCluster, make: Make, told: Told
) -> None:
    cluster.join("a")
    gateways = make()
    await gateways.start(cluster.nodes)
    (died,) = gateways.ids
    cluster.crash(died)
    told.fails = True
    with pytest.raises(RayError):
        await gateways.keep(cluster.nodes)
    assert nodes_of(cluster) == ["a"]
    told.fails = False
    await gateways.keep(cluster.nodes)
    await gateways.keep(cluster.nodes)
    assert told.of == [died]


async def test_a_draining_node_sends_its_stations_to_the_others_before_its_gateway_ends(
    cluster: FakeCluster, engine: AsyncEngine, make: Make, told: Told
) -> None:
    cluster.join("a", "b")
    gateways = make()
    await gateways.start(cluster.nodes)
    (leaving,) = on(cluster, "a")
    gateway = cluster.actors[leaving].actor
    gateway.sockets = 3
    cluster.drain("a")
    for _ in range(3):
        await gateways.keep(cluster.nodes)
    assert gateway.draining
    assert nodes_of(cluster) == ["a", "b"], "it stays as long as it has sockets"
    gateway.sockets = 0
    await gateways.keep(cluster.nodes)
    assert nodes_of(cluster) == ["b"]
    assert list((await known(engine)).values()) == ["b"]
    assert told.of == [leaving]


async def test_the_last_node_keeps_its_gateway_when_it_drains(cluster: FakeCluster, make: Make) -> None:
    """Stations that are sent away would have nowhere to go."""
    cluster.join("a")
    gateways = make()
    await gateways.start(cluster.nodes)
    (only,) = gateways.ids
    cluster.drain("a")
    for _ in range(2):
        await gateways.keep(cluster.nodes)
    assert not cluster.actors[only].actor.draining
    cluster.join("b")
    for _ in range(2):
        await gateways.keep(cluster.nodes)
    assert nodes_of(cluster) == ["b"]


async def test_a_gateway_that_does_not_start_is_tried_again_and_leaves_nothing(
    cluster: FakeCluster, engine: AsyncEngine, make: Make
) -> None:
    cluster.join("a")
    gateways = make(2)
    await gateways.start(cluster.nodes)
    cluster.crash(gateways.ids[0])
    cluster.failing_starts = 1
    await gateways.keep(cluster.nodes)
    assert nodes_of(cluster) == ["a"]
    await gateways.keep(cluster.nodes)
    assert nodes_of(cluster) == ["a", "a"]
    assert set(gateways.ids) == set(await known(engine)) == set(cluster.where("gateway"))


async def test_a_gateway_that_hangs_while_it_drains_does_not_hold_up_the_others(
    cluster: FakeCluster, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.fleet.named._ANSWER_WITHIN_S", 0.05)
    cluster.join("a", "b")
    gateways = make(2)
    await gateways.start(cluster.nodes)
    hanging, other = on(cluster, "a")
    cluster.actors[hanging].hangs = True
    cluster.drain("a")
    for _ in range(2):
        await gateways.keep(cluster.nodes)
    assert other not in cluster.actors
    assert hanging in gateways.ids, "slow is not dead"


async def test_a_rolling_restart_replaces_one_gateway_after_the_other(cluster: FakeCluster, make: Make) -> None:
    cluster.join("a")
    gateways = make(2)
    await gateways.start(cluster.nodes)
    before = set(gateways.ids)
    await cluster.store.restart("r-1")
    for _ in range(6):
        await gateways.keep(cluster.nodes)
        open_ones = [handle for handle in cluster.actors.values() if not handle.actor.draining]
        assert len(open_ones) >= 2, "each got a successor first"
    assert len(gateways.ids) == 2
    assert not before & set(gateways.ids)


async def test_a_rolling_restart_keeps_the_old_gateway_until_a_new_one_has_started(
    cluster: FakeCluster, make: Make
) -> None:
    cluster.join("a")
    gateways = make()
    await gateways.start(cluster.nodes)
    (old,) = gateways.ids
    await cluster.store.restart("r-1")
    cluster.failing_starts = 2
    for _ in range(2):
        await gateways.keep(cluster.nodes)
        assert gateways.ids == [old]
        assert not cluster.actors[old].actor.draining
    for _ in range(2):
        await gateways.keep(cluster.nodes)
    assert nodes_of(cluster) == ["a"]
    assert old not in gateways.ids
