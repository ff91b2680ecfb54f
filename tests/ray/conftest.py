"""Tests that start a real cluster: slow, and few."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark of these tests known."""
    config.addinivalue_line("markers", "cluster: starts a real Ray cluster; takes half a minute")
