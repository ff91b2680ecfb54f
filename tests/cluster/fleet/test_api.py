"""The HTTP API in a rolling restart: deployed again once, after all hosts and gateways are new."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.fleet.api import Api
from cluster.store.gateways import PostgresGateways
from tests.cluster.fleet.fakes import FakeCluster


@pytest.fixture
def deployed() -> list[int]:
    return []


@pytest.fixture
async def api(cluster: FakeCluster, deployed: list[int]) -> Api:
    await cluster.store.prepare(12)
    api = Api(cluster.store, deployed.append)
    await api.start()
    return api


async def test_it_is_deployed_once_and_then_left_alone(api: Api, deployed: list[int]) -> None:
    await api.keep()
    assert deployed == [0]


async def test_it_waits_until_every_gateway_is_new_and_is_deployed_once_for_each_restart(
    cluster: FakeCluster, engine: AsyncEngine, api: Api, deployed: list[int]
) -> None:
    gateways = PostgresGateways(engine)
    await gateways.started("old", node="a", address="127.0.0.1:1", generation=0)
    await cluster.store.restart("r-1")
    await api.keep()
    assert deployed == [0], "the old gateway is still there"
    await gateways.gone("old", datetime.now(UTC))
    await api.keep()
    await api.keep()
    assert deployed == [0, 1]
