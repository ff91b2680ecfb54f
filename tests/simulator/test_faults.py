"""Faults strike as asked, when asked, and the same way for the same seed."""

import pytest

from simulator.faults import Faults, parse_rule

pytestmark = pytest.mark.pure
CALL, ANSWER = b'[2,"1","Heartbeat",{}]', b'[3,"1",{}]'


def faults(*rules: str, seed: int = 1) -> Faults:
    return Faults(tuple(parse_rule(rule) for rule in rules), seed)


@pytest.mark.parametrize(
    ("rule", "call", "answer"),
    [
        ("drop=1", [], []),
        ("duplicate=1", [(0.0, CALL)] * 2, [(0.0, ANSWER)] * 2),
        ("delay=1:7", [(7.0, CALL)], [(7.0, ANSWER)]),
        ("no_answer=1", [(0.0, CALL)], []),
        ("slow_answer=1:9", [(0.0, CALL)], [(9.0, ANSWER)]),
        ("half_open=1", [(0.0, CALL)], [(0.0, ANSWER)]),
    ],
)
def test_each_fault_does_what_it_says(
    rule: str, call: list[tuple[float, bytes]], answer: list[tuple[float, bytes]]
) -> None:
    some = faults(rule)
    assert [(d.delay_s, d.data) for d in some.deliver(CALL, 0.0)] == call
    assert [(d.delay_s, d.data) for d in some.deliver(ANSWER, 0.0)] == answer


def test_garbage_goes_before_the_frame() -> None:
    first, second = faults("garbage=1").deliver(CALL, 0.0)
    assert first.data != CALL
    assert second.data == CALL


def test_a_schedule_limits_a_fault_to_its_time() -> None:
    some = faults("drop=1@600-900")
    assert [len(some.deliver(CALL, at)) for at in (599.9, 600, 899.9, 900)] == [1, 0, 0, 1]
    assert [faults("half_open=1:30@10-20").half_open_s(at) for at in (9, 10, 20)] == [0.0, 30.0, 0.0]


def test_the_same_seed_makes_the_same_faults() -> None:
    def run(seed: int) -> list[int]:
        some = faults("drop=0.3", "duplicate=0.3", seed=seed)
        return [len(some.deliver(CALL, 0.0)) for _ in range(50)]

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert {0, 1, 2} <= set(run(1))
