"""Frames that no station should send: broken text, endless nesting, huge numbers, wrong types, valid nonsense."""

from __future__ import annotations

import json
import random


def garbage(dice: random.Random, count: int) -> list[str]:
    """Return so many frames, of all kinds that are text, in any order."""
    return [dice.choice(_KINDS)(dice) for _ in range(count)]


def broken_text(dice: random.Random) -> bytes:
    """Return a frame that is no UTF-8: it closes its socket (RFC 6455, 8.1)."""
    anything = bytes(dice.randrange(128, 256) for _ in range(dice.randrange(8)))
    return b'[2,"x","Heartbeat",{}]' + anything + b"\xff"  # the one byte at least that UTF-8 never has


def _not_json(dice: random.Random) -> str:
    return "".join(chr(dice.randrange(32, 0x2FFF)) for _ in range(dice.randrange(1, 200)))


def _deep(dice: random.Random) -> str:
    depth = dice.randrange(33, 5000)
    return '[2,"deep","DataTransfer",' + "[" * depth + "]" * depth + "]"


def _huge_number(dice: random.Random) -> str:
    number = dice.choice(["1e999", "-1e999", "9" * 400, "1" + "0" * 30, "-0.0", "1e-999"])
    return f'[2,"huge","MeterValues",{{"evseId":{number},"meterValue":[{{"timestamp":"2026-01-01T00:00:00Z","sampledValue":[{{"value":{number}}}]}}]}}]'  # noqa: E501


def _wrong_types(dice: random.Random) -> str:
    values: list[object] = [None, True, 7, -1.5, "text", [], {}, [[]], {"a": {}}]
    fields = ("eventType", "timestamp", "triggerReason", "seqNo", "transactionInfo", "meterValue", "evse", "idToken")
    payload = {name: dice.choice(values) for name in fields if dice.random() < 0.8}
    action = dice.choice(
        ["TransactionEvent", "BootNotification", "Authorize", "StatusNotification", "NoSuchAction", ""]
    )
    return json.dumps(
        [dice.choice([2, 2, 2, 3, 4, 5, 6, 9, "2", None]), dice.choice(["id", 5, None, ""]), action, payload]
    )


def _valid_nonsense(dice: random.Random) -> str:
    """Schema-valid events of transactions that make no sense: the far past, no start, numbers from nowhere."""
    moment = dice.choice(["1970-01-01T00:00:00Z", "2999-12-31T23:59:59Z", "2026-01-01T00:00:00+14:00"])
    payload = {
        "eventType": dice.choice(["Started", "Updated", "Ended"]),
        "timestamp": moment,
        "triggerReason": "Trigger",
        "seqNo": dice.choice([0, 1, 2**31 - 1]),
        "transactionInfo": {"transactionId": f"nonsense-{dice.randrange(5)}"},
        "meterValue": [{"timestamp": moment, "sampledValue": [{"value": dice.choice([-1e300, 1e300, 0])}]}],
    }
    return json.dumps([2, f"n{dice.randrange(50)}", "TransactionEvent", payload])


_KINDS = (_not_json, _deep, _huge_number, _wrong_types, _valid_nonsense)
