"""The OpenAPI descriptions as files of the repository: `python -m serve.openapi` writes them, tests compare them.

What is in `released/` is what clients of the last release rely on: `python -m serve.openapi --release` puts it there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from serve.admin import application as admin
from serve.app import application as app
from serve.application import Description, assembled

FOLDER: Final = Path(__file__).parent.parent / "docs" / "api"
RELEASED: Final = FOLDER / "released"

APPLICATIONS: Final[Mapping[str, Description]] = {"admin": admin.DESCRIPTION, "app": app.DESCRIPTION}


def file_name(application: str) -> str:
    """Return the name of an application's file."""
    return f"openapi-{application}.json"


def text(application: str) -> str:
    """Return the description of an application as its file holds it."""
    return json.dumps(assembled(APPLICATIONS[application]).openapi(), indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m serve.openapi", description=__doc__)
    parser.add_argument("--release", action="store_true", help="also keep them as what clients rely on")
    folders = [FOLDER, RELEASED] if parser.parse_args(arguments).release else [FOLDER]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for application in APPLICATIONS:
            (folder / file_name(application)).write_text(text(application))
    return 0


if __name__ == "__main__":
    sys.exit(main())
