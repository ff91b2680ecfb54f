"""Which nodes are places for what, and where the next actor goes."""

from cluster.fleet.nodes import Node, emptiest, missing, places, rather_on

NODES = [
    Node("c", {"edge": "yes", "zone": "1"}),
    Node("a", {"edge": "yes", "zone": "2"}),
    Node("b", {"edge": "no", "zone": "2"}),
    Node("d", {"edge": "yes", "zone": "2"}, draining=True),
]


def test_without_labels_every_node_that_does_not_drain_is_a_place() -> None:
    assert places(NODES, {}) == ["a", "b", "c"]


def test_a_place_has_all_the_labels() -> None:
    assert places(NODES, {"edge": "yes"}) == ["a", "c"]
    assert places(NODES, {"edge": "yes", "zone": "2"}) == ["a"]
    assert places(NODES, {"edge": "maybe"}) == []
    assert places(NODES, {"other": "yes"}) == []


def test_every_place_gets_what_it_lacks() -> None:
    assert missing(["a", "b"], [], 2) == ["a", "a", "b", "b"]
    assert missing(["a", "b"], ["a", "b", "b", "gone"], 2) == ["a"]
    assert missing([], ["gone"], 2) == []


def test_the_next_goes_where_the_fewest_are() -> None:
    assert emptiest(["a", "b"], [], 3) == ["a", "b", "a"]
    assert emptiest(["a", "b", "c"], ["a", "a", "c", "gone"], 3) == ["b", "b", "c"]
    assert emptiest([], ["a"], 2) == []


def test_a_host_may_restart_on_any_node_with_its_labels() -> None:
    assert rather_on("a", {"work": "yes"}) == {
        "label_selector": {"ray.io/node-id": "a"},
        "fallback_strategy": [{"label_selector": {"work": "yes"}}],
    }
