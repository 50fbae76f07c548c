"""Quadratic lower bounds of gaps: by points of the regions, which a wrong constant leaves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from relaxations import GATES, Gate, Planes, planes
from relaxations import quadratic_gap as module
from relaxations.gate_box import GateBox
from relaxations.quadratic_gap import QuadraticGap, quadratic_gap
from tests.support.plane_checks import boxes, for_every_gate, inside_of
from tests.support.polygons import cuts, for_every_pair, inner_points


def _least(gate: Gate, found: Planes, won: QuadraticGap, points: Tensor, parameters: dict[str, Any]) -> float:
    """The least of distance − constant + Σ curvature·p̂² at points [k, m, n], in units of what is added
    there."""
    value = gate.function(*points, **parameters)
    low = (found.lower_slope[:, None] * points).sum(0) + found.lower_offset
    high = (found.upper_slope[:, None] * points).sum(0) + found.upper_offset
    place = won.scale[:, None] * points + won.shift[:, None]
    worst = float("inf")
    for apart, constant, curvature in zip(
        (value - low, high - value), won.constant, won.curvature, strict=True
    ):
        promised = constant - (curvature[:, None] * place * place).sum(0)
        scale = constant + 1e-9 * (value.abs() + low.abs() + high.abs()) + 1e-280
        worst = min(worst, float(((apart - promised) / scale).min()))
    return worst


@for_every_gate
def test_gates_keep_their_distance_over_boxes(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    found = planes(gate, lower, upper, parameters)
    won = quadratic_gap(GateBox.of(gate, lower, upper, parameters), found)
    assert all(t.isfinite().all() for t in (won.scale, won.shift, won.constant, won.curvature))
    assert bool((won.constant >= 0).all())
    share = torch.rand(gate.arity, 600, lower.shape[1], generator=torch.Generator().manual_seed(0))
    share[:, ::2] = (1.2 * share[:, ::2] - 0.1).clamp(0, 1)  # many on the sides
    assert _least(gate, found, won, inside_of(lower, upper, share.double()), parameters) >= -1e-6


@for_every_pair
def test_gates_keep_their_distance_over_polygons(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    octagon = cuts(lower, upper)
    found = planes(gate, lower, upper, parameters, octagon=octagon)
    won = quadratic_gap(GateBox.of(gate, lower, upper, parameters, octagon), found)
    assert _least(gate, found, won, inner_points(lower, upper, octagon, 1000), parameters) >= -1e-6


def test_constants_that_only_samples_allow_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With few samples the curvature is wrong, which the constant makes good; half of the cells are not
    enough."""
    gate = GATES["sigmoid_tanh"]
    lower, upper = boxes(gate, {})
    found = planes(gate, lower, upper)
    monkeypatch.setattr(module, "SAMPLES", 9)
    points = inside_of(lower, upper, torch.rand(2, 600, lower.shape[1], dtype=torch.float64))
    assert _least(gate, found, quadratic_gap(GateBox.of(gate, lower, upper), found), points, {}) >= -1e-6
    cells = module._Frame.cells  # pyright: ignore[reportPrivateUsage]

    def some(frame: Any) -> Any:
        parts, there = cells(frame)
        there[1::2] = False
        return parts, there

    monkeypatch.setattr(module._Frame, "cells", some)  # pyright: ignore[reportPrivateUsage]
    assert _least(gate, found, quadratic_gap(GateBox.of(gate, lower, upper), found), points, {}) < -0.1


def test_what_a_product_wins() -> None:
    """xy over [−1, 1]² is above the plane −1 by 1 − x²/2 − y²/2 at least: all that there is in the middle."""
    gate, one = GATES["product"], torch.ones(2, 1, dtype=torch.float64)
    zero, flat = torch.zeros_like(one), torch.tensor([1.0], dtype=torch.float64)
    won = quadratic_gap(GateBox.of(gate, -one, one), Planes(zero, -flat, zero, flat))
    assert bool((won.constant > 0.93).all())
    assert bool((won.constant <= 1.0).all())
    assert bool(((won.curvature - 0.5).abs() < 0.1).all())


def test_points_have_none() -> None:
    product, point = GATES["product"], torch.ones(2, 3)
    won = quadratic_gap(GateBox.of(product, point, point), planes(product, point, point))
    assert not bool(won.constant.any() or won.curvature.any())
