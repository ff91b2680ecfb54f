"""Partitions are dealt out fairly, by everyone alike, with as few moves as possible."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.balance import moves, shares

HOSTS = [f"host-{number}" for number in range(6)]
COUNT = 37
Working = dict[str, int | None]


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Working, dict[int, str]]:
    """Draw the hosts that work, some of them dedicated, and owners: working, draining or nobody."""
    working: Working = dict.fromkeys(draw(st.sets(st.sampled_from(HOSTS), min_size=1)))
    owners = draw(st.dictionaries(st.integers(0, COUNT - 1), st.sampled_from(HOSTS)))
    for host in draw(st.sets(st.sampled_from(sorted(working)), max_size=len(working) - 1)):
        working[host] = COUNT - 1 - HOSTS.index(host)
    return working, owners


def shared(working: Working) -> dict[str, int]:
    """Return the shares of those who are not dedicated."""
    packed = [host for host, own in working.items() if own is None]
    return shares(packed, COUNT - (len(working) - len(packed)))


def after_a_beat_of_all(working: Working, owners: dict[int, str]) -> dict[int, str]:
    planned = {host: moves(host, working, owners, range(COUNT)) for host in HOSTS}
    claimed = [partition for plan in planned.values() for partition in plan.claim]
    assert len(claimed) == len(set(claimed)), "two hosts reached for one partition"
    assert not set(claimed) & set(owners), "an owned partition was reached for"
    owners = dict(owners)
    for host, plan in planned.items():
        assert all(owners.pop(partition) == host for partition in plan.release)
        owners |= dict.fromkeys(plan.claim, host)
    return owners


@given(fleets())
def test_two_beats_bring_everyone_to_a_fair_share_and_then_nothing_moves(
    fleet: tuple[Working, dict[int, str]],
) -> None:
    working, owners = fleet
    balanced = after_a_beat_of_all(working, after_a_beat_of_all(working, owners))
    assert len(balanced) == COUNT
    counts = {host: list(balanced.values()).count(host) for host, own in working.items() if own is None}
    assert counts == shared(working)
    assert max(counts.values()) - min(counts.values()) <= 1
    dedicated = {host: own for host, own in working.items() if own is not None}
    assert {owner: partition for partition, owner in balanced.items() if owner in dedicated} == dedicated
    assert after_a_beat_of_all(working, balanced) == balanced


@given(fleets())
def test_nobody_gives_up_more_than_what_is_beyond_its_share(fleet: tuple[Working, dict[int, str]]) -> None:
    working, owners = fleet
    for host, share in shared(working).items():
        owned = {partition for partition, owner in owners.items() if owner == host}
        theirs = owned & {own for own in working.values() if own is not None}
        released = set(moves(host, working, owners, range(COUNT)).release)
        assert released >= theirs
        assert len(released - theirs) == max(0, len(owned - theirs) - share)


def test_what_a_dedicated_host_left_behind_is_shared_until_it_comes_back() -> None:
    owners = {0: "a", 1: "a", 2: "charger"}
    assert moves("charger", {"a": None, "charger": 2}, owners, range(3)) == ([], [])
    del owners[2]
    assert moves("a", {"a": None}, owners, range(3)) == ([2], [])
    owners[2] = "a"
    assert moves("a", {"a": None, "charger": 2}, owners, range(3)) == ([], [2])
    assert moves("charger", {"a": None, "charger": 2}, owners, range(3)) == ([], [])


def test_a_draining_host_gives_everything_up() -> None:
    assert moves("b", {"a": None}, {0: "a", 1: "b", 2: "b"}, range(3)) == ([], [1, 2])


def test_without_hosts_nobody_has_a_share() -> None:
    assert shares([], COUNT) == {}
