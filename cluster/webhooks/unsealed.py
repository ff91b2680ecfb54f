"""SecretBox without a key: secrets are stored as they are."""

from __future__ import annotations


class UnsealedBox:
    """Stands where a vault will be; whoever reads the database reads the secrets."""

    def seal(self, value: bytes, context: str) -> bytes:  # noqa: ARG002
        """Return the value."""
        return value

    def open(self, sealed: bytes, context: str) -> bytes:  # noqa: ARG002
        """Return what was stored."""
        return sealed
