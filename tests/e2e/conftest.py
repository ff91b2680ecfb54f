from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import Running, platform


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One platform for all end-to-end tests."""
    folder: Path = tmp_path_factory.mktemp("platform")
    with platform(folder) as started:
        yield started
