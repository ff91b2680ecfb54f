"""Id tokens over HTTP."""

import httpx
import pytest

from tests.serve.fakes import MemoryPlatform

TOKENS = "/admin/v1/tokens"
CARD = "04A2B3C4D5E6"


async def test_a_card_is_registered_and_never_shown_whole(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    asked = {"idToken": CARD, "groupId": "family", "validUntil": "2027-01-01T00:00:00Z", "concurrent": False}
    answer = await admin.post(TOKENS, json=asked)
    assert answer.status_code == 201
    assert answer.json()["idToken"] == "********D5E6"
    listed = (await admin.get(TOKENS)).json()["_embedded"]["cb:token"]
    assert [t["idToken"] for t in listed] == ["********D5E6"]
    stored = platform.cards[CARD.lower()]
    assert (stored.id_token, stored.group_id, stored.concurrent, stored.status) == (CARD, "family", False, "Accepted")


async def test_a_card_is_forgotten_once(admin: httpx.AsyncClient, platform: MemoryPlatform) -> None:
    await admin.post(TOKENS, json={"idToken": CARD})
    assert (await admin.delete(f"{TOKENS}/{CARD}")).status_code == 204
    assert platform.cards == {}
    assert (await admin.delete(f"{TOKENS}/{CARD}")).status_code == 404


@pytest.mark.parametrize("fault", [{"idToken": ""}, {"idToken": CARD, "status": "Maybe"}, {"idToken": CARD, "pin": 1}])
async def test_a_refused_card_is_not_repeated(admin: httpx.AsyncClient, fault: dict[str, object]) -> None:
    answer = await admin.post(TOKENS, json=fault)
    assert answer.status_code == 422
    assert CARD not in answer.text
