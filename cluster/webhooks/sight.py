"""Whose events the owners of subscriptions may see: staff the fleet's, app users those of stations that are theirs.

Owners and co-owners are told what happens at their stations from the moment their relation began until it ends. Guests
are told nothing: what they may see are charges of their own, and those they look at in the app.
Must not know: SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final, Protocol

from cluster.bus.outbox import WaitingEvent
from cluster.identity.relation import Relation, Tie, deciding
from cluster.webhooks.model import Subscription
from cluster.webhooks.ports import Sight

_TOLD: Final[frozenset[Relation]] = frozenset({"owner", "co-owner"})
TOLD_OF: Final = frozenset(
    {
        "ConnectorStatusChanged",
        "StationBooted",
        "StationConnected",
        "StationDisconnected",
        "TransactionEnded",
        "TransactionRevised",
        "TransactionStarted",
    }
)
"""The types of events that owners are told; others are for staff."""


class StationTies(Protocol):
    """Who has relations to stations. Raises Unavailable."""

    async def on_stations(self, station_ids: Collection[str]) -> dict[str, list[Tie]]:
        """Return everybody's ties that bear on stations: on each itself and on its site."""


class StaffDirectory(Protocol):
    """Who is staff. Raises Unavailable."""

    async def dismissed(self, subjects: Collection[str]) -> frozenset[str]:
        """Return those who are known not to be staff any more: closed accounts, lost roles, keys that have ended."""


class RelationSight:
    """Sight of cluster/webhooks/ports.py, by relations and by who is staff at this moment."""

    def __init__(self, ties: StationTies, staff: StaffDirectory, clock: Callable[[], datetime]) -> None:
        self._ties = ties
        self._staff = staff
        self._clock = clock

    async def watchers(self, station_ids: Collection[str]) -> Mapping[str, Mapping[str, datetime]]:
        """Return who may see each of the stations now, each with the time since when."""
        found, now = await self._ties.on_stations(station_ids), self._clock()
        return {station_id: _told(ties, now) for station_id, ties in found.items()}

    def tells(self, kind: str) -> bool:
        """Tell whether events of a type are for others than staff."""
        return kind in TOLD_OF

    async def dismissed(self, owners: Collection[str]) -> Collection[str]:
        """Return those who may not see the fleet any more."""
        return await self._staff.dismissed(owners)


async def may_see(sight: Sight, subscription: Subscription, event: WaitingEvent) -> bool:
    """Tell whether the owner of a subscription may still be told of an event that was for him when it came."""
    owner, station_id = subscription.owner, event.station_id
    if subscription.whole_fleet:
        return owner not in await sight.dismissed([owner])
    since = (await sight.watchers([station_id])).get(station_id, {}).get(owner)
    return since is not None and event.at >= since


def _told(ties: list[Tie], now: datetime) -> dict[str, datetime]:
    decided = (deciding(subject, ties, now) for subject in {tie.subject for tie in ties})
    return {tie.subject: tie.granted_at for tie in decided if tie is not None and tie.relation in _TOLD}
