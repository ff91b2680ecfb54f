"""`make bench`: measures, prints ratios, and writes benchmarks/results.json."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import api, audit, commands, crowd, live, optimizer, planners, rollout, throughput, upheaval
from benchmarks.replay import contest
from benchmarks.rows import Rows

RESULTS = Path(__file__).with_name("results.json")

SECTIONS: Final[dict[str, Callable[[Path], Rows]]] = {
    "throughput": throughput.measure,
    "scaling": throughput.measure_scaling,
    "commands": commands.measure,
    "kill": upheaval.measure_kill,
    "storm": upheaval.measure_storm,
    "idle": crowd.measure_idle,
    "100k": crowd.measure_100k,
    "audit": audit.measure,
    "optimizer": optimizer.measure,
    "rollout": rollout.measure,
    "planners": planners.measure,
    "live": live.measure,
    "api": api.measure,
}
WITH_DATA: Final[dict[str, Callable[[Path], Rows]]] = {"replay": contest.measure}
"""They read the data sets of `--data`, which are no part of the project."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join([*SECTIONS, *WITH_DATA])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {names}; default: all")
    parser.add_argument("--data", type=Path, help=f"folder of public data sets, for {', '.join(WITH_DATA)}")
    arguments = parser.parse_args()
    chosen = arguments.sections or [*SECTIONS, *WITH_DATA]
    if unknown := set(chosen) - set(SECTIONS) - set(WITH_DATA):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {names}")
    kept: Rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in chosen:
        if name in WITH_DATA and arguments.data is None:
            print(f"-- {name} is left out: it reads public data sets, see --data", file=sys.stderr, flush=True)
            continue
        print(f"-- {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="cloudbay-bench-") as folder:
            rows = WITH_DATA[name](arguments.data) if name in WITH_DATA else SECTIONS[name](Path(folder))
        kept |= rows
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        width = max(len(key) for key in rows)
        for key, row in rows.items():
            print(f"{key:<{width}}  {row['value']:>10}  {row['unit']:<6} {row.get('goal', '')}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
