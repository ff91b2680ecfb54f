"""How a process that holds many long-lived objects looks for garbage."""

from __future__ import annotations

import gc

_NEVER = 2**31 - 1


def collect_only_the_young() -> None:
    """Look for cycles among the last 50,000 objects only; what lives longer is never looked at again.

    Chargers and sockets live long and leave no cycles (tests/cluster/test_garbage.py). With 50,000 of them in a
    process, one look at what they hold stops it for seconds and finds nothing (benchmarks/README.md).
    """
    gc.freeze()
    gc.set_threshold(50_000, _NEVER, _NEVER)


def collect_seldom() -> None:
    """Take what is there now as staying, and look for cycles each 10,000 objects: requests leave none that go on.

    See tests/serve/test_route.py.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
