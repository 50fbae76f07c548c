"""Compiled gates against the same gates in torch, as a markdown table.

`python -m benchmarks.relaxations.kernels`

Milliseconds of processor time of a call, torch → compiled, the least of several that take turns; centres
U(−2, 2), widths U(0, 2).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measure import begin, print_table
from benchmarks.relaxations.polygons import random_cuts
from relaxations import GATES, Gate, Octagon, Planes, offsets, planes

COUNTS = {32: 40, 2000: 6}
"""Boxes, and how often they are timed."""


def milliseconds(asked: Callable[[Gate], object], forms: tuple[Gate, Gate], repeats: int) -> str:
    least = [float("inf")] * 2
    for _ in range(repeats):
        for i, form in enumerate(forms):
            start = time.process_time()
            asked(form)
            least[i] = min(least[i], time.process_time() - start)
    return f"{1e3 * least[0]:.2f} → {1e3 * least[1]:.2f}"


def row(gate: Gate, *, cut: bool) -> tuple[str, ...]:
    forms = dataclasses.replace(gate, compiled=None), gate
    cells = [f"{gate.name}, polygons" if cut else gate.name]
    for count, repeats in COUNTS.items():
        centre, width = torch.rand(2, gate.arity, count, dtype=torch.float64)
        lower, upper = 4 * centre - 2 - width, 4 * centre - 2 + width
        octagon = random_cuts(lower, upper) if cut else None

        def tight(form: Gate, l: Tensor = lower, u: Tensor = upper, d: Octagon | None = octagon) -> Planes:
            return planes(form, l, u, octagon=d)

        found = tight(gate)

        def bounded(
            form: Gate,
            p: Planes = found,
            l: Tensor = lower,
            u: Tensor = upper,
            d: Octagon | None = octagon,
        ) -> tuple[Tensor, Tensor]:
            return offsets(form, p.upper_slope, p.lower_slope, l, u, None, d)  # slopes that are not best

        cells += [milliseconds(asked, forms, repeats) for asked in (tight, bounded)]
    return tuple(cells)


def main() -> None:
    torch.manual_seed(0)
    begin("Compiled gates, ms: torch → compiled")
    asked = [(gate, False) for gate in GATES.values() if gate.compiled] + [(GATES["sigmoid_tanh"], True)]
    print_table(
        "gate | planes, 32 | offsets, 32 | planes, 2,000 | offsets, 2,000",
        (row(gate, cut=cut) for gate, cut in asked),
    )


if __name__ == "__main__":
    main()
