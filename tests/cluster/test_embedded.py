"""The embedded servers, for real: data survives, crashes mend themselves, nothing is left running or open."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from cluster.embedded import EmbeddedPostgres, EmbeddedServerError, EmbeddedValkey
from cluster.server_process import ServerProcess, keep_running

Start = Callable[[ServerProcess], str]
PLATFORM = """
import sys
from pathlib import Path
from cluster.embedded import EmbeddedPostgres, EmbeddedValkey
for server in (EmbeddedPostgres(Path(sys.argv[1])), EmbeddedValkey(Path(sys.argv[1]))):
    print(server.start(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server that is stopped after the test."""
    with ExitStack() as stack:

        def run(server: ServerProcess) -> str:
            stack.callback(server.stop)
            return server.start()

        yield run


async def sql(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run `statements` in one transaction and return the rows of the last."""
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            for statement in statements:
                result = await connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        await engine.dispose()


def running_on(folder: Path) -> list[int]:
    """Return the pids whose command line names `folder`."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in part for part in process.info["cmdline"] or []) and process.pid != os.getpid()
    ]


def wait_until(fact: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres/data/postmaster.pid").read_text().splitlines()[0])


async def test_postgres_keeps_its_data_over_a_stop(tmp_path: Path, start: Start) -> None:
    server = EmbeddedPostgres(tmp_path)
    url = start(server)
    await sql(url, "CREATE TABLE fact (n int)", "INSERT INTO fact VALUES (42)")
    server.stop()
    assert not server.running
    assert running_on(tmp_path) == []
    assert server.start() == url == EmbeddedPostgres(tmp_path).url
    assert await sql(url, "SELECT n FROM fact") == [(42,)]


async def test_postgres_is_durable_closed_to_the_network_and_utf8(tmp_path: Path, start: Start) -> None:
    url = start(EmbeddedPostgres(tmp_path))
    names = ["fsync", "synchronous_commit", "full_page_writes", "listen_addresses", "server_encoding", "data_checksums"]
    shown = [(await sql(url, f"SHOW {name}"))[0][0] for name in names]
    assert shown == ["on", "on", "on", "", "UTF8", "on"]
    assert (await sql(url, "SHOW server_version"))[0][0].startswith("18.")  # type: ignore[attr-defined]


async def test_postgres_comes_back_after_sigkill(tmp_path: Path, start: Start) -> None:
    server = EmbeddedPostgres(tmp_path)
    url = start(server)
    await sql(url, "CREATE TABLE fact (n int)", "INSERT INTO fact VALUES (42)")
    os.kill(postmaster(tmp_path), signal.SIGKILL)
    wait_until(lambda: not server.running)
    assert server.start() == url
    assert await sql(url, "SELECT n FROM fact") == [(42,)]


async def test_postgres_waits_for_the_backends_of_a_killed_server(tmp_path: Path, start: Start) -> None:
    server = EmbeddedPostgres(tmp_path)
    start(server)
    backends = psutil.Process(postmaster(tmp_path)).children()
    backends[0].suspend()
    os.kill(postmaster(tmp_path), signal.SIGKILL)
    wait_until(lambda: not server.running)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    try:
        last_log = tmp_path / "postgres/postgres.log.1"
        await asyncio.to_thread(
            wait_until, lambda: last_log.exists() and "pre-existing shared memory" in last_log.read_text()
        )
    finally:
        backends[0].resume()
    assert await sql(await starting, "SELECT 1") == [(1,)]


async def test_orphans_of_a_killed_platform_are_replaced(tmp_path: Path, start: Start) -> None:
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", PLATFORM, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as platform:
        assert platform.stdout is not None
        postgres_url, valkey_url = platform.stdout.readline().strip(), platform.stdout.readline().strip()
        await sql(postgres_url, "CREATE TABLE fact (n int)", "INSERT INTO fact VALUES (42)")
        with redis.Redis.from_url(valkey_url) as client:
            client.set("fact", "42")
        platform.kill()
    orphans = running_on(tmp_path)
    assert len(orphans) == 2
    assert await sql(start(EmbeddedPostgres(tmp_path)), "SELECT n FROM fact") == [(42,)]
    with redis.Redis.from_url(start(EmbeddedValkey(tmp_path))) as client:
        assert client.get("fact") == b"42"
    assert not set(orphans) & set(running_on(tmp_path))


def test_a_hung_orphan_is_replaced(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    first = EmbeddedValkey(tmp_path)
    start(first)
    assert first._process is not None
    os.kill(first._process.pid, signal.SIGSTOP)
    assert first._lock is not None
    os.close(first._lock)  # as the death of its platform would
    first._lock = None
    second = EmbeddedValkey(tmp_path)
    monkeypatch.setattr(second, "_stop_requests", lambda: [(signal.SIGTERM, 0.2)])
    start(second)
    assert len(running_on(tmp_path)) == 1


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedValkey])
def test_a_running_platform_is_left_alone(kind: type[ServerProcess], tmp_path: Path, start: Start) -> None:
    first = kind(tmp_path)  # type: ignore[arg-type, call-arg]
    start(first)
    with pytest.raises(EmbeddedServerError, match="another platform is running on"):
        kind(tmp_path).start()  # type: ignore[arg-type, call-arg]
    assert first.running


async def test_two_platforms_run_side_by_side(tmp_path: Path, start: Start) -> None:
    urls = [start(kind(tmp_path / name)) for kind in (EmbeddedPostgres, EmbeddedValkey) for name in ("a", "b")]
    assert len(set(urls)) == 4
    for url in urls[:2]:
        await sql(url, "CREATE TABLE fact (n int)")


@pytest.mark.parametrize("name", ["x" * 120, 'it\'s, a: "data" folder ü'])
async def test_long_and_odd_paths_work(name: str, tmp_path: Path, start: Start) -> None:
    assert await sql(start(EmbeddedPostgres(tmp_path / name)), "SELECT 1") == [(1,)]
    with redis.Redis.from_url(start(EmbeddedValkey(tmp_path / name))) as client:
        client.set("fact", "42")


async def test_stale_files_of_a_pid_that_is_somebody_elses_now_do_not_matter(tmp_path: Path, start: Start) -> None:
    server = EmbeddedPostgres(tmp_path)
    start(server)
    pid_file = tmp_path / "postgres/data/postmaster.pid"
    content = pid_file.read_text()
    server.stop()
    owner = pid_file.parent.stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None) as stranger:  # noqa: ASYNC220
        try:
            for path in (pid_file, tmp_path / "postgres/.s.PGSQL.5432.lock"):
                path.write_text(content.replace(content.split("\n", 1)[0], str(stranger.pid), 1))
                os.chown(path, owner, -1)
            (tmp_path / "postgres/.s.PGSQL.5432").touch()
            assert await sql(server.start(), "SELECT 1") == [(1,)]
            assert stranger.poll() is None
        finally:
            stranger.kill()


async def test_a_kill_during_the_first_start_leaves_nothing_to_mend(tmp_path: Path, start: Start) -> None:
    half_made = tmp_path / "postgres/new-half"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    assert await sql(start(EmbeddedPostgres(tmp_path)), "SELECT 1") == [(1,)]
    assert not half_made.exists()


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedValkey])
def test_nothing_is_open_to_others(kind: type[ServerProcess], tmp_path: Path, start: Start) -> None:
    server = kind(tmp_path)  # type: ignore[arg-type, call-arg]
    start(server)
    assert stat.S_IMODE(server._folder.stat().st_mode) == 0o700
    for path in server._folder.rglob("*"):
        assert not path.lstat().st_mode & (stat.S_IRWXO | stat.S_IRWXG), path


def test_valkey_keeps_its_data_and_asks_for_its_password(tmp_path: Path, start: Start) -> None:
    server = EmbeddedValkey(tmp_path)
    url = start(server)
    assert EmbeddedValkey(tmp_path).url == url
    with redis.Redis.from_url(url) as client:
        client.xadd("live", {"n": 42})
    with (
        redis.Redis.from_url(f"redis://127.0.0.1:{url.rpartition(':')[2]}") as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGTERM)
    wait_until(lambda: not server.running)
    with redis.Redis.from_url(server.start()) as client:
        assert client.xlen("live") == 1
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("maxmemory") == {"maxmemory": str(256 * 1024 * 1024)}


def test_valkey_says_when_its_configured_port_is_taken(tmp_path: Path, start: Start) -> None:
    port = int(start(EmbeddedValkey(tmp_path / "first")).rpartition(":")[2].removesuffix("/0"))
    with pytest.raises(EmbeddedServerError, match=f"(?s)ended while starting.*{port}.*Address already in use"):
        EmbeddedValkey(tmp_path / "second", port=port).start()
    assert running_on(tmp_path / "second") == []


def test_stop_is_harmless_when_nothing_runs(tmp_path: Path) -> None:
    EmbeddedPostgres(tmp_path).stop()
    EmbeddedValkey(tmp_path).stop()
    with pytest.raises(EmbeddedServerError, match="never started"):
        _ = EmbeddedValkey(tmp_path).url


async def test_a_server_that_dies_is_started_again_where_its_clients_know_it(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    url, closing = server.start(), asyncio.Event()
    keeper = asyncio.create_task(keep_running(server, closing))
    try:
        for process in psutil.process_iter(["cmdline"]):
            if str(tmp_path / "valkey" / "valkey.conf") in (process.info["cmdline"] or []):
                process.kill()
                process.wait(10)
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(answers, url):  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.05)
    finally:
        closing.set()
        await keeper
        server.stop()


def answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
