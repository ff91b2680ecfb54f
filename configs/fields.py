"""What values of settings may be, and the base of every section.

Must not know: which sections and keys there are.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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
