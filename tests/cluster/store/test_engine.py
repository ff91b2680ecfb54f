"""A database that goes away and comes back is told as Unavailable, and needs no restart of ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from actors.domain.station import Station
from actors.errors import BadRequest, Unavailable
from actors.ports import Unit
from cluster.embedded import EmbeddedPostgres
from cluster.store.charger_store import PostgresChargerStore
from cluster.store.engine import make_engine
from cluster.store.fleet import PostgresFleet
from cluster.store.migrate import migrate
from tests.twins.vault import fixed_vault


async def test_a_restart_of_the_database_is_an_outage_and_then_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    try:
        url = server.start()
        await migrate(url)
        engine = make_engine(url, "cloudbay tests")
        store = PostgresChargerStore(engine, fixed_vault(), "a", await PostgresFleet(engine).join("a", 60))
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


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """Stop every process of the server while the block runs."""
    marker = str(Path(server.url.split("host=")[1].replace("%2F", "/")) / "data")
    processes = [p for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or [])]
    family = [member for process in processes for member in (process, *process.children(recursive=True))]
    assert family
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in family:
            process.resume()


@pytest.mark.parametrize("layer", ["driver", "SQLAlchemy"])
async def test_a_commit_after_one_that_timed_out_is_stored_and_not_taken_for_a_nested_one(
    tmp_path: Path, layer: str
) -> None:
    """Else it would be acknowledged, and rolled back with its connection."""
    server = EmbeddedPostgres(tmp_path)
    try:
        url = server.start()
        await migrate(url)
        engine, others = make_engine(url, "hangs", pool_size=1, command_timeout_s=0.5), make_engine(url, "looks")
        fleet = PostgresFleet(engine)
        store = PostgresChargerStore(engine, fixed_vault(), "a", await fleet.join("a", 60))

        async def write(number: int) -> None:
            if layer == "driver":
                await store.commit([Unit(f"CP-{number}", [Station(f"CP-{number}")])])
            else:
                await fleet.want_hosts(number)

        await write(1)
        with frozen(server), pytest.raises(Unavailable):
            await write(2)
        await write(3)
        await write(4)
        stored = await PostgresChargerStore(others, fixed_vault(), "a", 1).load(["CP-3", "CP-4"])
        if layer == "driver":
            assert all(snapshot.station is not None for snapshot in stored.values())
        else:
            assert await PostgresFleet(others).hosts_wanted() == 4
        await engine.dispose()
        await others.dispose()
    finally:
        server.stop()


def test_another_database_is_refused_by_name() -> None:
    with pytest.raises(BadRequest, match="mysql"):
        make_engine("mysql://root@localhost/cloudbay", "cloudbay tests")


async def test_the_text_of_an_error_holds_no_values(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError) as failed:
            await connection.execute(text("SELECT length(:password) / 0"), {"password": "hunter2"})
    assert "hunter2" not in str(failed.value)
