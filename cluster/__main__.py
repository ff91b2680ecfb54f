"""The `cloudbay` command: run the platform, look at it, try it out."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from actors.errors import CloudBayError, Unavailable
from cluster import screens
from cluster.audit import command as audit_command
from cluster.bearer import mint
from cluster.client import ApiClient, RefusedByApi
from cluster.identity.caller import ROLES
from cluster.keys import load_keys
from cluster.logs import set_up_logging
from configs.settings import Settings
from configs.sources import SettingsError
from simulator import cli as simulator_cli

_Json = dict[str, Any]

_HOSTS = "/admin/v1/hosts"
_RESTART = "/admin/v1/restart"
_PLACEMENTS = "/admin/v1/placements"
_LOOK_EVERY_S = 0.5
_PATIENCE_S = 240.0
"""Less than the life of the command's own token."""

_EPILOG = """examples:
  everything on this machine, with 20 simulated stations that charge
    cloudbay demo
  only the platform; stations connect to ws://127.0.0.1:9000/ocpp/<stationId>
    cloudbay up
  how it is doing, from another terminal
    cloudbay status
  a token for the API, and a first call
    curl -H "Authorization: Bearer $(cloudbay token)" http://127.0.0.1:8000/admin/v1/stations
  four hosts instead of two, while stations charge
    cloudbay hosts scale 4
  a process of its own for each station of a depot
    cloudbay hosts dedicate site DEPOT-7
  a second platform beside the first
    CLOUDBAY_GATEWAY__PORT=9001 CLOUDBAY_API__PORT=8001 cloudbay up --data-dir /tmp/second

Settings: configs/base.yaml lists every key; --config FILE and CLOUDBAY_* variables override them.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloudbay",
        description="CloudBay: a platform for charging stations.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--config", type=Path, metavar="FILE", help="your settings, over those of the profile")
    common.add_argument("--profile", metavar="NAME", help="embedded (default) or production")
    common.add_argument("--data-dir", metavar="FOLDER", help="folder of data, keys and logs (default ./.cloudbay)")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run: Callable[[argparse.Namespace, Settings], int], text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, parents=[common], help=text, description=text)
        added.set_defaults(run=run)
        return added

    verb("up", _up, "run the platform until Ctrl-C")
    demo = verb("demo", _demo, "run the platform with simulated stations that plug in, charge and unplug")
    demo.add_argument("--stations", type=int, metavar="N", help="how many stations (default: demo.stations)")
    demo.add_argument("--once", action="store_true", help="end when every station has charged one car")
    verb("status", _status, "show what is connected, the message rate, hosts and gateways")
    _add_stations(verb("stations", _stations, "add, list or show stations"), common)
    _add_hosts(verb("hosts", _hosts, "list the hosts, run more or fewer of them, or dedicate some"), common)
    verb("restart", _restart, "start every process anew, one after the other, while stations charge")
    verb("partitions", _partitions, "show which host holds which partitions of the fleet")
    token = verb("token", _token, "print a bearer token for the API")
    token.add_argument("--role", choices=sorted(ROLES), default="admin", help="what it may do (default admin)")
    token.add_argument("--seconds", type=int, metavar="N", help="how long it is good (default: api.token_ttl_s)")
    _add_keys(verb("keys", _keys, "list the keys that data is sealed with, or rotate them"), common)
    audit = verb("audit", audit_command.run, "check, export or anchor the record of who did what")
    audit_command.add_arguments(audit, common)
    verb("migrate", _migrate, "bring the database's schema up to date")
    simulate = verbs.add_parser("simulate", help="connect simulated stations to any CSMS")
    simulator_cli.add_arguments(simulate)
    return parser


def _add_stations(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", parents=[common], help="register a station; prints its password once")
    add.add_argument("station_id")
    add.add_argument("--no-password", action="store_true", help="security profile 0: let it connect without one")
    add.add_argument("--site", metavar="ID", help="the site it belongs to")
    listing = actions.add_parser("list", parents=[common], help="list stations")
    listing.add_argument("--connected", action="store_true", help="only those that are connected now")
    actions.add_parser("show", parents=[common], help="show one station").add_argument("station_id")


def _add_hosts(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", parents=[common], help="list the hosts and how much each holds")
    scale = actions.add_parser("scale", parents=[common], help="run N hosts; stations stay connected meanwhile")
    scale.add_argument("count", type=int, metavar="N")
    for action, text in (
        ("dedicate", "give a station, or every station of a site, a host process of its own"),
        ("pack", "take that back: they share hosts again"),
    ):
        placing = actions.add_parser(action, parents=[common], help=text)
        placing.add_argument("kind", choices=("station", "site"))
        placing.add_argument("name", help="a station's or a site's id")


def _add_keys(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", parents=[common], help="list the data keys and who wraps them")
    rotating = actions.add_parser(
        "rotate", parents=[common], help="make a new data key and seal everything anew, while the platform runs"
    )
    rotating.add_argument(
        "--wrapping-key", action="store_true", help="make a new wrapping key first (vault.provider: file)"
    )


def _up(_arguments: argparse.Namespace, settings: Settings) -> int:
    from cluster.up import run, up  # Ray takes a second to import; the other verbs do without it.

    return run(up(settings))


def _demo(arguments: argparse.Namespace, settings: Settings) -> int:
    from cluster.demo import demo
    from cluster.up import run

    return run(demo(settings, arguments.stations or settings.demo.stations, once=arguments.once))


def _status(_arguments: argparse.Namespace, settings: Settings) -> int:
    with ApiClient(settings) as api:
        print(screens.status(api.get("/admin/v1/status"), api.address))
    return 0


def _stations(arguments: argparse.Namespace, settings: Settings) -> int:
    with ApiClient(settings) as api:
        if arguments.action == "add":
            body: dict[str, object] = {"stationId": arguments.station_id, "password": not arguments.no_password}
            if arguments.site is not None:
                body["siteId"] = arguments.site
            print(screens.added(api.post("/admin/v1/stations", body), settings))
        elif arguments.action == "list":
            query = {"connected": "true"} if arguments.connected else {}
            page: Any = api.get("/admin/v1/stations", limit="500", **query)
            print(screens.stations(page["_embedded"]["cb:station"]))
        else:
            print(screens.station(api.get(f"/admin/v1/stations/{arguments.station_id}")))
    return 0


def _hosts(arguments: argparse.Namespace, settings: Settings) -> int:
    with ApiClient(settings) as api:
        if arguments.action == "list":
            print(screens.hosts(api.get(_HOSTS)))
            return 0
        if arguments.action == "scale":
            return _follow(api, _HOSTS, api.put(_HOSTS, {"count": arguments.count}), screens.hosts, screens.as_wanted)
        path = f"{_PLACEMENTS}/{arguments.kind}/{quote(arguments.name, safe='')}"
        print(screens.placements(api.put(path) if arguments.action == "dedicate" else api.delete(path)))
        print("hosts come and go within seconds: `cloudbay hosts list`")
        return 0


def _restart(_arguments: argparse.Namespace, settings: Settings) -> int:
    with ApiClient(settings) as api:
        return _follow(api, _RESTART, api.post(_RESTART, {}), screens.restart, screens.restarted)


def _follow(
    api: ApiClient, path: str, answer: _Json, show: Callable[[_Json], str], done: Callable[[_Json], bool]
) -> int:
    """Print what has changed until it is done. It goes on without us: the API may be away, and patience is bounded."""
    shown, patient_until = "", time.monotonic() + _PATIENCE_S
    while True:
        if show(answer) != shown:
            shown = show(answer)
            print(shown, flush=True)
        if done(answer):
            return 0
        if time.monotonic() > patient_until:
            print(f"not done after {_PATIENCE_S:.0f} s; it goes on: see `cloudbay hosts list` and the logs")
            return 1
        time.sleep(_LOOK_EVERY_S)
        with suppress(Unavailable, RefusedByApi):
            answer = api.get(path)


def _partitions(_arguments: argparse.Namespace, settings: Settings) -> int:
    with ApiClient(settings) as api:
        print(screens.partitions(api.get(_HOSTS)))
    return 0


def _token(arguments: argparse.Namespace, settings: Settings) -> int:
    key = load_keys(settings.data_dir).token
    print(mint(key, [arguments.role], arguments.seconds or settings.api.token_ttl_s))
    return 0


def _keys(arguments: argparse.Namespace, settings: Settings) -> int:
    from cluster.key_rotation import list_keys, rotate_keys

    if arguments.action == "list":
        asyncio.run(list_keys(settings))
    else:
        asyncio.run(rotate_keys(settings, arguments.wrapping_key))
    return 0


def _migrate(_arguments: argparse.Namespace, settings: Settings) -> int:
    from cluster.bootstrap.keys import key_provider
    from cluster.store.migrate import migrate

    if settings.database.url is None:
        print("the embedded database is brought up to date by `cloudbay up`; for another one set database.url")
        return 2
    applied = asyncio.run(migrate(settings.database.url, key_provider(settings)))
    print("\n".join(f"applied {revision}" for revision in applied) or "up to date")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.verb == "simulate":
        return simulator_cli.run(arguments)
    try:
        given = vars(arguments)
        overrides = {"data_dir": given["data_dir"]} if "data_dir" in given else {}
        files = [given["config"]] if "config" in given else []
        settings = Settings.load(profile=given.get("profile"), files=files, overrides=overrides)
        set_up_logging(settings.log)
        return int(arguments.run(arguments, settings))
    except (SettingsError, CloudBayError) as error:
        print(f"cloudbay: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
