"""What a ChargingProfile must keep before it may be sent: a table of OCPP's requirements, by their numbers.

The numbers are those of 2.1 part 2; 2.0.1 has the same ones unless it says otherwise. Beside each stands the section of
1.6 with the same rule. Whoever makes profiles, and whoever lets others make them, asks `broken_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final, Literal

import msgspec

from actors.ocpp.frames import Json, OcppVersion

Unit = Literal["A", "W"]


class SmartCharging(msgspec.Struct, frozen=True, kw_only=True):
    """What a station says it can be told: the variables of SmartChargingCtrlr, or the keys of 1.6 (section 9.4)."""

    version: OcppVersion
    units: tuple[Unit, ...] = ("A",)
    """RateUnit; ChargingScheduleAllowedChargingRateUnit."""
    max_periods: int = 1024
    """PeriodsPerSchedule; ChargingScheduleMaxPeriods."""
    max_stack_level: int = 0
    """ProfileStackLevel; ChargeProfileMaxStackLevel."""
    phase_switching: bool = False
    """ACPhaseSwitchingSupported."""
    max_external_id: int | None = None
    """MaxExternalConstraintsId."""
    whole_units: bool = False
    """It takes whole amperes or watts only, as some do although they accept more."""

    @property
    def decimals(self) -> int:
        """How many a limit may have (2.1 part 2, 2.1.2; 2.0.1 part 2, ChargingSchedulePeriodType; 1.6, 7.14)."""
        return 6 if self.version is OcppVersion.V21 else 1


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A profile on its way: the EVSE it is for, and whether it goes with the request to start (K05)."""

    profile: Json
    evse_id: int
    with_start: bool = False

    @property
    def purpose(self) -> str:
        """What the profile is for."""
        return str(self.profile["chargingProfilePurpose"])

    @property
    def schedule(self) -> Json:
        """The first schedule of the profile."""
        schedules: Any = self.profile["chargingSchedule"]
        first: Json = schedules[0]
        return first

    @property
    def periods(self) -> Sequence[Json]:
        """The periods of the first schedule."""
        periods: Sequence[Any] = self.schedule["chargingSchedulePeriod"]  # type: ignore[assignment]
        return periods

    def of_periods(self, name: str) -> list[Any]:
        """Return a field of all periods that have it."""
        return [period[name] for period in self.periods if name in period]


Keeps = Callable[[Sent, SmartCharging], bool]


def _transaction_named(sent: Sent, _: SmartCharging) -> bool:
    named = "transactionId" in sent.profile
    return named == (sent.purpose == "TxProfile" and not sent.with_start)


def _whole_station(sent: Sent, _: SmartCharging) -> bool:
    return sent.purpose != "ChargingStationMaxProfile" or sent.evse_id == 0


def _decimals(sent: Sent, station: SmartCharging) -> bool:
    numbers = [float(each) for each in sent.of_periods("limit")]
    return all(round(number, station.decimals) == number for number in numbers)


def _start_by_kind(sent: Sent, _: SmartCharging) -> bool:
    return ("startSchedule" in sent.schedule) == (sent.profile["chargingProfileKind"] != "Relative")


def _zero_only_in_transactions(sent: Sent, _: SmartCharging) -> bool:
    return sent.purpose == "TxProfile" or all(float(limit) > 0 for limit in sent.of_periods("limit"))


RULES: Final[dict[str, Keeps]] = {
    "K01.FR.03, K05.FR.02: a TxProfile names its transaction, unless it starts one; no other does (1.6: 5.16.2)": (
        _transaction_named
    ),
    "K05.FR.02: what starts a transaction is a TxProfile (1.6: 5.16.2)": (
        lambda sent, _: not sent.with_start or sent.purpose == "TxProfile"
    ),
    "K01.FR.16: a TxProfile is for one EVSE (1.6: 3.13.1)": (
        lambda sent, _: sent.purpose != "TxProfile" or sent.evse_id > 0
    ),
    "K, purposes: a ChargingStationMaxProfile is for EVSE 0 (1.6: 3.13.1)": _whole_station,
    "K01.FR.19: a phase is chosen only for one-phase charging": (
        lambda sent, _: all(period.get("numberPhases") == 1 for period in sent.periods if "phaseToUse" in period)
    ),
    "K01.FR.20: a phase is chosen only where it can be switched": (
        lambda sent, station: station.phase_switching or not sent.of_periods("phaseToUse")
    ),
    "K01.FR.22: external constraints are not for the CSMS to set": (
        lambda sent, _: sent.purpose != "ChargingStationExternalConstraints"
    ),
    "K01.FR.26: the station knows the unit (1.6: 9.4.2, errata 3.38)": (
        lambda sent, station: sent.schedule["chargingRateUnit"] in station.units
    ),
    "K01.FR.31: the first period starts at 0 (1.6: 5.16.4)": lambda sent, _: sent.periods[0]["startPeriod"] == 0,
    "K01.FR.34: one schedule, without ISO 15118 (1.6: 7.8)": (
        lambda sent, _: len(sent.profile["chargingSchedule"]) == 1  # type: ignore[arg-type]
    ),
    "K01.FR.35: periods are in order of time": (
        lambda sent, _: all(one < next_ for one, next_ in pairwise(sent.of_periods("startPeriod")))
    ),
    "K01.FR.11: no period begins after the end": (
        lambda sent, _: all(
            start < sent.schedule.get("duration", start + 1) for start in sent.of_periods("startPeriod")
        )
    ),
    "K01.FR.38: the limit of the station is not Relative": (
        lambda sent, _: sent.purpose != "ChargingStationMaxProfile" or sent.profile["chargingProfileKind"] != "Relative"
    ),
    "K01.FR.40, K01.FR.41: a start for Absolute and Recurring, none for Relative": _start_by_kind,
    "K01.FR.80: the id is above those of external constraints": (
        lambda sent, station: station.max_external_id is None or int(str(sent.profile["id"])) > station.max_external_id
    ),
    "PeriodsPerSchedule: no more periods than the station can hold (1.6: 9.4.3)": (
        lambda sent, station: len(sent.periods) <= min(station.max_periods, 1024)
    ),
    "ProfileStackLevel: no higher than the station allows (1.6: 9.4.1)": (
        lambda sent, station: 0 <= int(str(sent.profile["stackLevel"])) <= station.max_stack_level
    ),
    "2.1.2, ChargingSchedulePeriodType: no more decimals than the version has (1.6: 7.14)": _decimals,
    "ours: nothing but a transaction is ever limited to 0, as the limit could outlive it": _zero_only_in_transactions,
}


def broken_rules(sent: Sent, station: SmartCharging) -> list[str]:
    """Return the rules that a profile breaks; nothing when it may be sent. It is valid by the 2.x schema already."""
    return [rule for rule, keeps in RULES.items() if not keeps(sent, station)]
