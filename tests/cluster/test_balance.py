"""Partitions are dealt out fairly, by everyone alike, with as few moves as possible."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.balance import moves, shares

HOSTS = [f"host-{number}" for number in range(6)]
COUNT = 37


@st.composite
def fleets(draw: st.DrawFn) -> tuple[set[str], dict[int, str]]:
    """Draw the hosts that work, and owners: working, draining or nobody."""
    working = draw(st.sets(st.sampled_from(HOSTS), min_size=1))
    owners = draw(st.dictionaries(st.integers(0, COUNT - 1), st.sampled_from(HOSTS)))
    return working, owners


def after_a_beat_of_all(working: set[str], owners: dict[int, str]) -> dict[int, str]:
    planned = {host: moves(host, working, owners, COUNT) for host in HOSTS}
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
    fleet: tuple[set[str], dict[int, str]],
) -> None:
    working, owners = fleet
    balanced = after_a_beat_of_all(working, after_a_beat_of_all(working, owners))
    assert len(balanced) == COUNT
    counts = {host: list(balanced.values()).count(host) for host in working}
    assert counts == shares(working, COUNT)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert after_a_beat_of_all(working, balanced) == balanced


@given(fleets())
def test_nobody_gives_up_more_than_what_is_beyond_its_share(fleet: tuple[set[str], dict[int, str]]) -> None:
    working, owners = fleet
    for host in working:
        owned = list(owners.values()).count(host)
        assert len(moves(host, working, owners, COUNT).release) == max(0, owned - shares(working, COUNT)[host])


def test_a_draining_host_gives_everything_up() -> None:
    assert moves("b", ["a"], {0: "a", 1: "b", 2: "b"}, 3) == ([], [1, 2])


def test_without_hosts_nobody_has_a_share() -> None:
    assert shares([], COUNT) == {}
