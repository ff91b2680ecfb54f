"""The command `cloudbay simulate` (also `python -m simulator`): arguments in, lines and an exit code out.

Must not know: how stations work.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from simulator import lean
from simulator.driver import SCENARIOS
from simulator.faults import DESCRIPTIONS, FaultRule, parse_rule
from simulator.fleet import VERSIONS, Fleet, FleetProgress, FleetSettings, NoConnection

DESCRIPTION = (
    "Connect virtual charging stations to a CSMS: they boot, charge cars along a realistic curve, "
    "follow charging profiles and take orders."
)


def _epilog() -> str:
    scenarios = "\n".join(f"  {name:<12} {scenario.description}" for name, scenario in SCENARIOS.items())
    faults = "\n".join(f"  {kind:<12} {text}" for kind, text in DESCRIPTIONS.items())
    return f"""scenarios:
{scenarios}

faults (--fault NAME=PROBABILITY[:SECONDS][@FROM-TO], repeatable; seconds of simulated time):
{faults}

examples:
  20 stations of both versions, one minute of charging each second
    %(prog)s --to ws://127.0.0.1:9000/ocpp --stations 20 --version mixed --speed 60
  one car each, then stop; exit code 0 when every message was answered
    %(prog)s --to ws://127.0.0.1:9000/ocpp --stations 5 --scenario once --speed 120
  wait for remote starts, with a password
    %(prog)s --to wss://csms.example/ocpp --stations 1 --id-pattern CP-%%d --password secret --scenario plugged
  a bad network: 1 %% of the frames lost, 5 %% late by 3 s, offline 10 minutes of every hour
    %(prog)s --to ws://127.0.0.1:9000/ocpp --fault drop=0.01 --fault delay=0.05:3 --offline 3600:600
  load: 2,000 stations, each sending its next event as soon as the last is answered
    %(prog)s --to ws://127.0.0.1:9000/ocpp --stations 2000 --lean --seconds 15
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the options of `simulate`, with a help text that teaches."""
    parser.description = DESCRIPTION
    parser.epilog = _epilog()
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--to", required=True, metavar="URL", help="the CSMS, e.g. ws://127.0.0.1:9000/ocpp")
    parser.add_argument("--stations", type=int, default=20, metavar="N", help="how many stations (default 20)")
    parser.add_argument("--version", choices=VERSIONS, default="2.0.1", help="OCPP version (default 2.0.1)")
    parser.add_argument("--id-pattern", metavar="PATTERN", help="station ids (SIM-%%04d, lean: LEAN-%%05d)")
    parser.add_argument("--card-pattern", default="CARD-%04d", metavar="PATTERN", help="cards (default CARD-%%04d)")
    parser.add_argument("--password", help="Basic auth password of every station")
    parser.add_argument("--ca-file", metavar="FILE", help="trust this certificate authority (wss://)")
    parser.add_argument("--scenario", choices=list(SCENARIOS), default="repeat", help="what drivers do")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="simulated seconds per second")
    parser.add_argument(
        "--start", type=_instant, metavar="TIME", help="when the stations' clock begins (default: now), RFC 3339"
    )
    parser.add_argument("--evses", type=int, default=1, metavar="N", help="EVSEs of each station (default 1)")
    parser.add_argument("--dc-share", type=float, default=0.25, metavar="S", help="share of DC stations (default 0.25)")
    parser.add_argument("--sample-interval-s", type=int, default=60, metavar="N", help="meter values each N s (60)")
    parser.add_argument("--offline", type=_offline, metavar="EVERY:FOR", help="offline FOR s of every EVERY s")
    parser.add_argument("--fault", type=_fault, action="append", default=[], metavar="RULE", help="see below")
    parser.add_argument("--start-spread-s", type=float, default=2.0, metavar="S", help="spread the first connections")
    parser.add_argument("--seed", type=int, default=1, help="makes drivers and faults repeatable (default 1)")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after S real seconds")
    parser.add_argument("--lean", action="store_true", help="load instead of behaviour; 2.0.1 only")
    lean.add_load_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run what the arguments ask for; return the exit code: 0 fine, 1 something failed, 2 wrong arguments."""
    if args.lean:
        if args.version != "2.0.1":
            return _complain("--lean speaks 2.0.1 only", 2)
        return lean.run(args, id_pattern=args.id_pattern or "LEAN-%05d")
    try:
        fleet_settings = _settings(args)
        return asyncio.run(_run(fleet_settings))
    except NoConnection as error:
        return _complain(str(error), 1)
    except (ValueError, OSError) as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt:
        return 130


async def _run(settings: FleetSettings) -> int:
    fleet = Fleet(settings)
    print(
        f"{settings.stations} stations ({settings.version}) to {settings.to}, scenario {settings.scenario}, "
        f"speed {settings.speed:g}x"
    )
    try:
        progress = await fleet.run(_printer())
    except asyncio.CancelledError:
        progress = fleet.progress()
        print(f"stopped: {progress.line()}")
        raise
    print(f"done: {progress.line()}")
    problems = _problems(progress)
    for problem in problems:
        print(f"  {problem}")
    return 1 if problems else 0


def _printer() -> Callable[[FleetProgress], None]:
    """Print a progress line at first each second, later each five."""
    count = 0

    def show(progress: FleetProgress) -> None:
        nonlocal count
        count += 1
        if count <= 5 or count % 5 == 0:
            suffix = f" ({progress.problem})" if progress.problem else ""
            print(f"{count:>5} s  {progress.line()}{suffix}", flush=True)

    return show


def _problems(progress: FleetProgress) -> list[str]:
    """Name what a user should not overlook."""
    checks = [
        (progress.stations - progress.registered, "stations are not registered"),
        (progress.errors, "calls were answered with CALLERROR"),
        (progress.timeouts, "calls were not answered in time"),
        (progress.discarded, "transaction messages were given up"),
        (progress.turned_away, "drivers could not start"),
    ]
    found = [f"{count} {text}" for count, text in checks if count]
    return [*found, f"last problem: {progress.problem}"] if found and progress.problem else found


def _settings(args: argparse.Namespace) -> FleetSettings:
    tls = ssl.create_default_context(cafile=args.ca_file) if args.ca_file else None
    return FleetSettings(
        to=args.to,
        stations=args.stations,
        version=args.version,
        id_pattern=args.id_pattern or "SIM-%04d",
        card_pattern=args.card_pattern,
        password=args.password,
        tls=tls,
        scenario=args.scenario,
        speed=args.speed,
        seconds=args.seconds,
        evses=args.evses,
        dc_share=args.dc_share,
        sample_interval_s=args.sample_interval_s,
        offline=args.offline,
        faults=tuple(args.fault),
        start=args.start,
        start_spread_s=args.start_spread_s,
        seed=args.seed,
    )


def _complain(text: str, code: int) -> int:
    print(f"simulate: {text}", file=sys.stderr)
    return code


def _fault(text: str) -> FaultRule:
    try:
        return parse_rule(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _offline(text: str) -> tuple[float, float]:
    try:
        every, _, duration = text.partition(":")
        return float(every), float(duration)
    except ValueError:
        raise argparse.ArgumentTypeError("write EVERY:FOR in seconds, e.g. 3600:600") from None


def _instant(text: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("write a time like 2026-03-01T08:00:00Z") from None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m simulator`."""
    parser = argparse.ArgumentParser(prog="python -m simulator")
    add_arguments(parser)
    return run(parser.parse_args(argv))
