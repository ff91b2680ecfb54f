"""A database that goes away and comes back is told as Unavailable, and needs no restart of ours."""

from pathlib import Path

import pytest

from actors.domain.station import Station
from actors.errors import BadRequest, Unavailable
from actors.ports import Unit
from cluster.embedded import EmbeddedPostgres
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.engine import make_engine
from cluster.store.fleet import PostgresFleet
from cluster.store.migrate import migrate


async def test_a_restart_of_the_database_is_an_outage_and_then_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    try:
        url = server.start()
        await migrate(url)
        engine = make_engine(url, "cloudbay tests")
        store = PostgresChargerStore(engine, "a", await PostgresFleet(engine).join("a", 60))
        unit = Unit("CP-1", [Station("CP-1")])
        await store.commit([unit])
        server.stop()
        with pytest.raises(Unavailable):
            await store.commit([unit])
        with pytest.raises(Unavailable):
            await store.load(["CP-1"])
        server.start()
        assert await store.commit([unit]) == frozenset()
        await engine.dispose()
    finally:
        server.stop()


def test_another_database_is_refused_by_name() -> None:
    with pytest.raises(BadRequest, match="mysql"):
        make_engine("mysql://root@localhost/cloudbay", "cloudbay tests")
