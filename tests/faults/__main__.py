"""`python -m tests.faults`: random faults on a platform under load, for minutes or hours, with a seed to repeat it.

Prints one line a fault; ends with 1 and the seed as soon as the platform owes its stations anything.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.processes import Platform, platform
from benchmarks.witnesses import Witnesses
from tests.faults.faults import FAULTS, Scene, inflict
from tests.faults.stations import KEYS


async def run(running: Platform, seed: int, minutes: float, stations: int, sample_s: float) -> Counter[str]:
    """Let random faults happen for so many minutes; raises AssertionError or TimeoutError when one costs too much."""
    dice, ends_at, done = random.Random(seed), time.monotonic() + minutes * 60, Counter[str]()
    round_number = 0
    while time.monotonic() < ends_at:
        round_number += 1
        witnesses = Witnesses(running, stations, sample_s, f"W{seed}-{round_number}")
        await witnesses.begin()
        for _ in range(dice.randrange(3, 8)):
            name = dice.choice(sorted(FAULTS))
            began = time.monotonic()
            print(f"{time.strftime('%H:%M:%S')}  {name:<20}", end="", flush=True)
            await inflict(name, Scene(running, witnesses, dice, long=dice.random() < 0.2))
            done[name] += 1
            print(f" {time.monotonic() - began:6.1f} s", flush=True)
            await asyncio.sleep(dice.uniform(0, 3))
        audit = await witnesses.end()
        assert audit.clean, audit
        print(f"          round {round_number}: {audit.acknowledged} acknowledged events, each stored once", flush=True)
    return done


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="repeats the same faults")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--stations", type=int, default=300)
    parser.add_argument("--sample-s", type=float, default=0.5, help="seconds between two events of a station")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes, {arguments.stations} stations", flush=True)
    with tempfile.TemporaryDirectory(prefix="cloudbay-faults-") as folder, platform(Path(folder), **KEYS) as running:
        try:
            done = asyncio.run(run(running, arguments.seed, arguments.minutes, arguments.stations, arguments.sample_s))
        except (AssertionError, TimeoutError) as error:
            print(f"\nFAILED with seed {arguments.seed}: {error!r}", flush=True)
            return 1
    print(f"clean: {sum(done.values())} faults: " + ", ".join(f"{n} x {name}" for name, n in sorted(done.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
