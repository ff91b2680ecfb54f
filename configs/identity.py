"""The sections about who calls: issuers, passwords, and brakes on guessing.

What each key means stands in base.yaml. Must not know: who uses a setting, or how.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.fields import (
    Algorithm,
    ApiName,
    ClaimPath,
    Count,
    IssuerUrl,
    Rate,
    SafeAddress,
    Seconds,
    Section,
    StaffRole,
    Text,
)


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
