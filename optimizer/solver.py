"""HiGHS on arrays: a linear program that is changed and solved again, warm, and never half solved.

Beside `optimizer.formulation` and `optimizer.site_formulation`, which say the same in PuLP: at the size of a site
most of PuLP's time is building, translating and reading back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import highspy
import numpy as np
from numpy.typing import NDArray

from optimizer.errors import SolverFailed
from optimizer.grid import Floats

Integers = NDArray[np.int32]

INFINITE: Final = float("inf")
_LEAST_GAP: Final = 1e-6
_COLUMN_WISE, _MINIMIZE = 1, 1


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that belong together: their entries and bounds."""

    row: NDArray[np.int64]
    """Of each entry, counted from the first row of the block."""
    column: NDArray[np.int64]
    value: Floats
    lower: Floats
    upper: Floats


class Program:
    """Minimises one cost after the other over the same columns and rows."""

    def __init__(self, lower: Floats, upper: Floats, blocks: list[Block], time_limit_s: float) -> None:
        self.columns = len(lower)
        self._time_limit_s = time_limit_s
        self._highs = highspy.Highs()  # type: ignore[no-untyped-call]
        for option, value in (("output_flag", False), ("threads", 1)):
            self._highs.setOptionValue(option, value)
        firsts = np.cumsum([0, *(len(block.lower) for block in blocks)])
        row = np.concatenate([block.row + first for block, first in zip(blocks, firsts[:-1], strict=True)])
        column = np.concatenate([block.column for block in blocks])
        order = np.argsort(column, kind="stable")
        starts = np.searchsorted(column[order], np.arange(self.columns + 1))
        self._pass(
            lower,
            upper,
            np.concatenate([block.lower for block in blocks]),
            np.concatenate([block.upper for block in blocks]),
            starts.astype(np.int32),
            row[order].astype(np.int32),
            np.concatenate([block.value for block in blocks])[order],
        )

    @property
    def seconds(self) -> float:
        """How long the solver has run."""
        return float(self._highs.getRunTime())

    @property
    def bound(self) -> float:
        """What no solution of the last integer run can be below."""
        return float(self._highs.getInfo().mip_dual_bound)

    def minimise(self, cost: Floats) -> Floats:
        """Return the columns at the least cost.

        Raises Infeasible where there are none, and SolverFailed when the optimum is not proven in time.
        """
        self._highs.changeColsCost(self.columns, np.arange(self.columns, dtype=np.int32), cost)
        self._highs.setOptionValue("time_limit", self._time_limit_s)
        self._highs.run()
        status = self._highs.getModelStatus()
        if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
            raise Infeasible("no plan keeps all limits and serves as asked")
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverFailed(f"the solver ended with {self._highs.modelStatusToString(status)}")
        return np.array(self._highs.getSolution().col_value)

    def row_duals(self) -> Floats:
        """Return what a unit of each row's bound is worth."""
        return np.array(self._highs.getSolution().row_dual)

    def bound_columns(self, columns: NDArray[np.int64], lower: Floats, upper: Floats) -> None:
        """Change what columns may be."""
        self._highs.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)

    def bound_row(self, row: int, lower: float, upper: float) -> None:
        """Change what a row may be."""
        self._highs.changeRowBounds(row, lower, upper)

    def add_row(self, columns: NDArray[np.int64], values: Floats, lower: float, upper: float) -> int:
        """Add a row and return its number."""
        self._highs.addRow(lower, upper, len(columns), columns.astype(np.int32), values)
        return int(self._highs.getNumRow()) - 1

    def make_binary(self, columns: NDArray[np.int64], gap: float) -> None:
        """Let columns be whole numbers only, and stop when the cost is within the gap of its bound."""
        kinds = np.ones(len(columns), dtype=np.uint8)
        self._highs.changeColsIntegrality(len(columns), columns.astype(np.int32), kinds)
        self._highs.setOptionValue("mip_rel_gap", 0.0)
        self._highs.setOptionValue("mip_abs_gap", max(gap, _LEAST_GAP))

    def make_continuous(self, columns: NDArray[np.int64]) -> None:
        """Let columns be any number again."""
        self._highs.changeColsIntegrality(
            len(columns), columns.astype(np.int32), np.zeros(len(columns), dtype=np.uint8)
        )

    def _pass(
        self, lower: Floats, upper: Floats, row_lower: Floats, row_upper: Floats, starts: Integers, index: Integers,
        value: Floats,
    ) -> None:  # fmt: skip
        self._highs.passModel(
            self.columns, len(row_lower), len(value), _COLUMN_WISE, _MINIMIZE, 0.0,
            np.zeros(self.columns), lower, upper, row_lower, row_upper, starts, index, value,
            np.zeros(self.columns, dtype=np.int32),
        )  # fmt: skip


class Infeasible(SolverFailed):
    """No solution exists, and that is proven."""
