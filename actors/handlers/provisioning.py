"""Block B, provisioning: boot and reports (B01-B03, B07). Registration belongs to the station, not to its socket."""

from __future__ import annotations

from actors.domain.events import ReportCompleted, StationBooted
from actors.domain.moment import wire_time
from actors.domain.records import ReportedVariable
from actors.domain.station import Registration
from actors.ocpp.messages import BootNotification, BootNotificationResponse, Empty, NotifyReport
from actors.turn import Turn


def boot(turn: Turn, request: BootNotification) -> BootNotificationResponse:
    """Register the station, or tell it to wait; an admin's choice for it goes before the platform's rule."""
    station, seen = turn.station, request.charging_station
    verdict: Registration = station.admission or ("Accepted" if turn.rules.accept_boot else "Pending")
    station.registration = verdict
    station.vendor_name, station.model = seen.vendor_name, seen.model
    station.serial_number = seen.serial_number or station.serial_number
    station.firmware_version = seen.firmware_version or station.firmware_version
    station.boot_reason, station.booted_at = request.reason, turn.now
    turn.save(station)
    turn.tell(StationBooted(verdict, request.reason, station.firmware_version))
    accepted = verdict == "Accepted"
    interval_s = turn.rules.heartbeat_interval_s if accepted else turn.rules.retry_interval_s
    return BootNotificationResponse(wire_time(turn.now), interval_s, verdict)


def report(turn: Turn, request: NotifyReport) -> Empty:
    """Keep the reported values of the device model (B07.FR.09-11; unset attributes are reported too)."""
    for data in request.report_data:
        evse = data.component.evse
        for attribute in data.variable_attribute:
            turn.rows.append(
                ReportedVariable(
                    station_id=turn.station.station_id,
                    component=data.component.name,
                    component_instance=data.component.instance or "",
                    evse_id=evse.id if evse else 0,
                    variable=data.variable.name,
                    variable_instance=data.variable.instance or "",
                    attribute=attribute.type,
                    value=attribute.value,
                    mutability=attribute.mutability,
                    reported_at=turn.now,
                )
            )
    if not request.tbc:
        turn.tell(ReportCompleted(request.request_id, request.seq_no + 1))
    return Empty()
