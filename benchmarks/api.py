"""The API against a bare application on the same Ray Serve, and its lists on 100,000 stations."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil

from benchmarks.bare import PREFIX
from benchmarks.processes import Platform, platform
from benchmarks.rows import Rows, percentile, row

STATION: Final = "/admin/v1/stations/CP-000042"
AT_ONCE: Final = 8
SLICES: Final = 10
SLICE_S: Final = 2.0
STATIONS: Final = 100_000
LISTS: Final = 600
_FILTERS: Final[tuple[dict[str, str], ...]] = (
    {},
    {"connected": "true"},
    {"registration": "Accepted"},
    {"site": "SITE-17"},
)
_SORTS: Final = ("stationId", "-stationId", "lastSeenAt", "-lastSeenAt", "model", "-model")
_FILL: Final = """
INSERT INTO stations (station_id, vendor_name, model, serial_number, firmware_version, ocpp_version, registration,
    site_id, conn_epoch, gateway_id, last_seen_at, next_transaction_id, connectors, violations)
SELECT 'CP-' || lpad(n::text, 6, '0'), 'Vendor ' || n % 7, 'Model ' || n % 31, 'SN-' || n, '1.' || n % 5, 'ocpp2.0.1',
    CASE WHEN n % 20 = 0 THEN 'Pending' ELSE 'Accepted' END, 'SITE-' || n % 500, 1,
    CASE WHEN n % 10 < 9 THEN 'gateway-' || n % 4 END, now() - n * 7 % 86400 * interval '1 second', 1,
    '{"1/1": {"status": "Available", "at": "2026-05-04T12:00:00Z", "vendor_status": null, "error_code": null}}', '{}'
FROM generate_series(1, {stations}) AS n"""


def measure(folder: Path) -> Rows:
    """Fill a platform, and ask it one way after the other."""
    with platform(folder) as running:
        asyncio.run(_fill(running))
        with running.client() as client:
            _deploy_bare(running, client.get(STATION).raise_for_status().text)
            ours = asyncio.run(_ratio(running, client.headers["authorization"]))
            return ours | _lists(client)


async def _fill(running: Platform) -> None:
    connection = await asyncpg.connect(host=str(running.data_dir / "postgres"), user="cloudbay", database="cloudbay")
    await connection.execute(_FILL.replace("{stations}", str(STATIONS)))
    await connection.execute("VACUUM ANALYZE stations")
    await connection.close()


def _deploy_bare(running: Platform, constant: str) -> None:
    """Run it with the environment of the platform's Ray, which holds the key to it."""
    (raylet,) = (p for p in psutil.Process(running.pid).children(recursive=True) if p.name() == "raylet")
    (address,) = (part.partition("=")[2] for part in raylet.cmdline() if part.startswith("--gcs-address="))
    command = [sys.executable, "-m", "benchmarks.bare", address, "cloudbay", constant]
    subprocess.run(command, env=raylet.environ(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _ratio(running: Platform, token: str) -> Rows:
    """Ask both in turn, for seconds each, with requests that wait for nothing but their answers."""
    counts = {STATION: 0, f"{PREFIX}/station": 0}
    await _ask_all(running.api, token, counts, SLICE_S)
    counts = dict.fromkeys(counts, 0)
    for _ in range(SLICES):
        await _ask_all(running.api, token, counts, SLICE_S)
    ours, bare = (count / SLICES / SLICE_S for count in counts.values())
    return {
        "station_get_ratio": row(ours / bare, "x", ">=0.6"),
        "station_get_per_s": row(ours, "1/s"),
        "bare_get_per_s": row(bare, "1/s"),
    }


async def _ask_all(api: str, token: str, counts: dict[str, int], seconds: float) -> None:
    for path in counts:
        until = time.monotonic() + seconds
        counts[path] += sum(await asyncio.gather(*(_ask(api, path, token, until) for _ in range(AT_ONCE))))


async def _ask(api: str, path: str, token: str, until: float) -> int:
    """Ask again and again on one connection; return how often it was answered."""
    url = urlsplit(api)
    request = f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: {token}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    answered = 0
    while time.monotonic() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        answered += 1
    writer.close()
    return answered


def _lists(client: httpx.Client) -> Rows:
    """Ask for pages of 50 in every order under every filter; and by a part of a name, which looks at every station."""
    asked = [{**wanted, "sort": sort, "limit": "50"} for wanted, sort in product(_FILTERS, _SORTS)]
    waits = _waits(client, [asked[number % len(asked)] for number in range(LISTS)])
    by_name = _waits(client, [{"q": f"SN-{number}77", "limit": "50"} for number in range(1, 61)])
    return {
        "list_p50_ms": row(percentile(waits, 0.5) * 1000, "ms"),
        "list_p99_ms": row(percentile(waits, 0.99) * 1000, "ms", "<=60"),
        "list_by_name_p99_ms": row(percentile(by_name, 0.99) * 1000, "ms"),
    }


def _waits(client: httpx.Client, queries: list[dict[str, str]]) -> list[float]:
    waits = []
    for query in [*queries[:24], *queries]:
        began = time.perf_counter()
        page = client.get("/admin/v1/stations", params=query).raise_for_status().json()
        waits.append(time.perf_counter() - began)
        assert page["_embedded"]["cb:station"], query
    return waits[24:]  # the first ones find caches cold
