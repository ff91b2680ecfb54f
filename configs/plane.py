"""The sections of the plane that stations connect to, and of what it runs on.

What each key means stands in base.yaml. Must not know: who uses a setting, or how.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from configs.fields import Amount, Count, DatabaseUrl, Host, Label, Port, PortOrFree, RedisUrl, Seconds, Section


class Database(Section):
    """PostgreSQL, the system of record."""

    url: DatabaseUrl | None = Field(repr=False)
    pool_size: Count


class Redis(Section):
    """Valkey or Redis, for live streams."""

    url: RedisUrl | None = Field(repr=False)
    port: PortOrFree
    max_memory_mb: Annotated[int, Field(ge=16)]


class Vault(Section):
    """How data at rest is sealed, and who holds the key that wraps the others."""

    provider: Literal["file", "aws-kms"]
    kms_key_id: str | None
    kms_region: str | None
    kms_endpoint_url: str | None
    refresh_s: Seconds

    @model_validator(mode="after")
    def _key_named(self) -> Self:
        if self.provider == "aws-kms" and self.kms_key_id is None:
            raise ValueError("vault.provider aws-kms needs vault.kms_key_id")
        return self


class Ray(Section):
    """The Ray cluster the platform runs on."""

    address: str | None
    num_cpus: Count | None
    namespace: Annotated[str, Field(min_length=1)]
    temp_dir: Annotated[Path, Strict(False)] | None
    object_store_mb: Annotated[int, Field(ge=80)]


class Gateway(Section):
    """The WebSocket edge that stations connect to."""

    host: Host
    port: Port
    count: Count
    node_labels: dict[Label, Label]
    window: Count
    max_batch_items: Count
    max_frame_bytes: Annotated[int, Field(ge=1024)]
    accepts_per_s: Annotated[float, Field(gt=0)]
    handshake_timeout_s: Seconds
    ping_interval_s: Seconds
    pong_timeout_s: Seconds
    frames_per_s: Annotated[float, Field(gt=0)]
    frame_burst: Count
    max_queued_frames: Count
    max_queued_mb: Count
    compression: bool
    retry_after_s: Count


class Hosts(Section):
    """The Ray actors that hold the charger actors."""

    count: Count
    placement: Literal["packed", "dedicated"]
    max_dedicated: Amount
    node_labels: dict[Label, Label]
    partitions: Annotated[int, Field(ge=1, le=65536)]
    lease_s: Annotated[float, Field(ge=1)]
    passivate_after_s: Seconds
    tick_s: Seconds
    seen_write_interval_s: Seconds
    max_commit_units: Count


class Ocpp(Section):
    """How the platform speaks OCPP."""

    heartbeat_interval_s: Count
    call_timeout_s: Seconds
    validation: Literal["tolerant", "strict"]
    answer_cache_size: Amount
    answer_cache_s: Seconds
    retry_interval_s: Count
    max_nesting: Count


class Stations(Section):
    """What happens to stations at first contact."""

    unknown: Literal["refuse", "accept"]
    boot: Literal["accept", "pending"]
    require_password: bool


class Tokens(Section):
    """What happens to id tokens nobody registered."""

    unknown: Literal["accept", "invalid"]


class Commands(Section):
    """The queue of commands to each charger."""

    default_deadline_s: Seconds
    max_queued: Count


class Log(Section):
    """What the platform logs, and how."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["readable", "json"]


class FramesLog(Section):
    """The log of OCPP frames per station."""

    retention_hours: Count
    max_queued: Count


class Demo(Section):
    """The simulated fleet of `cloudbay demo`."""

    stations: Count
    speed: Annotated[float, Field(gt=0)]
