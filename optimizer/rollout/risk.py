"""What executed installs say about those to come: an upper bound of the failure probability, and how many it allows.

A stage is as large as what is known allows. Nothing failed among 30, 300 and 3,000: at most 9.5 %, 1 % and 0.1 % fail,
so a budget of 30 expected failures opens ten times as many stations each time, and no percentage has to be guessed.
"""

from __future__ import annotations

from math import exp, floor, lgamma, log, log1p

from optimizer.errors import InvalidProblem

_STEPS = 60


def failure_bound(failures: int, executed: int, confidence: float = 0.95) -> float:
    """Return the probability of failure that is not exceeded with such confidence.

    Clopper and Pearson's bound (1934): the largest p at which so few failures are still as likely as 1 - confidence,
    the quantile BetaInv(confidence; failures + 1, executed - failures). Of those that were tried, not of all:
    stations that are away prove nothing.
    """
    if not 0 <= failures <= executed or not 0 < confidence < 1:
        raise InvalidProblem("of the executed some may fail, and confidence lies between 0 and 1")
    if failures == executed:
        return 1.0
    low, high = failures / executed, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _at_most(failures, executed, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(failures: int, executed: int, p: float) -> float:
    """Return the probability of at most so many failures, each with probability p."""
    if p in (0.0, 1.0):
        return 1.0 - p
    return sum(
        exp(lgamma(executed + 1) - lgamma(k + 1) - lgamma(executed - k + 1) + k * log(p) + (executed - k) * log1p(-p))
        for k in range(failures + 1)
    )


def exposure_allowed(budget: float, bound: float) -> int:
    """Return how many installs there may be in all, so that no more failures than the budget are to be expected."""
    return floor(budget / bound) if bound > 0 else 2**62
