"""The settings tree and where its values come from; the only module that reads environment variables.

Later sources win: base.yaml, the profile's file, the user's files, `CLOUDBAY_*` variables, flags of the command line.
What each key means stands beside its default in base.yaml. Must not know: who uses a setting, or how.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, field_validator, model_validator

from configs.sources import SettingsError, Values, from_file, from_overrides, from_variables, validated

PROFILE_VARIABLE = "CLOUDBAY_PROFILE"
FILE_VARIABLE = "CLOUDBAY_CONFIG"
HERE = Path(__file__).parent

Port = Annotated[int, Field(ge=1, le=65535)]
PortOrFree = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Host = Annotated[str, Field(min_length=1)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$")]
Origin = Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]
DatabaseUrl = Annotated[str, Field(pattern=r"^postgresql(\+\w+)?://")]
IssuerUrl = Annotated[str, Field(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*[^/?#\s])?$")]
RedisUrl = Annotated[str, Field(pattern=r"^(rediss?|unix)://")]
Text = Annotated[str, Field(min_length=1)]
ClaimPath = Annotated[str | list[str], Field(min_length=1)]
ApiName = Literal["app", "admin"]
StaffRole = Literal["admin", "operator", "production", "firmware", "support", "auditor"]
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""Of signatures that only the issuer can make: neither `none` nor an HS algorithm."""
_SAFE_ADDRESS = re.compile(r"(https://[^\s/@?#]+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?)(/[^\s?#]*)?")


def safe_address(address: str) -> str:
    """Return an address whose answers nobody can change on the way: https, or on this machine. Raises ValueError."""
    if not _SAFE_ADDRESS.fullmatch(address):
        raise ValueError("an address must be https, or http to this machine, without user, query or fragment")
    return address


SafeAddress = Annotated[str, AfterValidator(safe_address)]


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


class Charging(Section):
    """Charges that app users ask for."""

    start_within_s: Seconds


class Sharing(Section):
    """Relations of app users to stations and sites."""

    max_people: Count
    invitation_days: Count
    claim_days: Count


class Api(Section):
    """The HTTP API on Ray Serve."""

    host: Host
    port: Port
    replicas: Count
    token_ttl_s: Count
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


class ClaimMapping(Section):
    """Where in an issuer's access tokens the facts about a caller are."""

    audience: ClaimPath = "aud"
    subject: ClaimPath = "sub"
    client: ClaimPath = "client_id"
    name: ClaimPath = "name"
    email: ClaimPath = "email"
    roles: ClaimPath | None = None
    role_names: dict[Text, StaffRole] = Field(default={})
    scopes: ClaimPath = "scope"
    logged_in_at: ClaimPath = "auth_time"
    session_id: ClaimPath = "sid"
    machine: dict[Text, str] = Field(default={})


class TrustedIssuer(Section):
    """An OAuth2 issuer whose access tokens the API takes."""

    name: Text
    issuer: SafeAddress
    keys_url: SafeAddress | None = None
    audiences: Annotated[dict[ApiName, Annotated[list[Text], Field(min_length=1)]], Field(min_length=1)]
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] = Field(default=["RS256", "ES256"])
    token_types: Annotated[list[str], Field(min_length=1)] = Field(default=["at+jwt"])
    require: dict[Text, str] = Field(default={})
    leeway_s: Annotated[int, Field(ge=0, le=300)] = 30
    claims: ClaimMapping = ClaimMapping()

    @model_validator(mode="after")
    def _access_tokens_only(self) -> Self:
        if set(self.token_types) != {"at+jwt"} and not self.require:
            raise ValueError("token_types other than at+jwt need `require`, or an ID token would be an access token")
        return self


class Identity(Section):
    """Whose access tokens the API takes."""

    issuers: list[TrustedIssuer]
    keys_max_age_s: Seconds
    keys_pause_s: Seconds
    keys_timeout_s: Seconds

    @model_validator(mode="after")
    def _issuers_differ(self) -> Self:
        for key in ("name", "issuer"):
            values = [getattr(issuer, key) for issuer in self.issuers]
            if len(set(values)) < len(values):
                raise ValueError(f"two issuers have the same {key}")
        return self


class Issuer(Section):
    """The embedded issuer: where people of this platform log in."""

    enabled: bool
    url: IssuerUrl | None
    audiences: Annotated[list[Annotated[str, Field(pattern=r"^\S+$")]], Field(min_length=1)]
    web_redirect_uris: list[str]
    web_logout_uris: list[str]
    code_ttl_s: Count
    access_token_ttl_s: Count
    refresh_token_ttl_s: Count
    session_idle_s: Count
    session_max_s: Count
    ended_poll_s: Seconds
    keep_ended_days: Count


class Passwords(Section):
    """Passwords of people."""

    min_chars: Annotated[int, Field(ge=8)]
    one_time_ttl_s: Count
    memory_kib: Annotated[int, Field(ge=64)]
    iterations: Count
    lanes: Count
    max_at_once: Count


class Brakes(Section):
    """Brakes on guessing passwords."""

    account_burst: Count
    account_per_hour: Rate
    address_burst: Count
    address_per_hour: Rate
    total_burst: Count
    total_per_hour: Rate
    first_delay_s: Seconds
    max_delay_s: Seconds
    max_total_delay_s: Seconds


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
    max_listeners: Count
    max_queued: Count
    heartbeat_s: Seconds
    send_timeout_s: Seconds
    retry_s: Seconds


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


class Demo(Section):
    """The simulated fleet of `cloudbay demo`."""

    stations: Count
    speed: Annotated[float, Field(gt=0)]


class Settings(Section):
    """All settings of one platform, frozen."""

    data_dir: Annotated[Path, Strict(False)]
    database: Database
    redis: Redis
    vault: Vault
    ray: Ray
    gateway: Gateway
    hosts: Hosts
    ocpp: Ocpp
    stations: Stations
    tokens: Tokens
    commands: Commands
    charging: Charging
    sharing: Sharing
    api: Api
    identity: Identity
    issuer: Issuer
    passwords: Passwords
    brakes: Brakes
    log: Log
    frames_log: FramesLog
    live: Live
    outbox: Outbox
    webhooks: Webhooks
    kinesis: Kinesis
    audit: Audit
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
