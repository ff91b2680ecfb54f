"""An issuer that is there, settings that trust it, and clocks that a test can move."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from cluster.identity.issuers import DiscoveredKeys
from cluster.identity.verifier import TokenVerifier, Trusted
from configs.identity import Identity, TrustedIssuer
from tests.cluster.identity.tiny_issuer import NOON, TinyIssuer

MAX_AGE_S, PAUSE_S = 600.0, 10.0


class Stopwatch:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def trusting(url: str, **changes: Any) -> TrustedIssuer:
    """Return the settings of an issuer."""
    audiences = {"app": ["cloudbay-app"], "admin": ["cloudbay-admin"]}
    return TrustedIssuer.model_validate({"name": "tiny", "issuer": url, "audiences": audiences, **changes})


@pytest.fixture
async def issuer() -> AsyncIterator[TinyIssuer]:
    """Start an issuer."""
    tiny = TinyIssuer()
    await tiny.start()
    yield tiny
    await tiny.stop()


@pytest.fixture
def stopwatch() -> Stopwatch:
    """Return the clock that ages are measured with."""
    return Stopwatch()


@pytest.fixture
def identity() -> Identity:
    """Return how keys are kept."""
    return Identity(issuers=[], keys_max_age_s=MAX_AGE_S, keys_pause_s=PAUSE_S, keys_timeout_s=20.0)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that goes straight to loopback."""
    no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # to read them all takes longer than a test
    async with httpx.AsyncClient(trust_env=False, verify=no_certificates, timeout=None) as client:
        yield client


@pytest.fixture
async def keys(
    issuer: TinyIssuer, identity: Identity, http: httpx.AsyncClient, stopwatch: Stopwatch
) -> AsyncIterator[DiscoveredKeys]:
    """Return the issuer's keys; nothing is asked yet."""
    discovered = DiscoveredKeys(trusting(issuer.url), identity, http, stopwatch)
    yield discovered
    await discovered.close()


Verifying = Callable[..., TokenVerifier]


@pytest.fixture
def verifier(issuer: TinyIssuer, keys: DiscoveredKeys) -> Verifying:
    """Return a maker of verifiers that trust the issuer, with settings changed as given."""
    return lambda **changes: TokenVerifier([Trusted(trusting(issuer.url, **changes), keys)], lambda: NOON)
