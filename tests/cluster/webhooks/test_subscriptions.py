"""Who may do what with subscriptions and deliveries, and what a subscription may be; on tables and on twins."""

from __future__ import annotations

import base64
import itertools
from datetime import datetime, timedelta

import pytest

from actors.errors import BadRequest, Changed, Conflict, NotFound
from cluster.identity.caller import Caller, Role
from cluster.webhooks.addresses import AddressRules
from cluster.webhooks.model import Filter, Settled, Verdict
from cluster.webhooks.subscriptions import MAX_WANTED, UrlRules, WebhookDeliveries, Webhooks
from tests.cluster.bus.facts import NOON, fact
from tests.cluster.webhooks.conftest import DAY, World
from tests.cluster.webhooks.test_stores import OK

URL = "https://a.example/hook"
IDS = (f"id-{number}" for number in itertools.count())
RULES = UrlRules(AddressRules(["10.1.0.0/16"]), allow_http=False)


def caller(subject: str, *roles: Role) -> Caller:
    return Caller(subject, "tests", frozenset(roles))


ANN, BOB = caller("ann"), caller("bob")
ADMIN, AUDITOR, OPERATOR = caller("root", "admin"), caller("eye", "auditor"), caller("ops", "operator")


@pytest.fixture
def webhooks(world: World) -> Webhooks:
    return Webhooks(world.subscriptions, RULES, 3, timedelta(hours=24), world.clock)


@pytest.fixture
def deliveries(world: World) -> WebhookDeliveries:
    return WebhookDeliveries(world.subscriptions, world.log, DAY, world.clock)


async def test_a_subscription_belongs_to_who_makes_it_and_its_secret_is_shown_once(
    world: World, webhooks: Webhooks
) -> None:
    made, secret = await webhooks.create(ANN, next(IDS), URL, Filter(kinds=("B", "A", "A")))
    assert (made.owner, made.whole_fleet, made.version, made.state) == ("ann", False, 1, "active")
    assert made.wants.kinds == ("A", "B")
    assert await webhooks.find(ANN, made.id) == made
    world.sight.stations = {"ann": {"CP-1"}}
    await world.happens(fact("A"))
    (claim,) = await world.claim()
    assert claim.keys == (base64.b64decode(secret.removeprefix("whsec_")),)


async def test_a_subscription_that_is_made_again_under_its_id_is_one(webhooks: Webhooks) -> None:
    for _ in range(5):
        made, _ = await webhooks.create(ANN, "again", URL, Filter())
    assert (await webhooks.page(ANN)).items == [made]


async def test_what_staff_subscribes_to_is_the_whole_fleet(webhooks: Webhooks) -> None:
    assert (await webhooks.create(OPERATOR, next(IDS), URL, Filter())).subscription.whole_fleet


@pytest.mark.parametrize("who", [BOB, OPERATOR])
async def test_a_foreign_subscription_does_not_exist(
    world: World, webhooks: Webhooks, deliveries: WebhookDeliveries, who: Caller
) -> None:
    made, _ = await webhooks.create(ADMIN, next(IDS), URL, Filter())
    await world.happens(fact())
    (delivery,) = await world.all_of(made)
    refused = [
        webhooks.find(who, made.id),
        webhooks.change(who, made.id, 1, url=URL),
        webhooks.rotate(who, made.id),
        webhooks.remove(who, made.id),
        deliveries.page(who, made.id),
        deliveries.find(who, made.id, delivery.id),
        deliveries.replay(who, made.id, delivery.id),
        deliveries.replay_range(who, made.id, NOON, NOON + DAY),
    ]
    for call in refused:
        with pytest.raises(NotFound, match="there is no such webhook subscription"):
            await call
    assert (await webhooks.page(who)).items == []


async def test_an_auditor_sees_everything_and_changes_nothing(
    world: World, webhooks: Webhooks, deliveries: WebhookDeliveries
) -> None:
    made, _ = await webhooks.create(ANN, next(IDS), URL, Filter())
    world.sight.stations = {"ann": {"CP-1"}}
    await world.happens(fact())
    assert [one.id for one in (await webhooks.page(AUDITOR)).items] == [made.id]
    (delivery,) = (await deliveries.page(AUDITOR, made.id)).items
    assert await deliveries.find(AUDITOR, made.id, delivery.id) == delivery
    for call in (webhooks.remove(AUDITOR, made.id), deliveries.replay(AUDITOR, made.id, delivery.id)):
        with pytest.raises(NotFound):
            await call


async def test_an_admin_may_do_everything_for_others(webhooks: Webhooks) -> None:
    made, _ = await webhooks.create(ANN, next(IDS), URL, Filter())
    changed = await webhooks.change(ADMIN, made.id, 1, state="paused")
    assert (changed.owner, changed.state) == ("ann", "paused")
    await webhooks.remove(ADMIN, made.id)
    with pytest.raises(NotFound):
        await webhooks.find(ANN, made.id)


async def test_a_change_counts_and_one_on_an_older_version_is_refused(world: World, webhooks: Webhooks) -> None:
    made, _ = await webhooks.create(ANN, next(IDS), URL, Filter())
    world.clock.go_on(hours=1)
    changed = await webhooks.change(ANN, made.id, 1, wants=Filter(station_ids=("CP-1",)))
    assert (changed.version, changed.url, changed.updated_at) == (2, URL, NOON + timedelta(hours=1))
    assert await webhooks.find(ANN, made.id) == changed
    with pytest.raises(Changed):
        await webhooks.change(ANN, made.id, 1, url="https://b.example/")


async def test_a_subscription_is_paused_and_resumed(webhooks: Webhooks) -> None:
    made, _ = await webhooks.create(ANN, next(IDS), URL, Filter())
    paused = await webhooks.change(ANN, made.id, 1, state="paused")
    assert (paused.state, paused.paused_because) == ("paused", "asked")
    resumed = await webhooks.change(ANN, made.id, 2, state="active")
    assert (resumed.state, resumed.paused_because) == ("active", None)


async def test_a_rotated_secret_is_another_and_the_old_one_signs_for_a_day(world: World, webhooks: Webhooks) -> None:
    made, first = await webhooks.create(ADMIN, next(IDS), URL, Filter())
    rotated, second = await webhooks.rotate(ADMIN, made.id)
    assert first != second
    assert (rotated.version, rotated.rotating_until) == (2, NOON + timedelta(hours=24))
    await world.happens(fact())
    (claim,) = await world.claim()
    assert claim.keys == tuple(base64.b64decode(secret.removeprefix("whsec_")) for secret in (second, first))


async def test_there_is_a_limit_for_each_owner(webhooks: Webhooks) -> None:
    for _ in range(3):
        await webhooks.create(ANN, next(IDS), URL, Filter())
    with pytest.raises(Conflict):
        await webhooks.create(ANN, next(IDS), URL, Filter())
    await webhooks.create(BOB, next(IDS), URL, Filter())


async def test_dead_letters_of_a_time_are_replayed(
    world: World, webhooks: Webhooks, deliveries: WebhookDeliveries
) -> None:
    made, _ = await webhooks.create(ADMIN, next(IDS), URL, Filter())
    await world.happens(*(fact(number=number) for number in range(3)))
    for one in await world.all_of(made):
        await world.queue.settle(Settled(one.id, 0, NOON, OK, Verdict("dead")))
    assert len((await deliveries.page(ADMIN, made.id, "dead")).items) == 3
    assert await deliveries.replay_range(ADMIN, made.id, NOON, NOON + timedelta(seconds=2)) == 2
    (left,) = (await deliveries.page(ADMIN, made.id, "dead")).items
    world.clock.go_on(hours=1)
    replayed = await deliveries.replay(ADMIN, made.id, left.id)
    assert replayed.expires_at == NOON + timedelta(hours=25)
    for since, before in ((NOON, NOON), (datetime(2026, 1, 1), NOON)):
        with pytest.raises(BadRequest):
            await deliveries.replay_range(ADMIN, made.id, since, before)


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "ftp://a.example/",
        "//a.example/",
        "a.example",
        "",
        "https://",
        "https:///path",
        "https://user:secret@a.example/",
        "https://a.example/#part",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://10.2.0.1/",
        "https://a.example:99999/",
        "https://a.example/\n",
        "https://a.example/" + "x" * 2048,
    ],
)
async def test_a_url_that_can_never_be_called_is_refused(url: str) -> None:
    with pytest.raises(BadRequest):
        RULES.check(url)


@pytest.mark.parametrize("url", [URL, "https://a.example:8443/x?y=z", "https://10.1.0.1/", "https://[2606:4700::1]/"])
async def test_other_urls_are_accepted(url: str) -> None:
    RULES.check(url)
    UrlRules(AddressRules(), allow_http=True).check("http://a.example/")


@pytest.mark.parametrize(
    "wants",
    [
        Filter(kinds=("a b",)),
        Filter(kinds=("",)),
        Filter(station_ids=("",)),
        Filter(site_ids=("x" * 256,)),
        Filter(station_ids=tuple(map(str, range(MAX_WANTED + 1)))),
    ],
)
async def test_a_filter_that_can_match_nothing_or_is_too_large_is_refused(webhooks: Webhooks, wants: Filter) -> None:
    with pytest.raises(BadRequest):
        await webhooks.create(ANN, next(IDS), URL, wants)
