"""Planes are as tight as claimed: against linear programs on dense grids, and planes of one
multivariate gate against those of several gates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from relaxations import GATES, Gate, Planes
from relaxations.bounding_planes import planes_over
from relaxations.gate_box import GateBox
from tests.support.plane_checks import for_every_gate


def random_boxes(gate: Gate, count: int, parameters: dict[str, Any]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    centre, share = torch.rand(2, gate.arity, count, generator=generator, dtype=torch.float64)
    centre, width = 8 * centre - 4, 6 * 10 ** (2 * share - 2)
    lower, upper = centre - width / 2, centre + width / 2
    if gate.inside is not None and not bool(gate.inside(lower, upper, **parameters).all()):
        shift = (0.1 - lower).clamp(min=0)
        lower, upper = lower + shift, upper + shift
    return lower, upper


def height(found: Planes, at: Tensor) -> tuple[Tensor, Tensor]:
    """Of the lower and the upper plane at points [k, n]."""
    low = (found.lower_slope * at).sum(0) + found.lower_offset
    return low, (found.upper_slope * at).sum(0) + found.upper_offset


@for_every_gate
def test_slopes_are_nearly_optimal(gate: Gate, parameters: dict[str, Any]) -> None:
    """The height at the centre of the box exceeds the least one by little of the volume, here the height
    above the gate's mean over the grid."""
    if gate.name in ("thresholded_relu", "is_zero"):
        pytest.skip("at a jump the grid's optimum is not the gate's")
    k = gate.arity
    lower, upper = random_boxes(gate, 6, parameters)
    centre = 0.5 * (lower + upper)
    low, high = height(planes_over(GateBox(gate, lower, upper, parameters), (0.0,) * k), centre)
    share = torch.linspace(-1, 1, {1: 201, 2: 21, 3: 11}[k], dtype=torch.float64)
    grid = torch.cartesian_prod(*[share] * k).reshape(-1, k)
    for i in range(lower.shape[1]):
        half = 0.5 * (upper[:, i] - lower[:, i])
        values = gate.function(*(centre[:, i] + half * grid).T, **parameters).numpy()
        rows = np.hstack([grid.numpy(), np.ones((len(grid), 1))])
        cost = [0.0] * k + [1.0]
        for sign, ours in ((1, high[i]), (-1, -low[i])):
            best = linprog(cost, A_ub=-rows, b_ub=-sign * values, bounds=(None, None), method="highs").fun
            volume = best - sign * values.mean()
            assert float(ours) - best <= 0.06 * volume + 1e-5 * np.ptp(values) + 1e-7


def test_trivariate_blend_is_narrower_than_two_planes() -> None:
    """On each of 200 random cells of 16 units: the GRU blend as one gate against σ(−z)·tanh(b) plus
    σ(z)·h."""
    cells, units = 200, 16
    generator = torch.Generator().manual_seed(0)
    centre, width = torch.rand(2, 3, cells, units, generator=generator, dtype=torch.float64)
    centre = torch.stack([4 * centre[0] - 2, 4 * centre[1] - 2, 1.6 * centre[2] - 0.8])
    width = width * torch.logspace(-2, 0.5, cells, dtype=torch.float64)[:, None]
    lower, upper = centre - width / 2, centre + width / 2
    lower[2], upper[2] = lower[2].clamp(-1, 1), upper[2].clamp(-1, 1)
    middle = 0.5 * (lower + upper)

    def gap(name: str, low: Tensor, high: Tensor, at: Tensor) -> Tensor:
        below, above = height(planes_over(GateBox(GATES[name], low, high, {}), (0.0,) * len(low)), at)
        return (above - below).mean(-1)

    together = gap("sigmoid_blend", lower, upper, middle)
    turned = [torch.stack([-x[0], y[1]]) for x, y in ((upper, lower), (lower, upper), (middle, middle))]
    second = [x[[0, 2]] for x in (lower, upper, middle)]
    separate = gap("sigmoid_tanh", *turned) + gap("sigmoid_product", *second)
    assert (together < separate).all()
    assert (together / separate).mean() < 0.98


def test_planes_are_close_where_they_are_wanted() -> None:
    """Towards the high corner an upper plane that is to be close there is lower, and at the centre higher."""
    gate = GATES["sigmoid_tanh"]
    lower, upper = random_boxes(gate, 200, {})
    plain, shifted = (planes_over(GateBox(gate, lower, upper, {}), (share, share)) for share in (0.0, 0.3))
    centre, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    slope = torch.stack([torch.tanh(centre[1]).sign(), torch.ones_like(centre[1])])  # where the gate rises
    corner = centre + 0.3 * half * slope
    assert height(shifted, corner)[1].mean() < height(plain, corner)[1].mean()
    assert height(shifted, centre)[1].mean() > height(plain, centre)[1].mean()
