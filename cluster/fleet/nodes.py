"""Ray's nodes as the fleet sees them, and what should run on which.

The decisions are plain functions of what was seen; only `RayNodes` asks Ray.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import ray
from ray._private.state import state  # Ray 2.60 has no public way to draining nodes

_NODE_ID_LABEL = "ray.io/node-id"
_ANSWER_WITHIN_S = 10.0
_GOOD_FOR_S = 0.8
"""Several look every second, and asking Ray costs milliseconds."""


@dataclass(frozen=True)
class Node:
    """One live node of the Ray cluster. A draining one will be gone soon: Ray starts nothing new on it."""

    node_id: str
    labels: Mapping[str, str]
    draining: bool = False


class RayNodes:
    """The nodes of the Ray cluster that this process is connected to."""

    def __init__(self) -> None:
        self._seen: list[Node] = []
        self._seen_at_s = -math.inf

    async def look(self) -> list[Node]:
        """Return the live nodes, as they were a moment ago at most. Raises TimeoutError when Ray does not say."""
        now_s = time.monotonic()
        if now_s - self._seen_at_s > _GOOD_FOR_S:
            self._seen = await asyncio.wait_for(asyncio.to_thread(self._look), _ANSWER_WITHIN_S)
            self._seen_at_s = now_s
        return self._seen

    @staticmethod
    def _look() -> list[Node]:
        draining = state.get_draining_nodes()
        return [
            Node(node["NodeID"], dict(node["Labels"]), node["NodeID"] in draining)
            for node in ray.nodes()
            if node["Alive"]
        ]


def places(nodes: Iterable[Node], labels: Mapping[str, str]) -> list[str]:
    """Return the nodes where actors may start: those that have all these labels and are not draining."""
    return sorted(node.node_id for node in nodes if not node.draining and labels.items() <= node.labels.items())


def missing(where: Iterable[str], running: Iterable[str], count: int) -> list[str]:
    """Return a node for each actor that is missing where `count` should run on every one; `running` are their nodes."""
    there = Counter(running)
    return [node_id for node_id in where for _ in range(count - there[node_id])]


def emptiest(where: Sequence[str], running: Iterable[str], count: int) -> list[str]:
    """Return nodes for `count` more actors, each on the one that has the fewest by then."""
    there, chosen = Counter(running), list[str]()
    for _ in range(count if where else 0):
        node_id = min(where, key=lambda node_id: there[node_id])
        there[node_id] += 1
        chosen.append(node_id)
    return chosen


def only_on(node_id: str) -> dict[str, object]:
    """Return the options of an actor that runs on this node or nowhere."""
    return {"label_selector": {_NODE_ID_LABEL: node_id}}


def rather_on(node_id: str, labels: Mapping[str, str]) -> dict[str, object]:
    """Return the options of an actor that starts on this node, or else, and after it, on any that has these labels."""
    return {**only_on(node_id), "fallback_strategy": [{"label_selector": dict(labels)}]}
