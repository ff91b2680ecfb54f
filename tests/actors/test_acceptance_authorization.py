"""Who may charge (C01-C17, E05; 1.6 4.1, 4.8, 4.10). Acceptance items and the tests that prove them:

18  asked again at the start: a_start_asks..., the_group..., no_authorization..., a_status_1_6_lacks...
19  concurrency, master pass, blocked meanwhile: a_repeated_start..., a_token_for_one_transaction...,
    a_stop_is_never_concurrent, a_master_pass..., a_token_blocked_while_charging...
20  unknown token: the_energy_of_an_unknown_token...
21  contract certificates: their messages are not taken yet; a_contract_is_judged_by_its_token holds until then
"""

from __future__ import annotations

import msgspec
import pytest

from actors.domain.token import TokenRules
from tests.actors.stations import Station, Station16
from tests.actors.world import NOON, OPEN_RULES, Lost, World

STRICT_TOKENS = msgspec.structs.replace(OPEN_RULES, tokens=TokenRules("Invalid"))


@pytest.fixture
def world() -> World:
    return World(STRICT_TOKENS)


@pytest.fixture
def station(world: World) -> Station:
    station = Station(world)
    station.boot()
    return station


@pytest.fixture
def station16(world: World) -> Station16:
    station = Station16(world, "CP-16")
    station.boot()
    return station


def test_a_token_is_authorized_in_any_case_of_letters(world: World, station: Station, station16: Station16) -> None:
    world.add_token("Anna")
    assert [station.authorize(t) for t in ("anna", "ANNA", "bob")] == ["Accepted", "Accepted", "Invalid"]
    assert [station16.authorize(t) for t in ("anna", "ANNA", "bob")] == ["Accepted", "Accepted", "Invalid"]


def test_a_start_asks_about_its_token_again(world: World, station: Station, station16: Station16) -> None:
    """E05.FR.01, 1.6 4.8: the station may have decided offline."""
    world.add_token("anna", status="Blocked")
    assert station.started(token="anna") == {"idTokenInfo": {"status": "Blocked"}}
    assert station16.start("anna")["idTagInfo"] == {"status": "Blocked"}
    assert station.updated() == {}


def test_a_token_that_comes_only_later_is_judged_then(world: World, station: Station) -> None:
    """Item 25, E03: the cable first, the token after it."""
    world.add_token("anna")
    assert station.started() == {}
    assert station.updated(token="anna") == {"idTokenInfo": {"status": "Accepted"}}
    assert world.transaction("tx-1").id_token == "anna"


def test_the_group_and_the_end_of_validity_are_told(world: World, station: Station, station16: Station16) -> None:
    """C09.FR.09, C09.FR.12."""
    world.add_token("anna", group_id="family", valid_until=NOON.replace(hour=20))
    assert station.started(token="anna")["idTokenInfo"] == {
        "status": "Accepted",
        "cacheExpiryDateTime": "2026-05-04T20:00:00Z",
        "groupIdToken": {"idToken": "family", "type": "Central"},
    }
    assert station16.start("anna")["idTagInfo"] == {
        "status": "Accepted",
        "expiryDate": "2026-05-04T20:00:00Z",
        "parentIdTag": "family",
    }


def test_no_authorization_is_accepted(station: Station) -> None:
    """C02.FR.02: a button starts without anybody."""
    payload = station.event_payload("Started", "tx-1", 0)
    payload["idToken"] = {"idToken": "", "type": "NoAuthorization"}
    assert station.call("TransactionEvent", payload)["idTokenInfo"]["status"] == "Accepted"


@pytest.mark.parametrize(
    ("status", "in_1_6"), [("NoCredit", "Blocked"), ("NotAtThisTime", "Invalid"), ("Unknown", "Invalid")]
)
def test_a_status_1_6_lacks_is_told_in_its_own_words(
    world: World, station: Station, station16: Station16, status: str, in_1_6: str
) -> None:
    world.add_token("anna", status=status)
    assert (station.authorize("anna"), station16.authorize("anna")) == (status, in_1_6)


def test_a_token_for_one_transaction_starts_no_second_one_anywhere(
    world: World, station: Station, station16: Station16
) -> None:
    world.add_token("anna", concurrent=False)
    assert station.started(token="anna")["idTokenInfo"]["status"] == "Accepted"
    assert station16.start("anna")["idTagInfo"]["status"] == "ConcurrentTx"
    assert station16.authorize("anna") == "ConcurrentTx"
    station.ended(token="anna")
    assert station16.authorize("anna") == "ConcurrentTx"  # its own is still open: the energy flows, so it is kept
    station16.stop(int(world.transactions("CP-16")[0].transaction_id))
    assert station16.authorize("anna") == "Accepted"


@pytest.mark.parametrize("crash", [False, True])
def test_a_repeated_start_is_not_a_second_transaction(
    world: World, station: Station, station16: Station16, crash: bool
) -> None:
    """1.6 4.8: ConcurrentTx must not fire on the replay of the same start."""
    world.add_token("anna", concurrent=False)
    payload = station.event_payload("Started", "tx-1", 0, token="anna")
    if crash:
        world.fault = "after the commit"
        with pytest.raises(Lost):
            station.call("TransactionEvent", payload)
    for _ in range(2):
        assert station.call("TransactionEvent", payload)["idTokenInfo"]["status"] == "Accepted"
    payload["customData"] = {"vendorId": "acme", "try": 2}  # the same event told in other words
    assert station.call("TransactionEvent", payload)["idTokenInfo"]["status"] == "Accepted"
    station.ended(seq=1)
    answers = [station16.start("anna", wh=5, at=NOON) for _ in range(2)]
    answers.append(station16.start("anna", wh=5, at=NOON, reservationId=3))
    assert [answer["idTagInfo"]["status"] for answer in answers] == ["Accepted"] * 3


def test_a_stop_is_never_concurrent(world: World, station: Station, station16: Station16) -> None:
    world.add_token("anna", concurrent=False)
    station.started(token="anna")
    transaction_id = station16.start("anna")["transactionId"]
    assert station16.stop(transaction_id, idTag="anna") == {"idTagInfo": {"status": "Accepted"}}
    assert station.ended(token="anna")["idTokenInfo"]["status"] == "Accepted"


def test_a_master_pass_stops_the_transactions_of_others_and_starts_none(world: World, station: Station) -> None:
    """C16."""
    world.add_token("anna")
    world.add_token("warden", master_pass=True, group_id="masters")
    station.started(token="anna")
    assert station.ended(token="warden")["idTokenInfo"]["status"] == "Accepted"
    assert world.transaction("tx-1").id_token == "anna"
    assert station.started("tx-2", token="warden")["idTokenInfo"]["status"] == "Invalid"


@pytest.mark.parametrize("change", [{"status": "Blocked"}, {"valid_until": NOON}])
def test_a_token_blocked_while_charging_still_closes_its_transaction(
    world: World, station: Station, station16: Station16, change: dict[str, object]
) -> None:
    world.add_token("anna")
    station.started(token="anna", wh=0)
    transaction_id = station16.start("anna", wh=0)["transactionId"]
    world.add_token("anna", **change)
    assert station.ended(token="anna", wh=900)["idTokenInfo"]["status"] in ("Blocked", "Expired")
    assert station16.stop(transaction_id, 700, idTag="anna")["idTagInfo"]["status"] in ("Blocked", "Expired")
    ended, ended16 = world.transaction("tx-1"), world.transaction(transaction_id, "CP-16")
    assert [(t.ended_at is not None, t.meter.energy_wh) for t in (ended, ended16)] == [(True, 900), (True, 700)]


def test_the_energy_of_an_unknown_token_is_kept(world: World, station: Station, station16: Station16) -> None:
    """Item 20: it was charged while the station was offline."""
    assert station.started(token="ghost", wh=0, offline=True)["idTokenInfo"]["status"] == "Invalid"
    station.ended(wh=4000, offline=True)
    answer = station16.start("ghost", at=NOON.replace(hour=3))
    assert (answer["idTagInfo"]["status"], answer["transactionId"] > 0) == ("Invalid", True)
    station16.stop(answer["transactionId"], 3000)
    charged = [world.transaction("tx-1"), world.transaction(answer["transactionId"], "CP-16")]
    assert [(t.id_token, t.meter.energy_wh) for t in charged] == [("ghost", 4000), ("ghost", 3000)]


def test_a_contract_is_judged_by_its_token(world: World, station: Station) -> None:
    """C07: without a judgement on the certificate there is no certificateStatus in the answer."""
    world.add_token("emaid-1")
    contract = {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": "aa",
        "issuerKeyHash": "bb",
        "serialNumber": "1",
        "responderURL": "http://ocsp.example",
    }
    answer = station.call(
        "Authorize",
        {"idToken": {"idToken": "emaid-1", "type": "eMAID"}, "iso15118CertificateHashData": [contract]},
    )
    assert answer == {"idTokenInfo": {"status": "Accepted"}}
