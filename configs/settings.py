"""The settings tree and where its values come from; the only module that reads environment variables.

Later sources win: base.yaml, the profile's file, the user's files, `CLOUDBAY_*` variables, flags of the command line.
What each key means stands beside its default in base.yaml. Must not know: who uses a setting, or how.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

from configs.sources import SettingsError, Values, from_file, from_overrides, from_variables, validated

PROFILE_VARIABLE = "CLOUDBAY_PROFILE"
FILE_VARIABLE = "CLOUDBAY_CONFIG"
HERE = Path(__file__).parent

Port = Annotated[int, Field(ge=1, le=65535)]
PortOrFree = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0)]
Host = Annotated[str, Field(min_length=1)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$")]
DatabaseUrl = Annotated[str, Field(pattern=r"^postgresql(\+\w+)?://")]
RedisUrl = Annotated[str, Field(pattern=r"^(rediss?|unix)://")]


class Section(BaseModel):
    """Base of every section: frozen, exact types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Database(Section):
    """PostgreSQL, the system of record."""

    url: DatabaseUrl | None = Field(repr=False)
    pool_size: Count


class Redis(Section):
    """Valkey or Redis, for live streams."""

    url: RedisUrl | None = Field(repr=False)
    port: PortOrFree
    max_memory_mb: Annotated[int, Field(ge=16)]


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


class Api(Section):
    """The HTTP API on Ray Serve."""

    host: Host
    port: Port
    replicas: Count
    token_ttl_s: Count
    max_wait_s: Seconds
    haproxy: bool
    replica_port_min: Port
    replica_port_max: Port

    @model_validator(mode="after")
    def _range_in_order(self) -> Self:
        if self.replica_port_max < self.replica_port_min:
            raise ValueError("api.replica_port_max must not be below api.replica_port_min")
        return self


class Log(Section):
    """What the platform logs, and how."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["readable", "json"]


class FramesLog(Section):
    """The log of OCPP frames per station."""

    retention_hours: Count
    max_queued: Count


class Live(Section):
    """Live events on streams."""

    stream_max_events: Count


class Outbox(Section):
    """The relay of business events."""

    poll_s: Seconds
    batch: Count


class Demo(Section):
    """The simulated fleet of `cloudbay demo`."""

    stations: Count
    speed: Annotated[float, Field(gt=0)]


class Settings(Section):
    """All settings of one platform, frozen."""

    data_dir: Annotated[Path, Strict(False)]
    database: Database
    redis: Redis
    ray: Ray
    gateway: Gateway
    hosts: Hosts
    ocpp: Ocpp
    stations: Stations
    tokens: Tokens
    commands: Commands
    api: Api
    log: Log
    frames_log: FramesLog
    live: Live
    outbox: Outbox
    demo: Demo

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        ports = {
            "gateway.port": self.gateway.port,
            "api.port": self.api.port,
            "redis.port": self.redis.port,
        }
        owner: dict[int, str] = {}
        for key, port in ports.items():
            if port and owner.setdefault(port, key) != key:
                raise ValueError(f"{owner[port]} and {key} must differ, both are {port}")
        return self

    @classmethod
    def load(
        cls,
        profile: str | None = None,
        files: Iterable[Path] = (),
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Settings:
        """Return the settings of `profile` (default: CLOUDBAY_PROFILE, else embedded) with every later source applied.

        `files` are the user's YAML files (default: CLOUDBAY_CONFIG); `env` replaces os.environ; `overrides` maps dotted
        keys to values ({"gateway.port": 9001}). Raises SettingsError naming key, value, source and what is allowed.
        """
        env = os.environ if env is None else env
        profile = profile or env.get(PROFILE_VARIABLE) or "embedded"
        profiles = sorted(path.stem for path in HERE.glob("*.yaml") if path.stem != "base")
        if profile not in profiles:
            raise SettingsError(f"profile {profile!r} does not exist; allowed: {', '.join(profiles)}")
        user_files = list(files) or [Path(env[name]) for name in [FILE_VARIABLE] if env.get(name)]

        values = Values(cls)
        for path in [HERE / "base.yaml", HERE / f"{profile}.yaml", *user_files]:
            values.update(from_file(path, cls))
        values.update(from_variables(env, cls, reserved={PROFILE_VARIABLE, FILE_VARIABLE}))
        values.update(from_overrides(overrides or {}))
        return validated(cls, values)
