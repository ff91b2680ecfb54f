import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.cluster.fleet.fakes import FakeCluster


@pytest.fixture
def cluster(engine: AsyncEngine) -> FakeCluster:
    return FakeCluster(engine)
