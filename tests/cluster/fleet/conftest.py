import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.store.fleet import PostgresFleet
from tests.cluster.fleet.fakes import FakeCluster


@pytest.fixture
def cluster(engine: AsyncEngine) -> FakeCluster:
    return FakeCluster(PostgresFleet(engine, configured_hosts=2))
