"""What the `cloudbay` command shows: API answers as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cluster.vault.ports import DataKey, Progress
from configs.settings import Settings


def status(answer: dict[str, Any], address: str) -> str:
    """Show the state of the platform."""
    lines = [
        f"API        {address}",
        f"stations   {answer['connected']} connected of {answer['stations']}",
        f"messages   {answer['messagesPerS']:.1f} /s",
        f"open       {answer['openTransactions']} transactions",
        "",
    ]
    hosts = [
        (name, h["chargers"], h["turns"], h["commits"], f"{h['lagS'] * 1000:.0f} ms", f"{h['cpuS']:.1f} s")
        for name, h in answer["hosts"].items()
    ]
    lines.append(_table(("host", "chargers", "turns", "commits", "lag", "CPU"), hosts))
    gateways = [
        (name, g["node"][:8], g["connected"], g["framesIn"], g["framesOut"]) for name, g in answer["gateways"].items()
    ]
    lines.append("")
    lines.append(_table(("gateway", "node", "sockets", "frames in", "frames out"), gateways))
    return "\n".join(lines)


def hosts(answer: dict[str, Any]) -> str:
    """Show the hosts and how much each holds."""
    rows = [(h["hostId"], h["state"], h["partitions"], h["stationId"] or "") for h in answer["hosts"]]
    if answer["free"]:
        rows.append(("(nobody)", "free", answer["free"], ""))
    return _table(("host", "", "partitions", "dedicated to"), rows)


def as_wanted(answer: dict[str, Any]) -> bool:
    """Tell whether as many hosts as wanted hold everything; dedicated ones come on top."""
    serving = [host for host in answer["hosts"] if host["state"] == "serving" and host["partitions"]]
    shared = [host for host in serving if host["stationId"] is None]
    return len(answer["hosts"]) == len(serving) and len(shared) == answer["wanted"] and not answer["free"]


def keys(stored: Sequence[DataKey], sealing: int | None) -> str:
    """Show the data keys, wrapped as they are: which one seals, and which are there to read what is old."""

    def use(key: DataKey) -> str:
        if key.purpose == "lookup":
            return "hashes what is looked up"
        if key.key_id == sealing:
            return "seals"
        if key.retired_at is not None:
            return f"retired {key.retired_at:%Y-%m-%d}"
        return "opens what it has sealed" if key.key_id < (sealing or 0) else f"seals from {key.active_at:%H:%M:%S} on"

    rows = [(key.key_id, use(key), f"{key.created_at:%Y-%m-%d}", key.wrapped.by) for key in stored]
    return _table(("key", "", "made", "wrapped by"), rows)


def rotation(progress: Progress) -> str:
    """Show how far a rotation is in one column."""
    state = "done" if progress.finished else "..."
    return f"  {progress.place:<28} {progress.rows} rows, {progress.resealed} sealed anew {state}"


def restart(answer: dict[str, Any]) -> str:
    """Show how far a rolling restart is."""
    if restarted(answer):
        return "everything has been started anew"
    api = "the API, " if answer["apiLeft"] else ""
    return f"to be started anew: {api}{answer['hostsLeft']} hosts, {answer['gatewaysLeft']} gateways"


def restarted(answer: dict[str, Any]) -> bool:
    """Tell whether a rolling restart is over."""
    return not (answer["hostsLeft"] or answer["gatewaysLeft"] or answer["apiLeft"])


def partitions(answer: dict[str, Any]) -> str:
    """Show which host holds which partitions."""
    return _table(("host", "partitions"), [(host["hostId"], host["ranges"] or "-") for host in answer["hosts"]])


def placements(answer: dict[str, Any]) -> str:
    """Show who gets a host of its own."""
    rules = [f"{rule['kind']} {rule['name']}" for rule in answer["placements"]]
    return f"with hosts of their own: {', '.join(rules) or 'nobody'}"


def stations(items: Sequence[dict[str, Any]]) -> str:
    """Show a list of stations."""
    rows = [
        (
            s["stationId"],
            "connected" if s["connected"] else "offline",
            s.get("registration") or "-",
            s.get("ocppVersion") or "-",
            f"{s.get('vendorName', '')} {s.get('model', '')}".strip() or "-",
            s.get("lastSeenAt") or "never",
        )
        for s in items
    ]
    return _table(("station", "", "registration", "version", "make", "last seen"), rows)


def station(detail: dict[str, Any]) -> str:
    """Show one station, field by field."""
    facts = {name: value for name, value in detail.items() if value not in (None, [], {}) and name[0] != "_"}
    width = max(len(name) for name in facts)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())


def added(answer: dict[str, Any], settings: Settings) -> str:
    """Show a new station and the password that is told this once."""
    lines = [f"station   {answer['stationId']}"]
    if answer.get("password"):
        lines += [f"user name {answer['stationId']}", f"password  {answer['password']}   (shown this once)"]
    lines.append(f"URL       ws://{settings.gateway.host}:{settings.gateway.port}/ocpp/{answer['stationId']}")
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [tuple(head), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
