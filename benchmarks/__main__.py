"""`make bench`: measures, prints ratios, and writes benchmarks/results.json."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import audit, commands, crowd, optimizer, planners, rollout, throughput, upheaval
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
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all")
    chosen = parser.parse_args().sections or list(SECTIONS)
    if unknown := set(chosen) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    kept: Rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in chosen:
        print(f"-- {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="cloudbay-bench-") as folder:
            rows = SECTIONS[name](Path(folder))
        kept |= rows
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        width = max(len(key) for key in rows)
        for key, row in rows.items():
            print(f"{key:<{width}}  {row['value']:>10}  {row['unit']:<6} {row.get('goal', '')}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
