"""Transactions over HTTP."""

from datetime import UTC, datetime

import httpx

from tests.serve.fakes import MemoryPlatform, a_transaction

TRANSACTIONS = "/admin/v1/transactions"
FIRST = a_transaction(1).id


async def test_filters_reach_the_query(auditor: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    asked = {"station": "CP-1", "open": "false", "from": "2026-05-01T00:00:00Z", "to": "2026-06-01T02:00:00+02:00"}
    page = (await auditor.get(TRANSACTIONS, params={**asked, "limit": 1})).json()
    began_from, began_before = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    expected = {"station": "CP-1", "open": False, "from": began_from, "to": began_before}
    assert platform.transactions_asked == expected
    platform.transactions_asked = {}
    assert [
        t["transactionId"]
        for t in (await auditor.get(page["_links"]["next"]["href"])).json()["_embedded"]["cb:transaction"]
    ] == ["T2"]
    assert platform.transactions_asked == expected


async def test_a_time_without_a_zone_is_refused(auditor: httpx.AsyncClient) -> None:
    answer = await auditor.get(TRANSACTIONS, params={"from": "2026-05-01T00:00:00"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0] == {
        "in": "query",
        "field": "from",
        "message": answer.json()["errors"][0]["message"],
    }


async def test_one_transaction_with_what_is_missing(auditor: httpx.AsyncClient) -> None:
    transaction = (await auditor.get(f"{TRANSACTIONS}/{FIRST}")).json()
    assert transaction["energyWh"] == 7500.0
    assert transaction["idToken"] == "******C4D5"
    assert transaction["gaps"] == {
        "complete": False, "startMissing": False, "endMissing": True, "missing": [[2, 3]], "conflicts": 0,
    }  # fmt: skip
    assert (transaction["events"], transaction["offlineEvents"], transaction["powerW"]) == (4, 1, 11000.0)


async def test_the_charging_curve(auditor: httpx.AsyncClient) -> None:
    values = (await auditor.get(f"{TRANSACTIONS}/{FIRST}/meter-values")).json()
    point = {"at": "2026-05-04T12:00:00Z", "energyWh": 100.0, "powerW": 7000.0, "socPercent": 55.0}
    assert (values["curve"], values["received"]) == ([point], [])


async def test_the_meter_values_as_the_station_sent_them(auditor: httpx.AsyncClient) -> None:
    values = (await auditor.get(f"{TRANSACTIONS}/{FIRST}/meter-values", params={"raw": 1})).json()
    assert values["received"][0]["meterValues"] == [{"sampledValue": [{"value": 1}]}]


async def test_an_unknown_transaction(auditor: httpx.AsyncClient) -> None:
    for path in (f"{TRANSACTIONS}/x", f"{TRANSACTIONS}/x/meter-values"):
        answer = await auditor.get(path)
        assert (answer.status_code, answer.json()["detail"]) == (404, "there is no transaction x")
