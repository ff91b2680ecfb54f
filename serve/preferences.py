"""The Prefer header (RFC 7240): how long a client would wait for an answer in place."""

from __future__ import annotations


def preferred_wait_s(prefer: str) -> int | None:
    """Return the seconds of a Prefer header's `wait`, None without one; what cannot be read is no wish (RFC 7240)."""
    for preference in prefer.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdigit() and len(seconds) <= 9:
            return int(seconds)
    return None
