"""How many processes an application has."""

from __future__ import annotations

from typing import Any

from configs.settings import Settings
from serve.deployment import size


def sized(**keys: object) -> dict[str, Any]:
    return size(Settings.load("embedded", env={}, overrides={f"api.{name}": value for name, value in keys.items()}).api)


def test_it_has_as_many_as_are_set() -> None:
    assert sized(replicas=3) == {"num_replicas": 3}


def test_with_a_most_it_goes_by_what_it_has_to_do() -> None:
    found = sized(replicas=2, max_replicas=8, requests_per_replica=50)
    config = found.pop("autoscaling_config")
    assert (config.min_replicas, config.max_replicas, config.target_ongoing_requests) == (2, 8, 50)
    assert found == {}
