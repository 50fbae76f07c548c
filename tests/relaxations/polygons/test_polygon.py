"""Planes over octagons, for every gate of two operands."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from relaxations import GATES, Gate, Octagon, Planes, image, offsets, planes
from relaxations.bounding_planes import offset_over, planes_over
from relaxations.errors import InvalidBox
from relaxations.gate_box import GateBox
from relaxations.polygons.polygon import centroid, edges, extent, outline, span
from relaxations.polygons.segments import TOLERANCE
from relaxations.polygons.strips import Problems, strips
from tests.support.plane_checks import boxes
from tests.support.polygons import cuts, for_every_pair, framed, inner_points


def worst(gate: Gate, found: Planes, points: Tensor, parameters: dict[str, Any]) -> float:
    value = gate.function(*points, **parameters)
    above = value - (found.upper_slope[:, None] * points).sum(0) - found.upper_offset
    below = (found.lower_slope[:, None] * points).sum(0) + found.lower_offset - value
    return float(torch.maximum(above, below).max())


@for_every_pair
def test_planes_contain_the_gate_over_polygons(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    octagon = cuts(lower, upper)
    found = planes(gate, lower, upper, parameters, octagon=octagon)
    assert all(side.isfinite().all() for side in dataclasses.astuple(found))
    assert worst(gate, found, inner_points(lower, upper, octagon, 2000), parameters) <= 0


@for_every_pair
def test_any_slope_is_sound_over_polygons_and_no_worse_than_over_boxes(
    gate: Gate, parameters: dict[str, Any]
) -> None:
    lower, upper = boxes(gate, parameters, seed=1)
    octagon = cuts(lower, upper, seed=1)
    generator = torch.Generator().manual_seed(2)
    size = 10 ** (4 * torch.rand(2, *lower.shape, generator=generator, dtype=torch.float64) - 2)
    below, above = size * torch.randn(2, *lower.shape, generator=generator, dtype=torch.float64)
    low, high = offsets(gate, below, above, lower, upper, parameters, octagon)
    points = inner_points(lower, upper, octagon, 2000)
    assert worst(gate, Planes(below, low, above, high), points, parameters) <= 0
    box_low, box_high = offsets(gate, below, above, lower, upper, parameters)
    least, greatest = image(gate, lower, upper, parameters)
    size = ((1 + below.abs() + above.abs()) * torch.maximum(lower.abs(), upper.abs())).sum(0)
    allowed = 2 * TOLERANCE * (greatest - least) + 1e-12 * (1 + size)
    assert (low >= box_low - allowed).all()
    assert (high <= box_high + allowed).all()


@pytest.mark.parametrize(
    ("name", "most"), [("product", 0.6), ("sigmoid_product", 0.8), ("sigmoid_tanh", 0.92)]
)
def test_octagons_make_planes_narrower(name: str, most: float) -> None:
    """The mean distance of the planes over the polygon, against that of the planes over the box."""
    gate = GATES[name]
    lower, upper = boxes(gate, {}, each=200)
    lower, upper = lower[:, :200], upper[:, :200]  # of ordinary widths
    octagon = cuts(lower, upper, seed=3, least=0.2)
    uncut = planes_over(GateBox(gate, lower, upper, {}), (0.0, 0.0))
    found = planes_over(GateBox(gate, lower, upper, {}, octagon), (0.0, 0.0))
    points = inner_points(lower, upper, octagon, 500)
    ours, theirs = (
        ((p.upper_slope - p.lower_slope)[:, None] * points).sum(0).mean(0) + p.upper_offset - p.lower_offset
        for p in (found, uncut)
    )
    assert (ours / theirs).mean() < most


@for_every_pair
def test_a_polygon_that_is_cut_too_far_is_caught(gate: Gate, parameters: dict[str, Any]) -> None:
    """The checker sees planes of smaller polygons than the points are from."""
    lower, upper = boxes(gate, parameters)
    octagon = cuts(lower, upper, seed=4)
    less = Octagon(octagon.centre, octagon.half, *(0.9 * side for side in octagon.sides()))
    found = planes(gate, lower, upper, parameters, octagon=less)
    assert worst(gate, found, inner_points(lower, upper, octagon, 2000), parameters) > 0


def test_strips_cover_the_polygon() -> None:
    gate = GATES["product"]
    lower, upper = boxes(gate, {})
    octagon = cuts(lower, upper, seed=5)
    cut = octagon.trimmed(lower, upper).pair(0)
    x, y = inner_points(lower, upper, octagon, 500)
    first, last = span(lower, upper, cut)
    assert ((first <= x) & (x <= last)).all()
    below, above = edges(cut)
    box = GateBox(GATES["product"], lower, upper, {})
    problem = Problems(box, torch.ones_like(first), torch.zeros_like(lower), cut)
    for k in range(7):
        left, right, bottom, top = strips(
            problem, torch.lerp(first, last, k / 7), torch.lerp(first, last, (k + 1) / 7)
        )
        here = (left <= x) & (x <= right)
        assert ((bottom[0] <= y) & (y <= top[1]))[here].all()
        # and the boxes between the edges lie in the polygon
        full = (bottom[1] <= top[0]) & (left <= right)
        for side in (left[None], right[None]):
            assert (below.at(side, cut.centre[0]).amax((0, 1)) <= bottom[1])[full].all()
            assert (above.at(side, cut.centre[0]).amin((0, 1)) >= top[0])[full].all()
            low, high = extent(side, lower, upper, cut)
            assert (low <= high + 1e-9 * (1 + high.abs()))[0, full].all()


def test_the_outline_goes_around_the_polygon() -> None:
    """Green's theorem along it: the area and the centroid of what the samples fill."""
    generator = torch.Generator().manual_seed(0)
    lower, upper = boxes(GATES["product"], {})
    lower, upper = lower[:, :12], upper[:, :12]  # of ordinary widths
    octagon = cuts(lower, upper, seed=5)
    cut = octagon.trimmed(lower, upper).pair(0)
    u, v = 2 * torch.rand(2, 200000, 1, generator=generator, dtype=torch.float64) - 1
    inside = (cut.sum_lower <= u + v) & (u + v <= cut.sum_upper)
    inside &= (cut.difference_lower <= u - v) & (u - v <= cut.difference_upper)
    share = torch.stack([u.expand_as(inside), v.expand_as(inside)])
    middle = torch.where(inside, share, 0.0).sum(1) / inside.sum(0)
    found = (centroid(lower, upper, cut) - cut.centre) / cut.half
    assert (found - middle).abs().max() < 0.02


def test_gradients_are_minus_a_place_of_the_box() -> None:
    gate = GATES["sigmoid_tanh"]
    lower, upper = boxes(gate, {})
    octagon = cuts(lower, upper, seed=6)
    slopes = torch.randn(2, *lower.shape, dtype=torch.float64).requires_grad_()
    total = torch.stack(offsets(gate, slopes[0], slopes[1], lower, upper, None, octagon)).sum()
    (gradient,) = torch.autograd.grad(total, slopes)
    assert (lower <= -gradient).all()
    assert (-gradient <= upper).all()


@for_every_pair
def test_one_side_alone_is_the_same(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    octagon = cuts(lower, upper, seed=7)
    slopes = torch.randn(lower.shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    low, high = offsets(gate, slopes, slopes, lower, upper, parameters, octagon)
    below = torch.arange(lower.shape[1]) % 2 == 0
    found = offset_over(GateBox.of(gate, lower, upper, parameters, octagon), below, slopes)
    torch.testing.assert_close(found, torch.where(below, low, high), rtol=1e-9, atol=1e-12)


@for_every_pair
def test_parts_of_a_box_keep_its_frame(gate: Gate, parameters: dict[str, Any]) -> None:
    """An octagon holds for every part of its box: of one half, no point of the polygon is lost."""
    whole = boxes(gate, parameters, seed=2)
    octagon = cuts(*whole, seed=9)
    points = inner_points(*whole, octagon, 2000)
    middle = 0.5 * (whole[0] + whole[1])
    for k in range(2):
        lower, upper = (side.clone() for side in whole)
        lower[k], upper[1 - k] = middle[k], middle[1 - k]
        found = planes(gate, lower, upper, parameters, octagon=octagon)
        slopes = torch.randn(2, *lower.shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
        low, high = offsets(gate, slopes[0], slopes[1], lower, upper, parameters, octagon)
        inside = ((points >= lower[:, None]) & (points <= upper[:, None])).all(0)
        points_here = torch.where(inside, points, torch.nan)
        for some in (found, Planes(slopes[0], low, slopes[1], high)):
            value = gate.function(*points_here, **parameters)
            above = value - (some.upper_slope[:, None] * points_here).sum(0) - some.upper_offset
            below = (some.lower_slope[:, None] * points_here).sum(0) + some.lower_offset - value
            assert not (torch.maximum(above, below) > 0).any()
        assert inside.any()


@pytest.mark.parametrize("name", ["sigmoid_tanh", "sigmoid_relu", "hard_sigmoid_tanh", "product"])
def test_bounds_are_reached(name: str) -> None:
    """Slopes that touch the gate inside the polygon, polygons that need not hold the centre: the greatest
    value found at 2,000 points is below the bound, and close to it."""
    gate = GATES[name]
    parameters = gate.example[0]
    generator = torch.Generator().manual_seed(11)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    count = 300
    centre, half = 6 * uniform(2, count) - 3, 3 * 10 ** (-1.5 * uniform(2, count))
    lower, upper = centre - half, centre + half
    middle, width = 2 * uniform(2, 1, count) - 1, 0.1 + uniform(2, 1, count)
    ends = (middle[0] - width[0], middle[0] + width[0], middle[1] - width[1], middle[1] + width[1])
    octagon = framed(lower, upper, *ends)
    rim = outline(lower, upper, octagon.trimmed(lower, upper).pair(0), 40).movedim(2, 1)
    first, second = torch.randint(rim.shape[1], (2, 2000), generator=generator)
    points = torch.cat([rim, torch.lerp(rim[:, first], rim[:, second], uniform(2000, 1))], 1)
    touch = points[:, -1].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(gate.function(*touch, **parameters).sum(), touch)
    slopes = gradient + 0.02 * torch.randn(2, count, generator=generator, dtype=torch.float64)
    low, high = offsets(gate, slopes, slopes, lower, upper, parameters, octagon)
    rest = gate.function(*points, **parameters) - (slopes[:, None] * points).sum(0)
    least, greatest = image(gate, lower, upper, parameters)
    for excess in (high - rest.amax(0), rest.amin(0) - low):
        assert (excess >= -1e-7).all()  # the outline is rounded, and may stick out
        share = (excess / (greatest - least))[greatest - least > 1e-3]
        assert share.mean() < 0.002
        assert share.quantile(0.95) < 0.01


def test_octagons_that_do_not_fit_are_refused() -> None:
    low, high = torch.zeros(2, 3).double(), torch.ones(2, 3).double()
    side = torch.zeros(1, 3).double()
    with pytest.raises(InvalidBox, match="gates of two"):
        planes("tanh", low[:1], high[:1], octagon=framed(low[:1], high[:1], *[side[:0]] * 4))
    with pytest.raises(InvalidBox, match="half-widths of that shape"):
        planes("product", low, high, octagon=framed(low, high, side[:, :2], side, side, side))
