"""A plan becomes a profile that every version can carry, that keeps OCPP's rules, and that never allows too much."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.domain.charging_profile import Course, Name, Outlet, standing_profile, tx_profile
from actors.domain.charging_rules import RULES, Sent, SmartCharging, broken_rules
from actors.errors import BadRequest
from actors.ocpp import schemas
from actors.ocpp.frames import Json, OcppVersion
from actors.ocpp.v16_commands import to_call
from optimizer.plan import Segment
from optimizer.prices import Step as PriceStep

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
NAME = Name(profile_id=7)
PLAIN = SmartCharging(version=OcppVersion.V201)
EVSE = Outlet(evse_id=1)


def quarters(*powers: float, start: datetime = NOON) -> tuple[Segment, ...]:
    return tuple(
        Segment(start + QUARTER * number, start + QUARTER * (number + 1), power) for number, power in enumerate(powers)
    )


def course(*powers: float, **more: Any) -> Course:
    return Course(start=NOON, segments=quarters(*powers), **more)


def schedule_of(profile: Json) -> dict[str, Any]:
    schedules: Any = profile["chargingSchedule"]
    found: dict[str, Any] = schedules[0]
    return found


def periods(profile: Json) -> list[tuple[int, float]]:
    return [(each["startPeriod"], each["limit"]) for each in schedule_of(profile)["chargingSchedulePeriod"]]


def test_a_plan_is_said_in_amperes_of_each_phase_and_ends_with_nothing() -> None:
    """K01.FR.31, .35, .51: the first period is at 0, in order, and limits are of each phase."""
    profile = tx_profile(course(11.04, 11.04, 0.0, 4.14), EVSE, PLAIN, NAME, "tx 1")
    assert periods(profile) == [(0, 16.0), (1800, 0.0), (2700, 6.0), (3600, 0.0)]
    assert schedule_of(profile)["startSchedule"] == "2026-01-15T12:00:00.000Z"
    assert schedule_of(profile)["chargingSchedulePeriod"][0]["numberPhases"] == 3
    assert (profile["chargingProfilePurpose"], profile["chargingProfileKind"]) == ("TxProfile", "Absolute")
    assert profile["transactionId"] == "tx 1"


def test_there_is_a_limit_from_the_first_moment_also_when_charging_begins_later() -> None:
    """K01.FR.30: a schedule that began in the future would leave the time before it without a limit."""
    later = Course(start=NOON + timedelta(seconds=3.7), segments=quarters(11.04, start=NOON + QUARTER))
    profile = tx_profile(later, EVSE, PLAIN, NAME, "tx 1")
    assert schedule_of(profile)["startSchedule"] == "2026-01-15T12:00:03.000Z"
    assert periods(profile) == [(0, 0.0), (897, 16.0), (1797, 0.0)]


def test_the_phases_are_always_said_and_a_watt_counts_all_of_them() -> None:
    """K01.FR.49 to .51."""
    one = tx_profile(course(3.68), Outlet(evse_id=1, phases=1), PLAIN, NAME, "tx 1")
    assert periods(one)[0] == (0, 16.0)
    assert schedule_of(one)["chargingSchedulePeriod"][0]["numberPhases"] == 1
    watts = SmartCharging(version=OcppVersion.V201, units=("W",))
    assert periods(tx_profile(course(11.0), EVSE, watts, NAME, "tx 1"))[0] == (0, 11000.0)


def test_dc_is_said_in_watts_and_without_phases() -> None:
    """K01.FR.44."""
    both = SmartCharging(version=OcppVersion.V21, units=("A", "W"))
    profile = tx_profile(course(150.0), Outlet(evse_id=2, phases=None), both, NAME, "tx 1")
    assert schedule_of(profile)["chargingRateUnit"] == "W"
    assert "numberPhases" not in schedule_of(profile)["chargingSchedulePeriod"][0]
    with pytest.raises(BadRequest, match=r"K01\.FR\.26"):
        tx_profile(course(150.0), Outlet(evse_id=2, phases=None), PLAIN, NAME, "tx 1")


def test_a_profile_that_ends_says_when_and_what_holds_until_then() -> None:
    """K01.FR.12, .13: then the default profile holds again."""
    profile = tx_profile(course(11.04, after_kw=4.14, until=NOON + 4 * QUARTER), EVSE, PLAIN, NAME, "tx 1")
    assert periods(profile) == [(0, 16.0), (900, 6.0)]
    assert schedule_of(profile)["duration"] == 3600
    with pytest.raises(BadRequest, match="cannot end"):
        tx_profile(course(11.04, until=NOON - QUARTER), EVSE, PLAIN, NAME, "tx 1")


def test_a_start_takes_its_profile_along_without_a_transaction() -> None:
    """K05.FR.02; 1.6, 5.16.2."""
    assert "transactionId" not in tx_profile(course(11.0), EVSE, PLAIN, NAME, None)


def test_a_standing_limit_holds_for_ever_and_is_never_nothing() -> None:
    share = standing_profile("TxDefaultProfile", 4.14, NOON, EVSE, PLAIN, NAME)
    assert periods(share) == [(0, 6.0)]
    whole = standing_profile("ChargingStationMaxProfile", 22.0, NOON, Outlet(evse_id=0), PLAIN, NAME)
    assert periods(whole) == [(0, 31.8)]
    with pytest.raises(BadRequest, match="limited to 0"):
        standing_profile("TxDefaultProfile", 4.0, NOON, EVSE, PLAIN, NAME)
    with pytest.raises(BadRequest, match="is for EVSE 0"):
        standing_profile("ChargingStationMaxProfile", 22.0, NOON, EVSE, PLAIN, NAME)


def test_a_station_of_few_periods_gets_the_best_that_these_can_say() -> None:
    """PeriodsPerSchedule: where the site has room and energy is cheap, more is allowed than planned."""
    few = SmartCharging(version=OcppVersion.V16, max_periods=3)
    prices = tuple(PriceStep(NOON + QUARTER * n, NOON + QUARTER * (n + 1), (0.3, 0.1, 0.1, 0.1)[n]) for n in range(4))
    plan = (11.04, 6.9, 11.04, 0.0)
    roomy = course(*plan, ceilings=quarters(*[11.04] * 4), prices=prices)
    assert periods(tx_profile(roomy, EVSE, few, NAME, "1")) == [(0, 16.0), (2700, 0.0)]
    tight = periods(tx_profile(course(*plan), EVSE, few, NAME, "1"))
    assert tight == [(0, 16.0), (900, 10.0), (2700, 0.0)]


GOOD: dict[str, Any] = {
    "id": 7,
    "stackLevel": 0,
    "chargingProfilePurpose": "TxProfile",
    "chargingProfileKind": "Absolute",
    "transactionId": "1",
    "chargingSchedule": [
        {
            "id": 7,
            "startSchedule": "2026-01-15T12:00:00.000Z",
            "chargingRateUnit": "A",
            "duration": 3600,
            "chargingSchedulePeriod": [
                {"startPeriod": 0, "limit": 16.0, "numberPhases": 1},
                {"startPeriod": 900, "limit": 0.0, "numberPhases": 1},
            ],
        }
    ],
}


def changed(schedule: Json | None = None, second: Json | None = None, first: Json | None = None, **fields: Any) -> Json:
    """Return GOOD with other fields in the profile, its schedule or its periods; None takes one away."""
    old = schedule_of(GOOD)
    own = [old["chargingSchedulePeriod"][0] | (first or {}), old["chargingSchedulePeriod"][1] | (second or {})]
    schedules = [_without_none(old | {"chargingSchedulePeriod": own} | (schedule or {}))]
    return _without_none(GOOD | {"chargingSchedule": schedules} | fields)


def _without_none(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def other(purpose: str, schedule: Json | None = None, **fields: Any) -> Json:
    """Return a good profile of another purpose: without a transaction, and nowhere 0."""
    return changed(schedule, second={"limit": 6.0}, chargingProfilePurpose=purpose, transactionId=None, **fields)


V21 = OcppVersion.V21

BREAKING: dict[str, tuple[Sent, SmartCharging]] = {
    "K01.FR.03": (Sent(profile=changed(transactionId=None), evse_id=1), PLAIN),
    "K05.FR.02: what": (Sent(profile=other("TxDefaultProfile"), evse_id=1, with_start=True), PLAIN),
    "K01.FR.16": (Sent(profile=GOOD, evse_id=0), PLAIN),
    "K, purposes": (Sent(profile=other("ChargingStationMaxProfile"), evse_id=1), PLAIN),
    "K01.FR.19": (
        Sent(profile=changed(second={"phaseToUse": 2, "numberPhases": 3}), evse_id=1),
        SmartCharging(version=V21, phase_switching=True),
    ),
    "K01.FR.20": (Sent(profile=changed(second={"phaseToUse": 2}), evse_id=1), PLAIN),
    "K01.FR.22": (Sent(profile=other("ChargingStationExternalConstraints"), evse_id=1), PLAIN),
    "K01.FR.26": (Sent(profile=changed({"chargingRateUnit": "W"}), evse_id=1), PLAIN),
    "K01.FR.31": (Sent(profile=changed(first={"startPeriod": 10}), evse_id=1), PLAIN),
    "K01.FR.34": (Sent(profile=changed(chargingSchedule=[schedule_of(GOOD)] * 2), evse_id=1), PLAIN),
    "K01.FR.35": (Sent(profile=changed(second={"startPeriod": 0}), evse_id=1), PLAIN),
    "K01.FR.11": (Sent(profile=changed(second={"startPeriod": 3600}), evse_id=1), PLAIN),
    "K01.FR.38": (
        Sent(
            profile=other("ChargingStationMaxProfile", {"startSchedule": None}, chargingProfileKind="Relative"),
            evse_id=0,
        ),
        PLAIN,
    ),
    "K01.FR.40": (Sent(profile=changed({"startSchedule": None}), evse_id=1), PLAIN),
    "K01.FR.80": (Sent(profile=GOOD, evse_id=1), SmartCharging(version=V21, max_external_id=7)),
    "PeriodsPerSchedule": (Sent(profile=GOOD, evse_id=1), SmartCharging(version=OcppVersion.V16, max_periods=1)),
    "ProfileStackLevel": (Sent(profile=changed(stackLevel=1), evse_id=1), PLAIN),
    "2.1.2": (Sent(profile=changed(first={"limit": 6.25}), evse_id=1), PLAIN),
    "ours": (Sent(profile=changed(chargingProfilePurpose="TxDefaultProfile", transactionId=None), evse_id=1), PLAIN),
}


def test_the_profile_that_is_broken_in_these_tests_is_good() -> None:
    assert broken_rules(Sent(profile=GOOD, evse_id=1), PLAIN) == []


@pytest.mark.parametrize("rule", BREAKING)
def test_each_rule_is_seen_broken_alone(rule: str) -> None:
    found = broken_rules(*BREAKING[rule])
    assert len(found) == 1, found
    assert found[0].startswith(rule)


def test_every_rule_is_broken_once() -> None:
    assert all(sum(rule.startswith(named) for named in BREAKING) == 1 for rule in RULES)


stations = st.builds(
    SmartCharging,
    version=st.sampled_from(OcppVersion),
    units=st.sampled_from([("A",), ("W",), ("A", "W")]),
    max_periods=st.integers(2, 12),
    whole_units=st.booleans(),
)
outlets = st.builds(
    Outlet,
    evse_id=st.integers(1, 4),
    phases=st.sampled_from([1, 2, 3]),
    volts=st.sampled_from([120.0, 230.0, 240.0]),
)

PlannedCar = tuple[Course, Outlet, SmartCharging]


@st.composite
def sites(draw: st.DrawFn) -> tuple[list[float], list[PlannedCar]]:
    """Return the limit of a site in each second, and cars that keep it with all that is spare."""
    spans = draw(st.lists(st.floats(0.5, 90).map(lambda each: round(each, 2)), min_size=1, max_size=6))
    limits = draw(st.lists(st.floats(0, 60), min_size=len(spans), max_size=len(spans)))
    cars = draw(st.lists(st.tuples(outlets, stations), min_size=1, max_size=4))
    edges = [NOON + timedelta(seconds=sum(spans[:place])) for place in range(len(spans) + 1)]
    planned: list[list[Segment]] = [[] for _ in cars]
    spare: list[list[Segment]] = [[] for _ in cars]
    for begin, end, limit in zip(edges[:-1], edges[1:], limits, strict=True):
        shares = draw(st.lists(st.integers(0, 10), min_size=2 * len(cars), max_size=2 * len(cars)))
        part = limit / max(1, sum(shares))
        for number in range(len(cars)):
            own, more = shares[number], shares[number + len(cars)]
            planned[number].append(Segment(begin, end, part * own))
            spare[number].append(Segment(begin, end, part * (own + more)))
    room = draw(st.booleans())
    courses = [
        Course(start=NOON, segments=tuple(own), ceilings=tuple(more) if room else ())
        for own, more in zip(planned, spare, strict=True)
    ]
    seconds = [NOON + timedelta(seconds=second) for second in range(int(sum(spans)))]
    by_second = [
        min(
            limit
            for begin, end, limit in zip(edges[:-1], edges[1:], limits, strict=True)
            if begin < second + timedelta(seconds=1) and end > second
        )
        for second in seconds
    ]
    return by_second, [(course, *car) for course, car in zip(courses, cars, strict=True)]


@given(sites())
def test_all_cars_of_a_site_together_are_within_its_limit_in_every_second(
    site: tuple[list[float], list[PlannedCar]],
) -> None:
    """K01.FR.12, .50, .51, as a station of each version reads the message it is sent."""
    limit_kw, cars = site
    allowed = [0.0] * len(limit_kw)
    for planned, outlet, station in cars:
        profile = tx_profile(planned, outlet, station, NAME, "42")
        assert broken_rules(Sent(profile=profile, evse_id=outlet.evse_id), station) == []
        least_kw = 6 * (outlet.phases or 0) * outlet.volts / 1000
        for second, power in enumerate(_as_read(_sent(profile, outlet, station.version), outlet, len(limit_kw))):
            allowed[second] += power
            assert power == 0 or power >= least_kw - 1e-6
    assert all(power <= limit + 1e-6 for power, limit in zip(allowed, limit_kw, strict=True))


def _sent(profile: Json, outlet: Outlet, version: OcppVersion) -> Json:
    """Return the schedule as it is on the wire, valid by the version's own schema."""
    payload: Json = {"evseId": outlet.evse_id, "chargingProfile": profile}
    message: Any = to_call("SetChargingProfile", payload)[1] if version is OcppVersion.V16 else payload
    schemas.check(version, "SetChargingProfile", message, strict=True)
    if version is OcppVersion.V16:
        schedule: Json = message["csChargingProfiles"]["chargingSchedule"]
        return schedule
    return schedule_of(message["chargingProfile"])


def _as_read(schedule: Any, outlet: Outlet, seconds: int) -> list[float]:
    """Return the power that a station allows in each second."""
    assert schedule["startSchedule"] == "2026-01-15T12:00:00.000Z"
    powers = []
    for second in range(seconds):
        period = [each for each in schedule["chargingSchedulePeriod"] if each["startPeriod"] <= second][-1]
        per_unit = period["numberPhases"] * outlet.volts if schedule["chargingRateUnit"] == "A" else 1.0
        powers.append(period["limit"] * per_unit / 1000)
    return powers
