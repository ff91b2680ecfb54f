"""The import rules of .importlinter hold, and each of them can fail: a planted violation is seen and named."""

import configparser
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
RULES = PROJECT / ".importlinter"


def contracts() -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read(RULES)
    prefix = "importlinter:contract:"
    return {name.removeprefix(prefix): parser[name]["name"] for name in parser.sections() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what the rules speak of, so that violations can be planted."""
    folder = tmp_path_factory.mktemp("tree")
    parser = configparser.ConfigParser()
    parser.read(RULES)
    for package in parser["importlinter"]["root_packages"].split():
        shutil.copytree(PROJECT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(RULES, folder)
    return folder


def report(tree: Path) -> str:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert (" BROKEN" in done.stdout) == bool(done.returncode), done.stdout + done.stderr
    return done.stdout


def broken(tree: Path) -> set[str]:
    """Return the names of the broken contracts."""
    text = report(tree)
    return {name for name in contracts().values() if f"{name} BROKEN" in text}


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    assert broken(tree) == set()


VIOLATIONS = [
    ("layers", "actors/planted.py", "import simulator"),
    ("layers", "actors/planted.py", "import cluster.batch"),
    ("layers", "optimizer/planted.py", "import actors.domain"),
    ("layers", "cluster/planted.py", "import serve"),
    ("layers", "simulator/planted.py", "import cluster"),
    ("configs-leaf", "configs/planted.py", "import actors"),
    ("configs-readers", "actors/planted.py", "import configs.settings"),
    ("configs-readers", "simulator/planted.py", "from configs.settings import Settings"),
    ("simulator", "simulator/planted.py", "import actors.domain"),
    ("pure-actors", "actors/planted.py", "import asyncio"),
    ("pure-actors", "actors/ocpp/planted.py", "def now():\n    import time"),
    ("pure-optimizer", "optimizer/planted.py", "import os"),
    ("pure-optimizer", "optimizer/planted.py", "from time import monotonic"),
    ("simulator", "simulator/planted.py", "import optimizer.grid"),
    ("ray", "cluster/planted.py", "import ray"),
    ("ray", "optimizer/planted.py", "import ray"),
    ("ray", "serve/planted.py", "import ray.serve as rayserve"),
    ("sqlalchemy", "cluster/planted.py", "from sqlalchemy import text"),
]


@pytest.mark.parametrize(("contract", "path", "line"), VIOLATIONS)
def test_a_planted_violation_breaks_its_contract(tree: Path, contract: str, path: str, line: str) -> None:
    planted = tree / path
    planted.write_text(f"{line}\n")
    try:
        assert contracts()[contract] in broken(tree)
    finally:
        planted.unlink()


def test_what_the_rules_allow_is_allowed(tree: Path) -> None:
    allowed = {
        "cluster/store/planted.py": "import sqlalchemy",
        "cluster/planted.py": "import configs.settings, simulator, actors, optimizer",
        "actors/planted.py": "import optimizer.grid",
        "optimizer/planted.py": "import numpy, highspy, pulp",
        "simulator/planted.py": "import actors.ocpp, asyncio",
    }
    for path, line in allowed.items():
        (tree / path).write_text(f"{line}\n")
    try:
        assert "planted" not in report(tree)
    finally:
        for path in allowed:
            (tree / path).unlink()


def test_every_contract_has_a_planted_violation() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == set(contracts())


def test_an_installed_platform_has_every_package_of_the_tree() -> None:
    listed = set(tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    roots = {package.partition(".")[0] for package in listed}
    there = {
        ".".join(init.parent.relative_to(PROJECT).parts)
        for root in roots
        for init in (PROJECT / root).rglob("__init__.py")
    }
    assert listed == there
