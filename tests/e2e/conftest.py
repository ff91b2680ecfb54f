from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import platform
from tests.e2e.running import Running
from tests.faults.stations import KEYS


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One platform for all end-to-end tests but those that stop it."""
    folder: Path = tmp_path_factory.mktemp("platform")
    with platform(folder, **KEYS) as started:
        yield Running(started)
