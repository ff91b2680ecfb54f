"""What the relations of links mean, in words: the documentation that the CURIE `cb` leads to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RELATIONS: Final[Mapping[str, str]] = {
    "command": "A command to a station, in the words of OCPP 2.x: what was asked, and what became of it.",
    "commands": "The commands that were given to a station, the newest first. The form `command` gives another one.",
    "configuration": "What admins have decided about a station. Change it with its ETag in If-Match.",
    "frame": "One OCPP frame as it crossed the wire.",
    "hosts": "The processes that hold chargers, and what each holds. The form `scale` asks for another number of them.",
    "log": "The OCPP frames of a station, both ways, the newest first.",
    "meter-values": "The charging curve of a transaction: energy since its start, power, state of charge.",
    "notice": "Something that a station has reported, kept as it is: an event, a security event, a data transfer.",
    "notices": "What a station has reported of itself, the newest first.",
    "placements": "The stations and sites that have hosts of their own.",
    "restart": "The rolling restart: how far it is. The form `restart` begins one.",
    "station": "A charging station.",
    "stations": "Charging stations. Filters and the order are variables of the link.",
    "status": "The platform in numbers.",
    "token": "An id token, masked: a card or another thing that may charge.",
    "tokens": "The id tokens that are known. The form `put` registers one.",
    "transaction": "A transaction: from plugging in to unplugging, or what is known of it.",
    "transactions": "Transactions, the newest first.",
    "variable": "A value of a station's device model as last reported.",
    "variables": "The device model of a station as it has reported it.",
}
