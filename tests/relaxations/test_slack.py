"""Slack of gates between their planes: by points of the regions, which a wrong height leaves."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from plane_checks import CASES, boxes, inside_of
from test_polygon import cuts, for_every_pair, inner_points
from torch import Tensor

from relaxations import GATES, Gate, Planes, planes
from relaxations import slack as module
from relaxations.slack import Slack, slack

for_one_or_two = pytest.mark.parametrize(
    ("gate", "parameters"),
    [case for case in CASES if case.values[0].arity <= 2],  # type: ignore[union-attr]
)


def _least(
    gate: Gate, found: Planes, sides: tuple[Slack, Slack], points: Tensor, parameters: dict[str, Any]
) -> float:
    """The least of distance − height·(1 − w²) + loss at points [k, m, n], in units of what is added there."""
    value = gate.function(*points, **parameters)
    low = (found.lower_slope[:, None] * points).sum(0) + found.lower_offset
    high = (found.upper_slope[:, None] * points).sum(0) + found.upper_offset
    worst = float("inf")
    for apart, side in zip((value - low, high - value), sides, strict=True):
        w = (side.direction[:, None] * points).sum(0) + side.shift
        promised = side.height * (1 - w * w) - side.loss
        scale = side.height + 1e-9 * (value.abs() + low.abs() + high.abs()) + 1e-280
        worst = min(worst, float(((apart - promised) / scale).min()))
    return worst


@for_one_or_two
def test_gates_keep_their_distance_over_boxes(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    found = planes(gate, lower, upper, parameters)
    sides = slack(gate, found, lower, upper, parameters)
    assert sides is not None
    assert all(t.isfinite().all() for side in sides for t in dataclasses.astuple(side))
    share = torch.rand(gate.arity, 600, lower.shape[1], generator=torch.Generator().manual_seed(0))
    share[:, ::2] = (1.2 * share[:, ::2] - 0.1).clamp(0, 1)  # many on the sides
    assert _least(gate, found, sides, inside_of(lower, upper, share.double()), parameters) >= -1e-6


@for_every_pair
def test_gates_keep_their_distance_over_polygons(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    diagonals = cuts(lower, upper)
    found = planes(gate, lower, upper, parameters, diagonals=diagonals)
    sides = slack(gate, found, lower, upper, parameters, diagonals)
    assert sides is not None
    assert _least(gate, found, sides, inner_points(lower, upper, diagonals, 2000), parameters) >= -1e-6


def test_a_height_without_its_loss_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times the height that samples allow, and nothing lost."""
    gate = GATES["sigmoid_tanh"]
    lower, upper = boxes(gate, {})
    found = planes(gate, lower, upper)
    monkeypatch.setattr(module, "SHARE", 3.0)
    monkeypatch.setattr(module, "MOST", 10.0)
    sides = slack(gate, found, lower, upper)
    assert sides is not None
    points = inside_of(lower, upper, torch.rand(2, 600, lower.shape[1], dtype=torch.float64))
    assert _least(gate, found, sides, points, {}) >= -1e-6  # whatever the height, the loss covers it
    wrong = (dataclasses.replace(sides[0], loss=torch.zeros_like(sides[0].loss)), sides[1])
    assert _least(gate, found, wrong, points, {}) < -0.1


def test_what_a_product_wins() -> None:
    """xy over [−1, 1]² is above the plane −1 by 1 − (x − y)²/4 at least: all that there is in the middle."""
    gate, one = GATES["product"], torch.ones(2, 1, dtype=torch.float64)
    zero, flat = torch.zeros_like(one), torch.tensor([1.0], dtype=torch.float64)
    sides = slack(gate, Planes(zero, -flat, zero, flat), -one, one)
    assert sides is not None
    for side in sides:
        assert 0.95 < float(side.height) <= 1.0
        assert float(side.loss) < 0.02 * float(side.height)


def test_three_operands_and_points_have_none() -> None:
    blend = GATES["sigmoid_blend"]
    box = torch.zeros(3, 2), torch.ones(3, 2)
    assert slack(blend, planes(blend, *box), *box) is None
    product, point = GATES["product"], torch.ones(2, 3)
    sides = slack(product, planes(product, point, point), point, point)
    assert sides is not None
    assert not any(bool(side.height.any() or side.loss.any()) for side in sides)
