"""What the relations of links mean, in words: the documentation that the CURIE `cb` leads to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

RELATIONS: Final[Mapping[str, str]] = {
    "charge": "A charge, yours or at your station: state, energy, power. The form `stop` ends one that runs.",
    "charges": "Charges, the newest first.",
    "command": "A command to a station, in the words of OCPP 2.x: what was asked, and what became of it.",
    "commands": "The commands that were given to a station, the newest first. The form `command` gives another one.",
    "configuration": "What admins have decided about a station. Change it with its ETag in If-Match.",
    "connector": "A connector of a station. The form `start` is there while a charge can begin at it.",
    "curve": "The charging curve of a charge: energy since its start, power, state of charge.",
    "events": "What happens, live: all that you may see, or of one station, site or charge. It speaks WebSocket too.",
    "frame": "One OCPP frame as it crossed the wire.",
    "hosts": "The processes that hold chargers, and what each holds. The form `scale` asks for another number of them.",
    "invitation": "A relation that is offered: `accept` or `decline` it, or `withdraw` what you have offered.",
    "invitations": "What you are offered. The form `redeem` uses a code.",
    "log": "The OCPP frames of a station, both ways, the newest first.",
    "meter-values": "The charging curve of a transaction: energy since its start, power, state of charge.",
    "notice": "Something that a station has reported, kept as it is: an event, a security event, a data transfer.",
    "notices": "What a station has reported of itself, the newest first.",
    "owner": "Who owns a station or a site. The form `give` makes somebody the owner.",
    "people": "Who has a relation to a station or site, and who is invited. The form `invite` shares it.",
    "person": "Somebody with a relation to a station or site, and its terms.",
    "placements": "The stations and sites that have hosts of their own.",
    "receipt": "What was charged, once it has ended; with `Accept: text/html` a page to print.",
    "relation": "What you are to a station or site: owner, co-owner or guest. The form `leave` gives it up.",
    "relations": "What you are to stations and sites.",
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
