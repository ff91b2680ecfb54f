"""What the optimizer raises. It stands below the tree of the platform's errors; who calls it translates."""

from __future__ import annotations


class InvalidProblem(ValueError):
    """The problem cannot be meant: it contradicts itself, or its parts do not fit together."""


class SolverFailed(RuntimeError):
    """A solver gave no proven answer; the message says how it ended."""
