"""The sections of the HTTP API, of what app users may do, and of the ways out of the platform.

What each key means stands in base.yaml. Must not know: who uses a setting, or how.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from configs.fields import Amount, Count, Host, Origin, Port, Seconds, Section


class Api(Section):
    """The HTTP API on Ray Serve."""

    host: Host
    port: Port
    replicas: Count
    max_replicas: Count | None
    requests_per_replica: Count
    token_ttl_s: Count
    fresh_login_s: Count
    max_wait_s: Seconds
    idempotency_hours: Count
    max_body_kb: Count
    max_header_kb: Count
    cors_origins: list[Origin]
    hsts_s: Amount
    haproxy: bool
    replica_port_min: Port
    replica_port_max: Port

    @model_validator(mode="after")
    def _range_in_order(self) -> Self:
        if self.replica_port_max < self.replica_port_min:
            raise ValueError("api.replica_port_max must not be below api.replica_port_min")
        return self

    @model_validator(mode="after")
    def _most_not_below_least(self) -> Self:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError("api.max_replicas must not be below api.replicas")
        return self


class Charging(Section):
    """Charges that app users ask for."""

    start_within_s: Seconds


class Sharing(Section):
    """Relations of app users to stations and sites."""

    max_people: Count
    invitation_days: Count
    claim_days: Count


class Live(Section):
    """Live events on streams."""

    stream_max_events: Count
    max_listeners: Count
    max_queued: Count
    heartbeat_s: Seconds
    send_timeout_s: Seconds
    retry_s: Seconds
    recheck_s: Seconds
    filter_pause_s: Seconds


class Outbox(Section):
    """The relay of business events."""

    poll_s: Seconds
    batch: Count


class Webhooks(Section):
    """Business events as requests to endpoints that users name."""

    allow_http: bool
    allowed_networks: list[str]
    max_per_owner: Count
    timeout_s: Seconds
    retry_hours: Count
    pause_after_hours: Count
    rotation_hours: Count
    keep_delivered_hours: Count
    keep_dead_days: Count
    poll_s: Seconds
    max_endpoints: Count
    max_requests_per_endpoint: Count

    @field_validator("allowed_networks")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            ip_network(network)
        return networks


class Kinesis(Section):
    """The forwarder of business events to Amazon Kinesis."""

    stream: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")] | None
    region: str | None
    endpoint_url: Annotated[str, Field(pattern=r"^https?://")] | None
    poll_s: Seconds


class Audit(Section):
    """The audit log: who did what."""

    gather_s: Seconds
    note_s: Seconds
    max_queued: Count
