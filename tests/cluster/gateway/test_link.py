"""The way to the hosts without sockets: order, batches, repeats, hand-off, wrong answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from cluster import batch
from cluster.gateway.link import MAX_BATCH_BYTES
from cluster.gateway.ports import HostUnavailable
from cluster.gateway.uplink import Uplink, retry_delay_s
from tests.cluster.gateway.fakes import FakeHost, FakeRouter, until


class Socket:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.closed = False
        self.told: list[object] = []

    def admitted(self, conn_epoch: int) -> None:
        self.told.append(conn_epoch)

    def refused(self, status: int, reason: str) -> None:
        self.told.append((status, reason))

    def answered(self, frames: list[bytes]) -> None:
        self.told += frames


def frame(station_id: str, data: bytes) -> batch.Frame:
    return batch.Frame(station_id, 1, data)


def connect(station_id: str) -> batch.Connect:
    return batch.Connect(station_id, "gateway-1", "ocpp2.0.1", None, "127.0.0.1:1")


UplinkTo = Callable[..., Uplink]


@pytest.fixture
async def uplink_to() -> AsyncIterator[UplinkTo]:
    made: list[Uplink] = []

    def make(*hosts: FakeHost, router: FakeRouter | None = None, window: int = 4, max_batch_items: int = 256) -> Uplink:
        ways = {f"host-{n}": host for n, host in enumerate(hosts, 1)}
        made.append(Uplink(router or FakeRouter(), ways.__getitem__, window, max_batch_items))
        return made[-1]

    yield make
    for uplink in made:
        await uplink.close()


async def test_frames_of_one_station_arrive_one_at_a_time_and_in_order(uplink_to: UplinkTo) -> None:
    host, socket = FakeHost(), Socket()
    uplink = uplink_to(host)
    lane = uplink.open_lane("CP-1")
    sent = [b"%d" % n for n in range(20)]
    for data in sent:
        lane.post(frame("CP-1", data), socket)
    assert await uplink.drain(5)
    assert host.frames_of("CP-1") == socket.told == sent
    assert all(len(items) == 1 for items in host.batches)


async def test_what_is_ready_together_travels_together(uplink_to: UplinkTo) -> None:
    host, socket = FakeHost(), Socket()
    uplink = uplink_to(host)
    for n in range(100):
        uplink.open_lane(f"CP-{n}").post(frame(f"CP-{n}", b"x"), socket)
    assert await uplink.drain(5)
    assert [len(items) for items in host.batches] == [100]


async def test_at_most_window_calls_are_in_flight_and_the_rest_becomes_one_batch(uplink_to: UplinkTo) -> None:
    host, socket = FakeHost(), Socket()
    uplink = uplink_to(host, window=2)
    host.open.clear()
    for n in range(5):
        uplink.open_lane(f"CP-{n}").post(frame(f"CP-{n}", b"x"), socket)
        await until(lambda n=n: host.in_flight == min(n + 1, 2))  # type: ignore[misc]
    host.open.set()
    assert await uplink.drain(5)
    assert host.max_in_flight == 2
    assert [len(items) for items in host.batches] == [1, 1, 3]


async def test_the_window_holds_when_many_batches_are_ready_at_once(uplink_to: UplinkTo) -> None:
    host, socket = FakeHost(), Socket()
    uplink = uplink_to(host, window=2, max_batch_items=1)
    host.open.clear()
    for n in range(10):
        uplink.open_lane(f"CP-{n}").post(frame(f"CP-{n}", b"x"), socket)
    await until(lambda: host.in_flight >= 2)
    host.open.set()
    assert await uplink.drain(5)
    assert (host.max_in_flight, len(host.batches)) == (2, 10)


async def test_a_batch_keeps_to_its_limits_of_items_and_bytes(uplink_to: UplinkTo) -> None:
    host, socket = FakeHost(), Socket()
    uplink = uplink_to(host, max_batch_items=10)
    for n in range(25):
        uplink.open_lane(f"CP-{n}").post(frame(f"CP-{n}", b"x" * (20_000 if n < 12 else 1)), socket)
    uplink.open_lane("CP-big").post(frame("CP-big", b"x" * 200_000), socket)
    assert await uplink.drain(5)
    assert max(len(items) for items in host.batches) <= 10
    for items in host.batches:
        assert len(items) == 1 or len(batch.encode(items)) < MAX_BATCH_BYTES
    assert len(host.items) == 26


async def test_a_storm_of_connects_does_not_hold_up_who_charges(uplink_to: UplinkTo) -> None:
    """Of 500 connects a batch takes a few, so that frames that come later need not wait for all of them."""
    host, socket = FakeHost(), Socket()
    uplink = uplink_to(host, window=1)
    for n in range(500):
        uplink.open_lane(f"NEW-{n}").post(connect(f"NEW-{n}"), socket)
    for n in range(100):
        uplink.open_lane(f"CP-{n}").post(frame(f"CP-{n}", b"x"), socket)
    assert await uplink.drain(10)
    kinds = [[type(item) for item in items] for items in host.batches]
    assert kinds[0].count(batch.Frame) == 100
    assert all(items.count(batch.Connect) <= 32 for items in kinds)
    assert sum(items.count(batch.Connect) for items in kinds) == 500


@pytest.mark.parametrize("kind", ["unavailable_for", "dies_after_execution"])
async def test_a_host_failure_sends_the_same_items_again_until_answered(uplink_to: UplinkTo, kind: str) -> None:
    host, socket, router = FakeHost(), Socket(), FakeRouter()
    setattr(host, kind, 3)
    uplink = uplink_to(host, router=router)
    lane = uplink.open_lane("CP-1")
    lane.post(frame("CP-1", b"first"), socket)
    lane.post(frame("CP-1", b"second"), socket)
    assert await uplink.drain(10)
    assert socket.told == [b"first", b"second"]
    assert list(dict.fromkeys(host.frames_of("CP-1"))) == [b"first", b"second"]
    assert host.frames_of("CP-1")[-1] == b"second"
    assert router.refreshed >= 3


async def test_a_frame_read_from_a_socket_is_delivered_after_the_socket_has_gone(uplink_to: UplinkTo) -> None:
    host, socket = FakeHost(), Socket()
    host.unavailable_for = 1
    uplink = uplink_to(host)
    lane = uplink.open_lane("CP-1")
    lane.post(frame("CP-1", b"last words"), socket)
    lane.post(batch.Disconnect("CP-1", 1, 1006, ""), socket)
    socket.closed = True
    uplink.release(lane)
    assert await uplink.drain(10)
    assert [type(item) for item in host.items] == [batch.Frame, batch.Disconnect]


async def test_a_connect_nobody_waits_for_is_withdrawn(uplink_to: UplinkTo) -> None:
    host, gone, waiting = FakeHost(), Socket(), Socket()
    host.unavailable_for = 1
    uplink = uplink_to(host)
    lane = uplink.open_lane("CP-1")
    lane.post(connect("CP-1"), gone)
    lane.post(connect("CP-1"), waiting)
    gone.closed = True
    assert await uplink.drain(10)
    assert (gone.told, waiting.told) == ([], [1])
    assert len(host.connects()) == 1


async def test_a_station_that_moved_is_asked_for_again_at_its_new_host(uplink_to: UplinkTo) -> None:
    old, new, socket, router = FakeHost(), FakeHost(), Socket(), FakeRouter()
    old.say = lambda _: batch.NotOwner()
    router.truth = "host-2"
    uplink = uplink_to(old, new, router=router)
    lane = uplink.open_lane("CP-1")
    for data in (b"first", b"second"):
        lane.post(frame("CP-1", data), socket)
    assert await uplink.drain(5)
    assert socket.told == new.frames_of("CP-1") == [b"first", b"second"]
    assert (len(old.items), router.refreshed, uplink.failures) == (1, 1, 0)


async def test_items_of_a_dead_host_go_to_the_one_that_took_over(uplink_to: UplinkTo) -> None:
    dead, heir, socket, router = FakeHost(), FakeHost(), Socket(), FakeRouter()
    dead.unavailable_for = 10**6
    router.truth = "host-2"
    uplink = uplink_to(dead, heir, router=router)
    for n in range(10):
        uplink.open_lane(f"CP-{n}").post(frame(f"CP-{n}", b"x"), socket)
    assert await uplink.drain(5)
    assert len(heir.items) == 10


async def test_stations_nobody_owns_wait_until_somebody_does(uplink_to: UplinkTo) -> None:
    host, socket, router = FakeHost(), Socket(), FakeRouter()
    router.owner = router.truth = None
    uplink = uplink_to(host, router=router)
    uplink.open_lane("CP-1").post(connect("CP-1"), socket)
    await until(lambda: router.refreshed >= 2)
    router.truth = "host-1"
    assert await uplink.drain(10)
    assert socket.told == [1]


async def test_an_item_the_host_cannot_digest_delays_only_itself(uplink_to: UplinkTo) -> None:
    host, sick, well = FakeHost(), Socket(), Socket()

    def choke(item: batch.Item) -> batch.Result:
        if item.station_id == "CP-poison":
            raise ZeroDivisionError
        return host.decide(item)

    host.say = choke
    uplink = uplink_to(host)
    uplink.open_lane("CP-poison").post(frame("CP-poison", b"poison"), sick)
    for n in range(50):
        uplink.open_lane(f"CP-{n}").post(frame(f"CP-{n}", b"x"), well)
    await until(lambda: len(well.told) == 50)
    assert sick.told == []
    host.say = host.decide
    assert await uplink.drain(10)
    assert sick.told == [b"poison"]
    shared = [items for items in host.batches if len(items) > 1 and frame("CP-poison", b"poison") in items]
    assert len(shared) == 1


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda _: b"\xc1garbage",
    "nothing": lambda _: b"",
    "too few": lambda _: batch.encode(list[batch.Result]()),
    "too many": lambda data: batch.encode([batch.Answers([])] * (len(batch.decode_items(data)) + 1)),
    "not a result": lambda _: batch.encode([True]),
    "admission of a frame": lambda data: batch.encode([batch.Admitted(1)] * len(batch.decode_items(data))),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
async def test_no_wrong_answer_ends_the_link(uplink_to: UplinkTo, wrong: Callable[[bytes], bytes]) -> None:
    socket = Socket()

    class WrongTwice(FakeHost):
        calls = 0

        async def ingest(self, data: bytes) -> bytes:
            self.calls += 1
            return wrong(data) if self.calls <= 2 else await super().ingest(data)

    host = WrongTwice()
    uplink = uplink_to(host)
    for n in range(3):
        uplink.open_lane(f"CP-{n}").post(frame(f"CP-{n}", b"x"), socket)
    assert await uplink.drain(10)
    assert socket.told == [b"x"] * 3


async def test_one_broken_socket_does_not_keep_the_others_from_their_answers(uplink_to: UplinkTo) -> None:
    class Broken(Socket):
        def answered(self, frames: list[bytes]) -> None:
            raise OSError("broken")

    host, broken, sound = FakeHost(), Broken(), Socket()
    uplink = uplink_to(host)
    uplink.open_lane("CP-1").post(frame("CP-1", b"x"), broken)
    uplink.open_lane("CP-2").post(frame("CP-2", b"y"), sound)
    assert await uplink.drain(5)
    assert sound.told == [b"y"]


@examples(max_examples=30, deadline=None)
@given(
    plan=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["ok", "down", "lost", "moved", "wrong"])), max_size=25)
)
def test_whatever_happens_every_stations_frames_are_answered_in_order(plan: list[tuple[int, str]]) -> None:
    """Random stations, random faults of the host: at least once, and first deliveries in order."""

    async def run() -> None:
        faults = [fault for _, fault in plan]

        class Faulty(FakeHost):
            async def ingest(self, data: bytes) -> bytes:
                fault = faults.pop() if faults else "ok"
                if fault == "down":
                    raise HostUnavailable("down")
                if fault == "moved":
                    return batch.encode([batch.NotOwner()] * len(batch.decode_items(data)))
                answer = await super().ingest(data)
                if fault == "lost":
                    raise HostUnavailable("answer lost")
                return b"wrong" if fault == "wrong" else answer

        host, sockets = Faulty(), [Socket() for _ in range(4)]
        uplink = Uplink(FakeRouter(), lambda _: host, window=2, max_batch_items=3)
        lanes = [uplink.open_lane(f"CP-{n}") for n in range(4)]
        for number, (station, _) in enumerate(plan):
            lanes[station].post(frame(f"CP-{station}", b"%d" % number), sockets[station])
        assert await uplink.drain(60)
        for station in range(4):
            expected = [b"%d" % number for number, (who, _) in enumerate(plan) if who == station]
            assert sockets[station].told == expected
            assert list(dict.fromkeys(host.frames_of(f"CP-{station}"))) == expected
        await uplink.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cluster.gateway.uplink._RETRY_MAX_S", 0.01)
        asyncio.run(run())


def test_delays_grow_and_stay_bounded() -> None:
    assert 0.025 <= retry_delay_s(1) <= 0.05
    assert 2.5 <= retry_delay_s(1000) <= 5.0
