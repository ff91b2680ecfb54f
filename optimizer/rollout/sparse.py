"""A linear program that grows by blocks of columns, rows and entries, and is given to HiGHS as one matrix."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# No cost is below zero, so nothing is unbounded.
_OPTIMAL = (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kModelEmpty)
_INFEASIBLE = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible)


@dataclass(frozen=True, slots=True)
class Found:
    """What HiGHS says: `values` of the columns if there are any, and a `bound` that no solution goes below."""

    optimal: bool
    infeasible: bool
    values: Floats | None
    objective: float
    bound: float | None


class SparseModel:
    """Minimises costs of at least 0; every column is at least 0."""

    def __init__(self) -> None:
        self._costs: list[Floats] = []
        self._uppers: list[Floats] = []
        self._integers: list[NDArray[np.bool_]] = []
        self._row_bounds: list[tuple[Floats, Floats]] = []
        self._entries: list[tuple[Ints, Ints, Floats]] = []
        self._columns = self._rows = 0

    def columns(self, costs: Floats, upper: ArrayLike = np.inf, integer: ArrayLike = False) -> Ints:
        """Add columns and return their numbers."""
        self._costs.append(costs)
        self._uppers.append(np.broadcast_to(np.asarray(upper, dtype=np.float64), costs.shape))
        self._integers.append(np.broadcast_to(np.asarray(integer, dtype=bool), costs.shape))
        self._columns += len(costs)
        return np.arange(self._columns - len(costs), self._columns)

    def rows(self, lower: ArrayLike, upper: ArrayLike) -> Ints:
        """Add rows and return their numbers."""
        lower, upper = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        self._row_bounds.append((lower, upper))
        self._rows += len(lower)
        return np.arange(self._rows - len(lower), self._rows)

    def entries(self, rows: Ints, columns: Ints, values: ArrayLike = 1.0) -> None:
        """Set the coefficients of columns in rows, pair by pair."""
        self._entries.append((rows, columns, np.broadcast_to(np.asarray(values, dtype=np.float64), columns.shape)))

    def solve(self, time_limit_s: float, gap: float = 1e-6) -> Found:
        """Solve within a time; what was found without proof is not `optimal`."""
        highs = highspy.Highs()  # type: ignore[no-untyped-call]
        highs.setOptionValue("output_flag", False)
        highs.setOptionValue("time_limit", time_limit_s)
        highs.setOptionValue("mip_rel_gap", gap)
        highs.passModel(self._matrix())
        highs.run()
        status, info = highs.getModelStatus(), highs.getInfo()
        optimal = status in _OPTIMAL
        feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        values = np.array(highs.getSolution().col_value) if feasible else None
        objective = float(info.objective_function_value)
        bound = objective if optimal else None
        if any(each.any() for each in self._integers) and np.isfinite(info.mip_dual_bound):
            bound = float(info.mip_dual_bound)
        return Found(optimal, status in _INFEASIBLE, values, objective, bound)

    def _matrix(self) -> highspy.HighsLp:
        rows = np.concatenate([each[0] for each in self._entries])
        columns = np.concatenate([each[1] for each in self._entries])
        values = np.concatenate([each[2] for each in self._entries])
        order = np.argsort(columns, kind="stable")
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self._columns, self._rows
        lp.col_cost_ = np.concatenate(self._costs)
        lp.col_lower_ = np.zeros(self._columns)
        lp.col_upper_ = np.concatenate(self._uppers)
        lp.row_lower_ = np.concatenate([lower for lower, _ in self._row_bounds])
        lp.row_upper_ = np.concatenate([upper for _, upper in self._row_bounds])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.searchsorted(columns[order], np.arange(self._columns + 1))
        lp.a_matrix_.index_ = rows[order]
        lp.a_matrix_.value_ = values[order]
        integers = np.concatenate(self._integers)
        if integers.any():
            kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
            lp.integrality_ = [kinds[int(each)] for each in integers]
        return lp
