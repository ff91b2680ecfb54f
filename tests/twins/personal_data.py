"""PersonalRecords on the tables in memory."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from actors.domain.token import token_key
from actors.errors import Conflict
from cluster.identity.circle import ERASED
from cluster.identity.people import LOCAL_ISSUER
from cluster.personal_data import Consent, Dossier, Mentions, Ordered, erasure_of, pseudonymised
from cluster.store.views import masked
from tests.twins.approvals import MemoryApprovals
from tests.twins.audit import MemoryAudit
from tests.twins.charges import MemoryDrivers
from tests.twins.circles import MemoryCircles
from tests.twins.identity import MemoryIdentity
from tests.twins.store import MemoryDatabase
from tests.twins.webhooks import MemoryWebhooks

replace = msgspec.structs.replace


class MemoryPersonalRecords:
    """What the other twins hold of a person."""

    def __init__(
        self,
        database: MemoryDatabase,
        circles: MemoryCircles,
        drivers: MemoryDrivers,
        identity: MemoryIdentity,
        hooks: MemoryWebhooks,
        audit: MemoryAudit,
        approvals: MemoryApprovals,
    ) -> None:
        self.database = database
        self.circles = circles
        self.drivers = drivers
        self.identity = identity
        self.hooks = hooks
        self.audit = audit
        self.approvals = approvals

    async def dossier(self, subject: str) -> Dossier:
        """Return all that is known of somebody but their charges."""
        tables, id_token = self.identity, self.drivers.tokens.get(subject)
        offers = [offer for circle in self.circles.circles.values() for offer in circle.offers.values()]
        ordered = [command for command in self.database.commands.values() if command.requested_by == subject]
        return Dossier(
            person=tables.users.get(subject),
            sessions=[session for session, _ in tables.sessions.values() if session.user_id == subject],
            consents=[
                Consent(grant.client_id, grant.scopes, grant.created_at)
                for grant in tables.grants.values()
                if grant.user_id == subject
            ],
            ties=sorted((tie for tie in self.circles.ties() if tie.subject == subject), key=lambda tie: tie.holding),
            offers=[offer for offer in offers if subject in (offer.subject, offer.offered_by)],
            id_token=None if id_token is None else masked(id_token),
            commands=[Ordered(c.id, c.station_id, c.action, c.created_at, c.status) for c in ordered],
            webhooks=[hook for hook in self.hooks.subscriptions.values() if hook.owner == subject],
            mentions=Mentions(
                audit_entries=sum(link.entry.subject == subject for link in self.audit.links),
                approvals=sum(
                    subject in (one.requested_by, one.decided_by, one.used_by)
                    or one.target == erasure_of(subject).target
                    for one in self.approvals.kept.values()
                ),
                machine_keys=sum(key.created_by == subject for key in tables.machine_keys.values()),
                commands=len(ordered),
            ),
        )

    async def hindrance(self, subject: str, now: datetime) -> str | None:
        """Return why somebody cannot be erased now."""
        admins = [
            user.id
            for user in self.identity.users.values()
            if user.issuer == LOCAL_ISSUER and user.status == "active" and "admin" in user.roles
        ]
        if admins == [subject]:
            return "this is the last admin; make another one first"
        key = token_key(self.drivers.tokens.get(subject, ""))
        charging = [
            t for t in self.database.transactions.values() if t.ended_at is None and token_key(t.id_token or "?") == key
        ]
        asked = [
            command
            for command in self.database.commands.values()
            if command.requested_by == subject
            and (
                not command.finished
                or (
                    command.action == "RequestStartTransaction"
                    and command.status == "accepted"
                    and command.transaction is None
                    and command.created_at >= now - timedelta(minutes=5)
                )
            )
        ]
        under_way = "a charge or another command of theirs is under way; it must have ended before"
        return under_way if charging or asked else None

    async def erase(self, subject: str, pseudonym: str, now: datetime) -> None:
        """Erase somebody."""
        if (reason := await self.hindrance(subject, now)) is not None:
            raise Conflict(reason)
        self.identity.erase(subject, now)
        for holding in list(self.circles.circles):
            circle = await self.circles.circle(holding)
            before = msgspec.json.encode(circle)
            circle.forget(subject, now)
            if msgspec.json.encode(circle) != before:
                await self.circles.save(circle)
        self._rename_charges(subject, pseudonym)
        for hook in [hook for hook in self.hooks.subscriptions.values() if hook.owner == subject]:
            del self.hooks.subscriptions[hook.id]
            for delivery in self.hooks.of(hook.id):
                del self.hooks.deliveries[delivery.id]
        for one in self.approvals.kept.values():
            if one.target == erasure_of(subject).target:
                self.approvals.kept[one.id] = replace(one, reason=ERASED, remark=None)

    def _rename_charges(self, subject: str, pseudonym: str) -> None:
        id_token = self.drivers.tokens.pop(subject, "")
        for command in self.database.commands.values():
            if command.requested_by == subject:
                command.requested_by = pseudonym
                content = pseudonymised(msgspec.json.encode(command.payload), id_token, pseudonym)
                command.payload = msgspec.json.decode(content)
        self.database.tokens.pop(token_key(id_token), None)
        for transaction in self.database.transactions.values():
            if id_token and token_key(transaction.id_token or "") == token_key(id_token):
                transaction.id_token, transaction.start_key = pseudonym, None
                self._rename_events(transaction.station_id, transaction.transaction_id, id_token, pseudonym)

    def _rename_events(self, station_id: str, transaction_id: str, id_token: str, pseudonym: str) -> None:
        for key, event in self.database.events.items():
            if key[:2] == (station_id, transaction_id):
                payload = pseudonymised(event.payload, id_token, pseudonym)
                answer = event.answer and pseudonymised(event.answer, id_token, pseudonym)
                self.database.events[key] = replace(event, payload=payload, answer=answer)
