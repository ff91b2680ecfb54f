"""Who owns what, asked of hosts whose names may have changed since the last look. No cluster runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import ray

from cluster.gateway.ports import FleetMap, HostUnavailable
from cluster.partitions import PartitionMap
from cluster.refs import RayDirectory, host_ids


class Host:
    """An actor handle whose `fleet_map` answers."""

    def __init__(self, found: FleetMap) -> None:
        self._found = found

    @property
    def fleet_map(self) -> Host:
        return self

    @property
    def remote(self) -> Callable[[Sequence[str]], Awaitable[FleetMap]]:
        async def answer(_: Sequence[str]) -> FleetMap:
            return self._found

        return answer


def test_names_of_hosts_are_the_first_that_are_free() -> None:
    assert host_ids(2) == ["host-0", "host-1"]
    assert host_ids(3, taken={"host-1", "host-3"}) == ["host-0", "host-2", "host-4"]


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> RayDirectory:
    """A directory that knows two hosts by name; one runs, under a third name."""
    named = [
        {"name": "host-5", "namespace": "ours"},
        {"name": "host-4", "namespace": "theirs"},
        {"name": "gateway-1", "namespace": "ours"},
    ]
    monkeypatch.setattr(ray.util, "list_named_actors", lambda *, all_namespaces: named)
    directory = RayDirectory("ours", 1, host_ids(2))

    def resolve(name: str) -> Host:
        if name not in ("host-4", "host-5"):
            raise ValueError(name)
        return Host(FleetMap(PartitionMap(1, {}, {0: name}), [name]))

    monkeypatch.setattr(directory, "resolve", resolve)
    return directory


async def test_a_directory_finds_hosts_that_all_have_other_names_by_now(directory: RayDirectory) -> None:
    with pytest.raises(HostUnavailable):
        directory.route("CP-1")
    await directory.refresh()
    assert directory.route("CP-1") == "host-5"


async def test_a_directory_says_when_no_host_answers(directory: RayDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray.util, "list_named_actors", lambda *, all_namespaces: [])
    with pytest.raises(HostUnavailable, match="no host answers"):
        await directory.refresh()
