"""The guard of tests/conftest.py sees what a pure test must not do."""

import importlib
import os
import socket
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ImpureTestError


@pytest.fixture(scope="module", autouse=True)
def loaded_ray() -> Iterator[types.ModuleType]:
    """Stand for a Ray that an earlier test of the session has imported."""
    ray = types.ModuleType("ray")
    ray.init = lambda: "started"  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ray", ray)
        yield ray


@pytest.mark.pure
@pytest.mark.parametrize("mode", ["w", "a", "x", "r+", "wb"])
def test_a_pure_test_may_not_open_a_file_for_writing(mode: str) -> None:
    with pytest.raises(ImpureTestError, match="may not write files"):
        Path("planted").open(mode).close()
    assert not Path("planted").exists()


@pytest.mark.pure
def test_a_pure_test_may_not_write_by_any_other_way() -> None:
    with pytest.raises(ImpureTestError, match="may not write files"):
        Path("planted").write_text("x")
    with pytest.raises(ImpureTestError, match="may not write files"):
        os.open("planted", os.O_CREAT | os.O_WRONLY)


@pytest.mark.pure
def test_a_pure_test_may_read_files() -> None:
    assert Path(__file__).read_text()


@pytest.mark.pure
def test_a_pure_test_may_not_use_sockets() -> None:
    with pytest.raises(ImpureTestError, match="may not use sockets"):
        socket.socket()
    with pytest.raises(ImpureTestError, match="may not use sockets"):
        socket.create_connection(("127.0.0.1", 9))


@pytest.mark.pure
def test_a_pure_test_may_not_start_a_ray_that_is_there(loaded_ray: types.ModuleType) -> None:
    with pytest.raises(ImpureTestError, match="may not start Ray"):
        loaded_ray.init()


@pytest.mark.pure
def test_a_pure_test_may_not_import_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(ImpureTestError, match="may not import ray"):
        importlib.import_module("ray")


def test_other_tests_may_do_all_of_it(tmp_path: Path, loaded_ray: types.ModuleType) -> None:
    (tmp_path / "file").write_text("x")
    socket.socket().close()
    assert loaded_ray.init() == "started"
