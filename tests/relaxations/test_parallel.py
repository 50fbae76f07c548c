"""Parallel planes: around the gate at points of the regions, and no farther apart than where they began."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from relaxations import GATES, Gate, offsets, planes
from relaxations.gate_box import GateBox
from relaxations.parallel import Parallel, parallel
from tests.support.plane_checks import boxes, for_every_gate, inside_of
from tests.support.polygons import cuts, for_every_pair, inner_points


def _outside(gate: Gate, found: Parallel, points: Tensor, parameters: dict[str, Any]) -> float:
    """By how much gates leave their planes at points [k, m, n], in units of what is added there."""
    value, linear = gate.function(*points, **parameters), (found.slope[:, None] * points).sum(0)
    size = 1e-280 + value.abs() + (found.slope[:, None] * points).abs().sum(0)
    rest = value - linear
    beyond = torch.maximum(found.lower_offset - rest, rest - found.upper_offset)
    return float((beyond / (size + found.lower_offset.abs() + found.upper_offset.abs())).max())


def _slope(gate: Gate, lower: Tensor, upper: Tensor, parameters: dict[str, Any], *cut: Any) -> Tensor:
    found = planes(gate, lower, upper, parameters, octagon=cut[0] if cut else None)
    return (found.lower_slope + found.upper_slope) / 2


@for_every_gate
def test_gates_stay_between_them_over_boxes(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    slope = _slope(gate, lower, upper, parameters)
    found = parallel(GateBox.of(gate, lower, upper, parameters), slope)
    share = torch.rand(gate.arity, 600, lower.shape[1], generator=torch.Generator().manual_seed(0))
    share[:, ::2] = (1.2 * share[:, ::2] - 0.1).clamp(0, 1)  # many on the sides
    assert _outside(gate, found, inside_of(lower, upper, share.double()), parameters) <= 1e-12
    low, high = offsets(gate, slope, slope, lower, upper, parameters)
    assert bool((found.upper_offset - found.lower_offset <= high - low).all())


@for_every_pair
def test_gates_stay_between_them_over_polygons(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    octagon = cuts(lower, upper)
    slope = _slope(gate, lower, upper, parameters, octagon)
    found = parallel(GateBox.of(gate, lower, upper, parameters, octagon), slope)
    assert _outside(gate, found, inner_points(lower, upper, octagon, 1000), parameters) <= 1e-12


def test_no_slope_of_a_grid_is_much_closer() -> None:
    gate = GATES["sigmoid_tanh"]
    lower, upper = boxes(gate, {})
    wide = (upper - lower).amin(0) > 1e-3
    lower, upper = lower[:, wide], upper[:, wide]
    slope = _slope(gate, lower, upper, {})
    found = parallel(GateBox.of(gate, lower, upper), slope)
    gap = found.upper_offset - found.lower_offset
    line = torch.linspace(-1, 1, 21, dtype=torch.float64)
    moves = torch.stack(torch.meshgrid(line, line, indexing="ij")).flatten(1).T
    least = gap
    for move in moves:
        tried = found.slope + gap * move[:, None] / (upper - lower)
        low, high = offsets(gate, tried, tried, lower, upper)
        least = torch.minimum(least, high - low)
    assert float((gap / least).mean()) <= 1.05
    assert float((gap / least).max()) <= 1.3
