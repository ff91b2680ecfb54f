"""The settings tree and where its values come from; the only module that reads environment variables.

Later sources win: base.yaml, the profile's file, the user's files, `CLOUDBAY_*` variables, flags of the command line.
What each key means stands beside its default in base.yaml. Must not know: who uses a setting, or how.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Strict, model_validator

from configs.api import Api, Audit, Charging, Kinesis, Live, Outbox, Sharing, Webhooks
from configs.fields import Section
from configs.identity import Brakes, Identity, Issuer, Passwords
from configs.plane import (
    Commands,
    Database,
    Demo,
    FramesLog,
    Gateway,
    Hosts,
    Log,
    Ocpp,
    Ray,
    Redis,
    Stations,
    Tokens,
    Vault,
)
from configs.sources import SettingsError, Values, from_file, from_overrides, from_variables, validated

PROFILE_VARIABLE = "CLOUDBAY_PROFILE"
FILE_VARIABLE = "CLOUDBAY_CONFIG"
HERE = Path(__file__).parent


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
