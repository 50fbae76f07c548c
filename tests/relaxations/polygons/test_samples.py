"""Samples of polygons lie in them, and overrate planes by little."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from relaxations import Gate, offsets
from relaxations.polygons.samples import polygon_samples
from tests.support.plane_checks import boxes
from tests.support.polygons import PAIRS, cuts


@pytest.mark.parametrize(("gate", "parameters"), PAIRS)
def test_samples_lie_in_the_polygon(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    octagon = cuts(lower, upper, seed=3)
    points = polygon_samples(gate, lower, upper, parameters, octagon).points
    assert bool(((points >= lower[:, None]) & (points <= upper[:, None])).all())
    u, v = (points - octagon.centre[:, None]) / octagon.half[:, None]
    near = 1e-6
    inside = (u + v >= octagon.sum_lower - near) & (u + v <= octagon.sum_upper + near)
    inside &= (u - v >= octagon.difference_lower - near) & (u - v <= octagon.difference_upper + near)
    wide = (upper - lower > 1e-6 * (1 + lower.abs())).all(0)
    assert bool(inside[:, wide].all())


@pytest.mark.parametrize(("gate", "parameters"), PAIRS)
def test_sampled_offsets_are_close_to_sound_ones(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    octagon = cuts(lower, upper, seed=3)
    samples = polygon_samples(gate, lower, upper, parameters, octagon)
    slope = torch.randn(lower.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    slope.requires_grad_()
    low, high = offsets(gate, slope, slope, lower, upper, parameters, octagon)
    below = torch.ones_like(lower[0], dtype=torch.bool)
    tried = samples.offset(below, slope), samples.offset(~below, slope)
    size = 1 + (slope.abs() * torch.maximum(lower.abs(), upper.abs())).sum(0)
    assert bool((tried[0] >= low - 1e-9 * size).all())  # a sound plane is nowhere closer,
    assert bool((tried[1] <= high + 1e-9 * size).all())
    reach = (high - low).clamp_min(1e-9 * size).detach()
    assert float(((tried[0] - low).detach() / reach).median()) < 0.1  # and mostly not much farther
    assert float(((high - tried[1]).detach() / reach).median()) < 0.1
    (gradient,) = torch.autograd.grad(tried[0].sum(), slope)
    assert bool(((-gradient >= lower) & (-gradient <= upper)).all())
