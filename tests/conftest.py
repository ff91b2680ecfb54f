"""Keeps pure tests pure: those under tests/actors and tests/optimizer, and others marked `pure`.

They may not start Ray, open sockets or write files.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

PURE_FOLDERS = ("actors", "optimizer")
WRITING = set("wax+")
TOLERATED = ("__pycache__", ".hypothesis", "/dev/null")  # Python's and hypothesis' own caches

# Everywhere else examples are new at each run; CI judges a change, not its luck.
settings.register_profile("cloudbay", deadline=None, database=None, derandomize="CI" in os.environ)
settings.load_profile("cloudbay")


class ImpureTestError(AssertionError):
    """A pure test touched Ray, a socket or a disk."""


class _Guard:
    """Watches Python's audit events while a pure test runs; an audit hook sees every way to open a file or a socket."""

    active = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.active:
            return
        if event.startswith("socket."):
            raise ImpureTestError(f"a pure test may not use sockets ({event})")
        if event == "import" and str(arguments[0]).partition(".")[0] == "ray":
            raise ImpureTestError("a pure test may not import ray")
        if event == "open":
            path, mode, flags = arguments
            writes = (
                bool(WRITING & set(mode))
                if isinstance(mode, str)
                else bool(int(str(flags or 0)) & (os.O_WRONLY | os.O_RDWR))
            )
            if writes and not any(part in str(path) for part in TOLERATED):
                raise ImpureTestError(f"a pure test may not write files ({path!r})")


_guard = _Guard()
sys.addaudithook(_guard)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the pure folders."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in PURE_FOLDERS:
            item.add_marker(pytest.mark.pure)


@pytest.fixture(autouse=True)
def keep_pure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Guard the test when it is marked pure."""
    if request.node.get_closest_marker("pure") is None:
        yield
        return
    if "ray" in sys.modules:
        monkeypatch.setattr("ray.init", _no_ray)
    _guard.active = True
    try:
        yield
    finally:
        _guard.active = False


def _no_ray(*_: object, **__: object) -> None:
    raise ImpureTestError("a pure test may not start Ray")
