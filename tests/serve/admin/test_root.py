"""The root of the admin application, what it leads to, and how it describes itself."""

import httpx

from serve.relations import RELATIONS


async def test_the_platform_in_numbers(auditor: httpx.AsyncClient) -> None:
    status = (await auditor.get("/admin/v1/status")).json()
    assert (status["stations"], status["openTransactions"], status["waitingBusinessEvents"]) == (3, 2, 4)
    assert status["messagesPerS"] == 100
    assert status["hosts"]["host-0"]["lagS"] == 0.001
    assert status["gateways"]["gateway-a"]["refused"] == {"path": 1}


async def test_the_api_describes_itself(anonymous: httpx.AsyncClient) -> None:
    described = (await anonymous.get("/admin/v1/openapi.json")).json()
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    assert all(operation.get("summary") and operation.get("description") for operation in operations)
    assert (await anonymous.get("/admin/v1/docs")).status_code == 200


async def test_pages_of_relations_lead_to_each_other(anonymous: httpx.AsyncClient) -> None:
    everything = (await anonymous.get("/docs/relations")).text
    assert '<a href="/docs/relations/account">cb:account</a>' in everything
    assert "The form <code>change-password</code>" in everything
    one = (await anonymous.get("/docs/relations/account")).text
    assert '<a href="/docs/relations">' in one
    assert '<a href="/docs">' in one
    assert "`" not in everything + one


async def test_every_link_of_the_root_leads_somewhere(auditor: httpx.AsyncClient) -> None:
    links = (await auditor.get("/admin/v1/")).json()["_links"]
    parts = {"station_id": "CP-1", "site_id": "DEPOT", "transaction_id": "00000000-0000-0000-0000-000000000001"}
    endless_or_elsewhere = {"curies", "cb:events", "cb:user"}  # a stream; nobody is known here: see test_people.py
    for relation, link in links.items():
        if relation not in endless_or_elsewhere:
            href = link["href"].partition("{?")[0].format(**parts)
            assert (await auditor.get(href)).status_code == 200, relation


async def test_every_relation_that_an_answer_uses_is_explained(admin: httpx.AsyncClient) -> None:
    paths = ["", "stations", "stations/CP-1", "stations/CP-1/configuration", "transactions", "tokens", "placements"]
    for path in paths:
        answer = (await admin.get(f"/admin/v1/{path}")).json()
        used = {*answer["_links"], *answer.get("_embedded", {})}
        assert {relation.removeprefix("cb:") for relation in used if relation.startswith("cb:")} <= set(RELATIONS)
        (curie,) = answer["_links"]["curies"]
        for relation in used:
            if relation.startswith("cb:"):
                page = await admin.get(curie["href"].format(rel=relation.removeprefix("cb:")))
                assert page.status_code == 200
