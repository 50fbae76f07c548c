"""The arithmetic limit: the matrix products of one pass, and nothing else."""

from __future__ import annotations

import torch

from benchmarks.engine.case import Case, cost
from benchmarks.measure import seconds, table


def lstm_products(case: Case) -> float:
    """Processor seconds of the products that bounding an LSTM costs at least, by full backward passes.

    For every time step t the rows of the four gates' operands (4·H, twice for both signs) and of the cell
    states (H, twice) are substituted through the t steps before: each time one product with the stacked
    [4·H, H + d] matrix of the cell.
    """
    H, dtype = case.hidden, getattr(torch, case.dtype)
    coefficients = torch.randn(case.batch * 10 * H, 4 * H, dtype=dtype)
    cell = torch.randn(4 * H, H + case.features, dtype=dtype)

    def run() -> None:
        for _ in range(case.length * (case.length - 1) // 2):
            torch.matmul(coefficients, cell)

    return seconds(run, 3).cpu


SIZES = ((32, 32), (64, 32), (64, 64), (128, 16))


def section() -> str:
    torch.set_num_threads(1)
    rows = []
    for hidden, length in SIZES:
        for dtype in ("float64", "float32"):
            case = Case(hidden=hidden, length=length, dtype=dtype)
            ours, bare = cost(case).cpu, lstm_products(case)
            rows.append((f"{hidden}", f"{length}", dtype, f"{ours:.2f}", f"{bare:.2f}", f"{ours / bare:.1f}"))
    return (
        "## Against the arithmetic limit\n\nLSTM, d = 8: processor seconds of the bounds and of their matrix "
        "products alone.\n\n" + table("H | T | arithmetic | bounds, s | products, s | ratio", rows)
    )
