"""Hosts on the nodes of a cluster: as many as wanted, spread, and moved off draining nodes."""

from __future__ import annotations

from collections import Counter

import pytest
from ray.exceptions import RayError

from actors.domain.station import Station
from actors.errors import Unavailable
from actors.ports import Unit
from cluster.fleet.hosts import Hosts
from cluster.store.charger_store import PostgresChargerStore
from configs.settings import Settings
from tests.cluster.fleet.fakes import PARTITIONS, FakeCluster
from tests.twins.vault import fixed_vault


def make(cluster: FakeCluster, **labels: str) -> Hosts:
    wanted = {"hosts.partitions": PARTITIONS, "hosts.node_labels": labels}
    return Hosts(Settings.load("embedded", env={}, overrides=wanted), cluster, cluster.store, cluster.placements)


async def held(cluster: FakeCluster) -> dict[str, int]:
    """Return how many partitions each host owns."""
    return dict(Counter((await cluster.store.partition_map()).owners.values()))


async def test_hosts_spread_over_the_nodes_with_their_labels(cluster: FakeCluster) -> None:
    cluster.join("a", "b", work="yes")
    cluster.join("c")
    await cluster.store.want_hosts(4)
    await make(cluster, work="yes").start(cluster.nodes)
    assert cluster.where("host") == {"host-0": "a", "host-1": "b", "host-2": "a", "host-3": "b"}
    assert await held(cluster) == dict.fromkeys(cluster.where("host"), 3)


async def test_a_platform_that_no_node_fits_says_why(cluster: FakeCluster) -> None:
    cluster.join("a")
    with pytest.raises(Unavailable, match=r"hosts\.node_labels: no node .* has {'work': 'yes'}"):
        await make(cluster, work="yes").start(cluster.nodes)


async def test_hosts_of_an_earlier_run_own_nothing(cluster: FakeCluster) -> None:
    cluster.join("a")
    await cluster.store.prepare(PARTITIONS)
    epoch = await cluster.store.join("host-7", 60)
    await cluster.store.claim("host-7", epoch, range(PARTITIONS))
    await make(cluster).start(cluster.nodes)
    assert await held(cluster) == {"host-0": 6, "host-1": 6}


async def test_more_and_fewer_hosts_as_wanted(cluster: FakeCluster) -> None:
    cluster.join("a", "b")
    hosts = make(cluster)
    await hosts.start(cluster.nodes)
    await cluster.store.want_hosts(3)
    await hosts.keep(cluster.nodes)
    await cluster.beats()
    assert await held(cluster) == {"host-0": 4, "host-1": 4, "host-2": 4}
    await cluster.store.want_hosts(1)
    for _ in range(2):
        await hosts.keep(cluster.nodes)
    assert set(hosts.ids) == {"host-0", "host-1", "host-2"}, "they hold something yet"
    await cluster.beats()
    await hosts.keep(cluster.nodes)
    assert hosts.ids == list(cluster.actors) == ["host-0"]
    assert await held(cluster) == {"host-0": PARTITIONS}


async def test_a_host_that_drains_when_it_is_wanted_again_gets_a_successor(cluster: FakeCluster) -> None:
    cluster.join("a")
    hosts = make(cluster)
    await hosts.start(cluster.nodes)
    await cluster.store.want_hosts(1)
    await hosts.keep(cluster.nodes)
    await cluster.store.want_hosts(2)
    await hosts.keep(cluster.nodes)
    await cluster.beats()
    await hosts.keep(cluster.nodes)
    assert set(hosts.ids) == {"host-0", "host-2"}
    assert await held(cluster) == {"host-0": 6, "host-2": 6}


async def test_hosts_on_a_draining_node_hand_over_to_successors_elsewhere(cluster: FakeCluster) -> None:
    cluster.join("a", "b", "c", work="yes")
    cluster.join("d")
    hosts = make(cluster, work="yes")
    await hosts.start(cluster.nodes)
    cluster.drain("a")
    await hosts.keep(cluster.nodes)
    assert cluster.where("host") == {"host-0": "a", "host-1": "b", "host-2": "c"}, "the successor comes first"
    assert sum((await held(cluster)).values()) == PARTITIONS
    await cluster.beats()
    await hosts.keep(cluster.nodes)
    assert cluster.where("host") == {"host-1": "b", "host-2": "c"}
    assert await held(cluster) == {"host-1": 6, "host-2": 6}
    for _ in range(2):
        await hosts.keep(cluster.nodes)
    assert set(hosts.ids) == {"host-1", "host-2"}


async def test_hosts_stay_on_a_draining_node_while_there_is_no_other(cluster: FakeCluster) -> None:
    cluster.join("a", work="yes")
    cluster.join("b")
    hosts = make(cluster, work="yes")
    await hosts.start(cluster.nodes)
    cluster.drain("a")
    await hosts.keep(cluster.nodes)
    await cluster.beats()
    assert await held(cluster) == {"host-0": 6, "host-1": 6}


async def test_a_host_that_ray_restarts_after_its_node_died_serves_again(cluster: FakeCluster) -> None:
    cluster.join("a", "b")
    hosts = make(cluster)
    await hosts.start(cluster.nodes)
    cluster.lose("a")
    await cluster.beats()
    assert await held(cluster) == {"host-1": PARTITIONS}
    await hosts.keep(cluster.nodes)
    cluster.restart("host-0", "b")
    await hosts.keep(cluster.nodes)
    await cluster.beats()
    assert await held(cluster) == {"host-0": 6, "host-1": 6}


async def test_a_host_that_ray_has_given_up_is_replaced(cluster: FakeCluster) -> None:
    cluster.join("a")
    hosts = make(cluster)
    await hosts.start(cluster.nodes)
    await cluster.kill(cluster.actors["host-0"])
    await cluster.beats()
    await hosts.keep(cluster.nodes)
    await cluster.beats()
    assert await held(cluster) == {"host-0": 6, "host-1": 6}


async def test_hosts_that_do_not_start_are_tried_again_and_leave_nothing(cluster: FakeCluster) -> None:
    cluster.join("a")
    hosts = make(cluster)
    await hosts.start(cluster.nodes)
    await cluster.store.want_hosts(4)
    cluster.failing_starts = 1
    with pytest.raises(RayError):
        await hosts.keep(cluster.nodes)
    assert set(cluster.actors) == {"host-0", "host-1"}
    await hosts.keep(cluster.nodes)
    assert set(hosts.ids) == set(cluster.actors) == {"host-0", "host-1", "host-2", "host-3"}


async def test_who_serves_is_told_of_a_gone_gateway_and_who_is_nowhere_is_not_waited_for(cluster: FakeCluster) -> None:
    cluster.join("a", "b")
    hosts = make(cluster)
    await hosts.start(cluster.nodes)
    cluster.lose("a")
    with pytest.raises(RayError):
        await hosts.gateway_gone("gateway-1")  # it may come back with its lease
    await cluster.beats()  # the other buries it
    await hosts.gateway_gone("gateway-1")
    assert cluster.actors["host-1"].actor.heard[-1] == "gateway-1"


async def test_a_host_that_hangs_is_not_waited_for_either(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.fleet.named._ANSWER_WITHIN_S", 0.05)
    cluster.join("a")
    hosts = make(cluster)
    await hosts.start(cluster.nodes)
    cluster.actors["host-0"].hangs = True
    with pytest.raises(TimeoutError):
        await hosts.gateway_gone("gateway-1")


async def with_stations(cluster: FakeCluster, *station_ids: str) -> Hosts:
    """Return hosts that run on two nodes and know these stations."""
    cluster.join("a", "b")
    hosts = make(cluster)
    await hosts.start(cluster.nodes)
    host = cluster.actors["host-0"].actor.membership
    store = PostgresChargerStore(cluster.engine, fixed_vault(), host.host_id, host.epoch)
    await store.commit([Unit(station_id, [Station(station_id)]) for station_id in station_ids])
    return hosts


async def test_a_dedicated_station_gets_a_host_and_gives_it_back(cluster: FakeCluster) -> None:
    hosts = await with_stations(cluster, "CP-1", "CP-2")
    await cluster.placements.dedicate("station", "CP-1")
    await hosts.keep(cluster.nodes)
    await cluster.beats()
    assert await held(cluster) == {"host-0": 6, "host-1": 6, "charger-CP-1": 1}
    await hosts.keep(cluster.nodes)
    assert set(hosts.ids) == {"host-0", "host-1", "charger-CP-1"}
    await cluster.placements.pack("station", "CP-1")
    for _ in range(2):
        await hosts.keep(cluster.nodes)
        await cluster.beats()
    assert set(hosts.ids) == set(cluster.actors) == {"host-0", "host-1"}
    assert sum((await held(cluster)).values()) == PARTITIONS + 1


async def test_a_dedicated_host_moves_off_a_draining_node(cluster: FakeCluster) -> None:
    hosts = await with_stations(cluster, "CP-1")
    await cluster.placements.dedicate("station", "CP-1")
    await hosts.keep(cluster.nodes)
    await cluster.beats()
    cluster.drain(str(cluster.where("charger")["charger-CP-1"]))
    for _ in range(3):
        await hosts.keep(cluster.nodes)
        await cluster.beats()
    (left,) = [node.node_id for node in cluster.nodes if not node.draining]
    assert set(cluster.where("").values()) == {left}
    assert (await held(cluster))["charger-CP-1"] == 1


async def test_many_dedicated_hosts_start_a_few_at_a_time(cluster: FakeCluster) -> None:
    hosts = await with_stations(cluster, *(f"CP-{number}" for number in range(20)))
    for number in range(20):
        await cluster.placements.dedicate("station", f"CP-{number}")
    counts = []
    for _ in range(4):
        await hosts.keep(cluster.nodes)
        counts.append(len(cluster.where("charger")))
    assert counts == [8, 16, 20, 20]


async def test_a_rolling_restart_replaces_one_host_after_the_other(cluster: FakeCluster) -> None:
    hosts = await with_stations(cluster, "CP-1")
    await cluster.placements.dedicate("station", "CP-1")
    await hosts.keep(cluster.nodes)
    await cluster.beats()
    before = dict(cluster.actors)
    await cluster.store.restart("r-1")
    fewest = PARTITIONS
    for _ in range(12):
        await hosts.keep(cluster.nodes)
        fewest = min(fewest, sum(name.startswith("host") for name in hosts.ids))
        await cluster.beats()
    assert (await cluster.store.restarting()).done
    assert fewest == 2, "each got a successor first"
    assert len(cluster.actors) == 3
    assert not set(before.values()) & set(cluster.actors.values()), "every process is another one"
    assert sum((await held(cluster)).values()) == PARTITIONS + 1
