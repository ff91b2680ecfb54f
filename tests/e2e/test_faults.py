"""Every fault once, under load, on a whole platform: what was acknowledged is stored once, whatever happened."""

from __future__ import annotations

import random

import pytest

from benchmarks.witnesses import Witnesses
from tests.e2e.running import Running
from tests.faults.faults import FAULTS, Scene, inflict

LONG = ("freeze the database", "freeze Valkey", "garbage")
"""Faults that are also seen at full length: outages of 20 s, 5,000 frames of garbage."""
CASES = [
    *(pytest.param(name, False, id=name) for name in FAULTS),
    *(pytest.param(name, True, id=f"{name} for long") for name in LONG),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "long"), CASES)
async def test_nothing_acknowledged_is_lost_or_doubled(running: Running, name: str, long: bool) -> None:
    witnesses = Witnesses(running.platform, 100, 0.5, name.replace(" ", "-") + "-long" * long)
    await witnesses.begin()
    await inflict(name, Scene(running.platform, witnesses, random.Random(7), long=long))
    audit = await witnesses.end()
    assert audit.clean, audit
