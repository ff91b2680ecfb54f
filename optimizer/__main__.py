"""`python -m optimizer explain request.json`: prints the plan for a car or a site, and can draw it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from optimizer.charger import plan_car
from optimizer.errors import InvalidProblem
from optimizer.explain import explain_car, explain_site
from optimizer.picture import picture_of_car, picture_of_site
from optimizer.question import Question, read_question
from optimizer.site_plan import plan_site


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns 2 for a request that cannot be meant."""
    parser = argparse.ArgumentParser(prog="python -m optimizer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    explain = commands.add_parser("explain", help="print the plan for a request")
    explain.add_argument("request", type=Path, help="a JSON file; docs/optimizer.md says what is in it")
    explain.add_argument("--picture", type=Path, metavar="OUT.png", help="draw the plan too")
    chosen = parser.parse_args(arguments)
    try:
        lines, picture = _answer(read_question(chosen.request.read_bytes()), draw=chosen.picture is not None)
    except (InvalidProblem, OSError) as wrong:
        print(f"{chosen.request}: {wrong}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    if chosen.picture is not None:
        chosen.picture.write_bytes(picture)
    return 0


def _answer(question: Question, *, draw: bool) -> tuple[list[str], bytes]:
    zone = question.told_in
    if question.car is not None:
        prices = question.prices()
        plan = plan_car(question.grid(), prices, question.car, question.steadiness)
        lines = list(explain_car(plan, prices, question.car, zone))
        return lines, picture_of_car(plan, prices, zone) if draw else b""
    site = question.whole_site()
    site_plan = plan_site(site)
    return list(explain_site(site_plan, site, zone)), picture_of_site(site_plan, site, zone) if draw else b""


if __name__ == "__main__":
    sys.exit(main())
