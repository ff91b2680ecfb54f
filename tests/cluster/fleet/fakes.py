"""A Ray cluster in memory: nodes that join, drain and die, and actors on them. The database behind them is real."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ray.exceptions import ActorUnavailableError, RayError
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.fleet.named import NamedActors, Standing
from cluster.fleet.nodes import Node
from cluster.host_actor import HostActor
from cluster.membership import Membership
from cluster.store.fleet import PostgresFleet
from cluster.store.placements import PostgresPlacements

PARTITIONS = 12


class FakeHost:
    """Joins, and takes and gives partitions with every beat, which comes when the test says so."""

    def __init__(self, cluster: FakeCluster, name: str, own_partition: int | None = None, generation: int = 0) -> None:
        self._cluster = cluster
        self._name = name
        self.own_partition = own_partition
        self.generation = generation
        self.owned: frozenset[int] = frozenset()
        self.membership: Membership | None = None
        self.heard: list[str] = []

    async def start(self) -> None:
        if self.membership is None:
            epoch = await self._cluster.store.join(self._name, 60, self.own_partition, self.generation)
            self.membership = Membership(self._name, epoch, self._cluster.store, self._cluster, self, 60)

    async def serve(self) -> None:
        await self.start()
        assert self.membership is not None
        await self.membership.beat()

    async def gateway_gone(self, gateway_id: str) -> None:
        self.heard.append(gateway_id)

    async def stop(self) -> None:
        await self._cluster.store.bury([self._name], only_expired=False)

    def hold(self, partitions: Collection[int], own: Mapping[str, int]) -> None:
        self.owned = frozenset(partitions)

    async def give_up(self, partitions: Collection[int]) -> None:
        self.owned -= frozenset(partitions)


class FakeGateway:
    """Has as many sockets as the test says."""

    def __init__(self) -> None:
        self.sockets = 0
        self.draining = False

    async def start(self) -> tuple[str, int]:
        return "127.0.0.1", 9000

    async def stats(self) -> dict[str, int]:
        return {"connected": self.sockets, "handshaking": 0}

    async def drain(self) -> None:
        self.draining = True

    async def stop(self) -> None:
        self.sockets = 0


class FakeHandle:
    """An actor's handle; calls fail as Ray's do while the process is nowhere, and hang when told to."""

    def __init__(self, name: str, actor: Any, node_id: str | None, *, restarts: bool) -> None:
        self.name = name
        self.actor = actor
        self.node_id = node_id
        self.restarts = restarts
        self.dead = False
        self.hangs = False

    def __getattr__(self, method: str) -> _Method:
        return _Method(self, method)


class _Method:
    def __init__(self, handle: FakeHandle, name: str) -> None:
        self._handle = handle
        self._name = name

    def remote(self, *arguments: object) -> asyncio.Future[Any]:
        call = asyncio.ensure_future(self._call(*arguments))
        call.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody need look at it
        return call

    async def _call(self, *arguments: object) -> Any:
        if self._handle.hangs:
            await asyncio.Event().wait()
        if self._handle.node_id is None:
            raise ActorUnavailableError("it is nowhere", None)
        return await getattr(self._handle.actor, self._name)(*arguments)


class FakeCluster(NamedActors):
    """Nodes and actors; `failing_starts` actors die as soon as they are made."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__("test")
        self.engine = engine
        self.store = PostgresFleet(engine, configured_hosts=2)
        self.placements = PostgresPlacements(engine, everyone=False, most=100)
        self._nodes: dict[str, Node] = {}
        self.actors: dict[str, FakeHandle] = {}
        self.failing_starts = 0

    @property
    def nodes(self) -> list[Node]:
        return list(self._nodes.values())

    def join(self, *node_ids: str, **labels: str) -> None:
        for node_id in node_ids:
            self._nodes[node_id] = Node(node_id, labels)

    def drain(self, node_id: str) -> None:
        self._nodes[node_id] = replace(self._nodes[node_id], draining=True)

    def lose(self, node_id: str) -> None:
        """Take a node away with all that runs on it."""
        del self._nodes[node_id]
        for handle in self.actors.values():
            if handle.node_id == node_id:
                self.crash(handle.name)

    def crash(self, name: str) -> None:
        """End an actor's process; Ray has not started it again yet."""
        handle = self.actors[name]
        handle.node_id, handle.dead = None, not handle.restarts

    def restart(self, name: str, node_id: str) -> None:
        """Do what Ray does with an actor that may restart: the same actor, knowing nothing."""
        was = self.actors[name].actor
        self.actors[name].actor = FakeHost(self, name, was.own_partition, was.generation)
        self.actors[name].node_id = node_id

    def where(self, kind: str) -> dict[str, str | None]:
        """Return the node of every `host` or `gateway`."""
        return {name: handle.node_id for name, handle in self.actors.items() if name.startswith(kind)}

    async def beats(self, times: int = 3) -> None:
        """Let every host beat so often."""
        for _ in range(times):
            for handle in self.actors.values():
                if handle.node_id and isinstance(handle.actor, FakeHost) and handle.actor.membership:
                    await handle.actor.membership.beat()

    def make(
        self, actor_class: type, name: str, *arguments: object, max_restarts: int, placement: Mapping[str, object]
    ) -> FakeHandle:
        if name in self.actors:
            raise ValueError(f"the name {name} is taken")
        actor = FakeHost(self, name, *arguments[2:]) if actor_class is HostActor else FakeGateway()  # type: ignore[arg-type]
        node_id = self._place(placement)
        if self.failing_starts:
            self.failing_starts -= 1
            node_id = None
        self.actors[name] = FakeHandle(name, actor, node_id, restarts=max_restarts != 0)
        return self.actors[name]

    def _place(self, placement: Any) -> str | None:
        wanted = [placement["label_selector"], *(e["label_selector"] for e in placement.get("fallback_strategy", []))]
        for labels in wanted:
            for node in self._nodes.values():
                if not node.draining and labels.items() <= {**node.labels, "ray.io/node-id": node.node_id}.items():
                    return node.node_id
        return None

    async def standing(self, handle: FakeHandle) -> Standing:
        return Standing(handle.node_id, handle.dead)

    async def end(self, name: str, handle: FakeHandle) -> None:
        if handle.node_id:
            await handle.actor.stop()
        await self.kill(handle)

    async def kill(self, handle: FakeHandle) -> None:
        self.actors.pop(handle.name, None)
        handle.node_id, handle.dead = None, True

    async def dead(self, host_id: str) -> bool:
        return host_id not in self.actors or self.actors[host_id].node_id is None

    async def wake(self, host_ids: Sequence[str]) -> None:
        pass


class Told:
    """Remembers which gateways the hosts were told of; fails when told to."""

    def __init__(self) -> None:
        self.of: list[str] = []
        self.fails = False

    async def __call__(self, gateway_id: str) -> None:
        if self.fails:
            raise RayError("a host cannot be told now")
        self.of.append(gateway_id)
