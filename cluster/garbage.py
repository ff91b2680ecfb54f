"""How often a process that holds many long-lived objects looks for garbage."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Set what lives now aside, and look at the rest after 50,000 allocations instead of 700.

    Chargers and sockets live long and hold no cycles: looking at all of them again and again costs a third of the CPU
    and finds nothing (benchmarks/README.md).
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
