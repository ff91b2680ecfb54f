"""Faults on demand: what a bad network or a bad station does to frames.

A rule is written NAME=PROBABILITY[:SECONDS][@FROM-TO], times in the station's own seconds since it started, e.g.
`drop=0.01`, `delay=0.1:5`, `no_answer=1@600-900`, `half_open=0.001:120`. Every station draws from its own seeded random
numbers, so a run can be repeated.

Must not know: sockets, what a frame means beyond its message type.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """What can go wrong with an outgoing frame; the last three are about answers and reading."""

    DROP = "drop"
    DUPLICATE = "duplicate"
    DELAY = "delay"
    GARBAGE = "garbage"
    SLOW_ANSWER = "slow_answer"
    NO_ANSWER = "no_answer"
    HALF_OPEN = "half_open"


DESCRIPTIONS: Final = {
    FaultKind.DROP: "an outgoing frame is lost",
    FaultKind.DUPLICATE: "an outgoing frame is sent twice",
    FaultKind.DELAY: "an outgoing frame leaves SECONDS later (default 5)",
    FaultKind.GARBAGE: "bytes that are no OCPP go before an outgoing frame",
    FaultKind.SLOW_ANSWER: "an answer to the CSMS leaves SECONDS later (default 5)",
    FaultKind.NO_ANSWER: "an order of the CSMS is not answered",
    FaultKind.HALF_OPEN: "the station neither reads nor pongs for SECONDS (default 60)",
}
_DEFAULT_SECONDS: Final = {FaultKind.DELAY: 5.0, FaultKind.SLOW_ANSWER: 5.0, FaultKind.HALF_OPEN: 60.0}
_GARBAGE: Final = (
    b"",
    b"[",
    b"{}",
    b"[2]",
    b'[2,"x"]',
    b"null",
    b"[9,1,2,3]",
    b'[2,"",3,[]]',
    b"\x00\xff\xfe",
    b"[" * 200,
)


@dataclass(frozen=True)
class FaultRule:
    """One kind of fault, how likely per frame, and when."""

    kind: FaultKind
    probability: float
    seconds: float = 0.0
    from_s: float = 0.0
    to_s: float = float("inf")


def parse_rule(text: str) -> FaultRule:
    """Read NAME=PROBABILITY[:SECONDS][@FROM-TO]; raises ValueError saying what is wrong."""
    name, equals, rest = text.partition("=")
    if not equals or name not in list(FaultKind):
        raise ValueError(f"a fault is NAME=PROBABILITY[:SECONDS][@FROM-TO] with NAME one of {', '.join(FaultKind)}")
    kind = FaultKind(name)
    rest, _, window = rest.partition("@")
    probability, _, seconds = rest.partition(":")
    begin, _, end = window.partition("-")
    try:
        rule = FaultRule(
            kind,
            float(probability),
            float(seconds) if seconds else _DEFAULT_SECONDS.get(kind, 0.0),
            float(begin) if begin else 0.0,
            float(end) if end else float("inf"),
        )
    except ValueError:
        raise ValueError(f"{text!r}: probability, seconds and times must be numbers") from None
    if not 0.0 <= rule.probability <= 1.0:
        raise ValueError(f"{text!r}: the probability must be between 0 and 1")
    return rule


@dataclass(frozen=True)
class Delivery:
    """A frame and how long it is held back, in the station's own seconds."""

    delay_s: float
    data: bytes


class Faults:
    """The faults of one station."""

    def __init__(self, rules: tuple[FaultRule, ...], seed: int | str) -> None:
        self._rules = rules
        self._random = random.Random(seed)
        self.struck = 0

    def deliver(self, frame: bytes, elapsed_s: float) -> list[Delivery]:
        """Return what really leaves for one frame, in order."""
        if not self._rules:
            return [Delivery(0.0, frame)]
        answer = frame[1:2] in (b"3", b"4")
        if self._strikes(FaultKind.DROP, elapsed_s) or (answer and self._strikes(FaultKind.NO_ANSWER, elapsed_s)):
            return []
        delay = self._strikes(FaultKind.DELAY, elapsed_s) or (
            self._strikes(FaultKind.SLOW_ANSWER, elapsed_s) if answer else None
        )
        delivery = Delivery(delay.seconds if delay else 0.0, frame)
        deliveries = [delivery]
        if self._strikes(FaultKind.DUPLICATE, elapsed_s):
            deliveries.append(delivery)
        if self._strikes(FaultKind.GARBAGE, elapsed_s):
            deliveries.insert(0, Delivery(0.0, self._random.choice(_GARBAGE)))
        return deliveries

    def half_open_s(self, elapsed_s: float) -> float:
        """Return for how long to stop reading from now on; asked once per outgoing frame, usually 0."""
        rule = self._strikes(FaultKind.HALF_OPEN, elapsed_s)
        return rule.seconds if rule else 0.0

    def _strikes(self, kind: FaultKind, elapsed_s: float) -> FaultRule | None:
        for rule in self._rules:
            if rule.kind is kind and rule.from_s <= elapsed_s < rule.to_s and self._random.random() < rule.probability:
                self.struck += 1
                return rule
        return None
