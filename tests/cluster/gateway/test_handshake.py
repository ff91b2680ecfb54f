"""URL to identity (OCPP 2.1 Part 4 section 3.1.1) and HTTP refusals."""

from __future__ import annotations

import logging
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.gateway.handshake import OcppServerProtocol, refusal, station_id_of


def protocol() -> OcppServerProtocol:
    return OcppServerProtocol(max_frame_bytes=1024, compression=True, logger=logging.getLogger("test"))


@pytest.mark.parametrize(
    ("target", "station_id"),
    [
        ("/ocpp/CS001", "CS001"),
        ("/ocpp/RDAM%7C123", "RDAM|123"),
        ("/ocpp/DE*ABC@1.2-x_y=+?version=2", "DE*ABC@1.2-x_y=+"),
        ("/ocpp/" + "x" * 48, "x" * 48),
        ("/ocpp/" + "x" * 49, None),
        ("/ocpp/", None),
        ("/ocpp", None),
        ("/", None),
        ("/ocpp/a/b", None),
        ("/OCPP/CS001", None),
        ("/ocpp/CS%3A001", None),
        ("/ocpp/CS:001", None),
        ("/ocpp/CS%0A001", None),
        ("/ocpp/%FF", None),
    ],
)
def test_the_last_path_segment_is_the_identity(target: str, station_id: str | None) -> None:
    assert station_id_of(target) == station_id


@given(st.text(alphabet=st.characters(categories=["L", "N", "S"]), min_size=1, max_size=48))
def test_every_percent_encoded_identity_is_read_back(station_id: str) -> None:
    assert station_id_of(f"/ocpp/{quote(station_id, safe='')}") == station_id


def test_401_asks_for_basic_credentials() -> None:
    assert refusal(protocol(), 401, "no").headers["WWW-Authenticate"].startswith("Basic ")


def test_503_spreads_the_return_of_a_fleet() -> None:
    waits = {int(refusal(protocol(), 503, "later", 100).headers["Retry-After"]) for _ in range(200)}
    assert 50 <= min(waits) <= max(waits) <= 150
    assert len(waits) > 10


@pytest.mark.parametrize("status", [0, 101, 200, 302, 999])
def test_a_status_that_is_no_refusal_becomes_503(status: int) -> None:
    assert refusal(protocol(), status, "odd").status_code == 503
