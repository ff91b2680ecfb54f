"""What a stream is owed and what it has heard twice, told by the energy that a lean station's events show."""

from datetime import UTC, datetime, timedelta

from actors.domain.meter import EnergyMeter, Reading
from benchmarks.live import Listener, doubled, owed

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def shown(last: int) -> list[float]:
    """Return what the platform shows of a lean station's events up to `last`: number n has the register at 3 n Wh."""
    meter, energies = EnergyMeter(), [0.0]
    for number in range(1, last + 1):
        meter.add(Reading(START + timedelta(seconds=number), 3.0 * number, None, None))
        energies.append(meter.energy_wh)
    return energies


def heard(energies: list[float]) -> list[int]:
    listener = Listener("CP-1", "http://127.0.0.1:80", "Bearer token")
    for energy in energies:
        listener.data_received(b'event: TransactionUpdated\ndata: {"data":{"energyWh":%.1f}}\n\n' % energy)
    return listener.heard


def test_who_listens_from_the_first_event_on_is_told_none_twice() -> None:
    due, numbers = owed(before=-1, after=4), heard(shown(4))
    assert set(due) <= set(numbers)
    assert doubled(numbers, due) == 0


def test_an_event_that_is_not_told_and_one_that_is_told_again_are_noticed() -> None:
    due, energies = owed(before=1, after=5), shown(5)
    numbers = heard([*energies[:4], energies[3], energies[5]])
    assert set(due) - set(numbers) == {4}
    assert doubled(numbers, due) == 1


def test_what_may_have_been_stored_before_the_stream_was_open_is_not_owed() -> None:
    """The answer to one event may be under way while the next is not sent yet."""
    assert list(owed(before=7, after=10)) == [9, 10]
