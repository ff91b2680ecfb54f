"""When a delivery is tried again, when it is given up, and when its endpoint is left alone. Pure.

Delays double from FIRST_DELAY_S to MAX_DELAY_S, each shortened by up to half by chance, so that what failed together
does not come back together. Must not know: clocks, HTTP libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from cluster.webhooks.model import Answer, Health, PauseReason, Verdict

FIRST_DELAY_S: Final = 5.0
MAX_DELAY_S: Final = 3600.0
MAX_REST_S: Final = 300.0
"""An endpoint that is back is found within this time, whatever it has missed."""
GONE: Final = 410
OVERLOADED: Final = frozenset({429, 502, 503, 504})


class Schedule:
    """The rules of retries; `chance` returns numbers from 0 to 1."""

    def __init__(self, pause_after: timedelta, chance: Callable[[], float]) -> None:
        self._pause_after = pause_after
        self._chance = chance

    def verdict(self, answer: Answer, attempts: int, now: datetime, expires_at: datetime) -> Verdict:
        """Say what becomes of a delivery after its attempt number `attempts` (from 1) has brought `answer`."""
        if answer.delivered:
            return Verdict("delivered")
        if answer.status == GONE or now >= expires_at:
            return Verdict("dead")
        delay_s = max(self._delay_s(attempts, MAX_DELAY_S), min(answer.retry_after_s or 0.0, MAX_DELAY_S))
        return Verdict("waiting", min(now + timedelta(seconds=delay_s), expires_at))

    def health(self, before: Health, answers: Sequence[Answer], died: bool, now: datetime) -> Health:
        """Say how an endpoint is after some attempts; `died`: a delivery has just been given up.

        One that answers nothing well rests for some minutes at most, one that is overloaded as long as it asks for.
        One that says it is gone, or that fails for long and lets another delivery die, is paused.
        """
        if not answers:
            return before
        asked_for = [answer.retry_after_s or 0.0 for answer in answers if answer.status in OVERLOADED]
        wanted_s = min(max(asked_for, default=0.0), MAX_DELAY_S)
        if any(answer.delivered for answer in answers):
            return Health(rest_until=now + timedelta(seconds=wanted_s) if wanted_s else None)
        failures = before.failures + 1
        failing_since = before.failing_since or now
        rest_s = max(self._delay_s(failures, MAX_REST_S), wanted_s)
        pause: PauseReason | None = None
        if any(answer.status == GONE for answer in answers):
            pause = "gone"
        elif died and now - failing_since >= self._pause_after:
            pause = "failing"
        return Health(failures, failing_since, now + timedelta(seconds=rest_s), pause)

    def _delay_s(self, failures: int, longest_s: float) -> float:
        doubled = FIRST_DELAY_S * 2.0 ** min(failures - 1, 30)
        return min(doubled, longest_s) * (1.0 - self._chance() / 2.0)
