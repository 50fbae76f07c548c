"""Soundness of planes, offsets and images, for every gate in the table."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from relaxations import GATES, Gate, Planes, image, offsets, planes
from relaxations.bounding_planes import offset_over
from relaxations.gate_box import GateBox
from tests.support.plane_checks import boxes, for_every_gate, inside_of, worst_violation


@for_every_gate
def test_planes_contain_the_gate(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    found = planes(gate, lower, upper, parameters)
    for side in dataclasses.astuple(found):
        assert side.isfinite().all()
    assert worst_violation(gate, found, lower, upper, parameters) <= 0


@for_every_gate
def test_any_slope_is_sound(gate: Gate, parameters: dict[str, Any]) -> None:
    """Slopes of every size up to thousands, and small ones, which move the maximum away from the corners."""
    lower, upper = boxes(gate, parameters)
    generator = torch.Generator().manual_seed(1)
    share = torch.rand(2, *lower.shape, generator=generator, dtype=torch.float64)
    size = 10 ** torch.where(share < 0.5, 10 * share - 1.5, 10 * share - 11)
    below, above = size * torch.randn(2, *lower.shape, generator=generator, dtype=torch.float64)
    low, high = offsets(gate, below, above, lower, upper, parameters)
    assert worst_violation(gate, Planes(below, low, above, high), lower, upper, parameters) <= 0


@for_every_gate
def test_points_are_met(gate: Gate, parameters: dict[str, Any]) -> None:
    """Over a point both planes give the gate's value, up to a margin in proportion to the numbers
    involved."""
    lower, _ = boxes(gate, parameters)
    found = planes(gate, lower, lower, parameters)
    value = gate.function(*lower, **parameters)
    low = (found.lower_slope * lower).sum(0) + found.lower_offset
    high = (found.upper_slope * lower).sum(0) + found.upper_offset
    scale = gate.magnitude(lower, lower, **parameters)
    scale = scale + ((found.lower_slope.abs() + found.upper_slope.abs()) * lower.abs()).sum(0)
    assert (high - value <= 1e-12 * scale + 1e-280).all()
    assert (value - low <= 1e-12 * scale + 1e-280).all()


@for_every_gate
def test_image_contains_the_gate(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    low, high = image(gate, lower, upper, parameters)
    share = torch.linspace(0, 1, 33, dtype=torch.float64)
    grid = torch.cartesian_prod(*[share[:: 1 if gate.arity == 1 else 4]] * gate.arity).reshape(-1, gate.arity)
    value = gate.function(*inside_of(lower, upper, grid.T[..., None]), **parameters)
    assert (low <= value).all()
    assert (value <= high).all()
    assert low.isfinite().all()
    assert high.isfinite().all()


@for_every_gate
def test_offsets_are_differentiable_in_the_slopes(gate: Gate, parameters: dict[str, Any]) -> None:
    """Against central differences, where the two one-sided differences agree (elsewhere there is a kink)."""
    lower, upper = boxes(gate, parameters, seed=3)
    wide = ((upper - lower).amin(0) > 1e-2) & ((upper - lower).amax(0) < 30)
    wide &= gate.magnitude(lower, upper, **parameters) < 1e6  # differences of larger offsets say nothing
    lower, upper = lower[:, wide], upper[:, wide]
    generator = torch.Generator().manual_seed(4)
    slopes = torch.randn(2, *lower.shape, generator=generator, dtype=torch.float64).requires_grad_()
    total = sum(o.sum() for o in offsets(gate, slopes[0], slopes[1], lower, upper, parameters))
    assert isinstance(total, torch.Tensor)
    (gradient,) = torch.autograd.grad(total, slopes)
    step = 1e-4
    centre = torch.stack(offsets(gate, slopes[0], slopes[1], lower, upper, parameters)).detach()
    for j in range(gate.arity):
        move = torch.zeros_like(lower)
        move[j] = step
        more, less = (
            torch.stack(offsets(gate, slopes[0] + d, slopes[1] + d, lower, upper, parameters)).detach()
            for d in (move, -move)
        )
        left, right = (centre - less) / step, (more - centre) / step
        smooth = (left - right).abs() < 1e-2
        assert smooth.double().mean() > 0.5
        assert torch.allclose(gradient[:, j][smooth], (0.5 * (left + right))[smooth], atol=2e-2, rtol=1e-3)


@for_every_gate
def test_single_precision_is_sound_too(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = (side.float() for side in boxes(gate, parameters))
    upper = torch.maximum(lower, upper)
    if gate.inside is not None:
        inside = gate.inside(lower, upper, **parameters)
        lower, upper = lower[:, inside], upper[:, inside]
    keep = gate.magnitude(lower.double(), upper.double(), **parameters) < 1e30
    lower, upper = lower[:, keep], upper[:, keep]
    found = planes(gate, lower, upper, parameters)
    assert found.upper_offset.dtype == torch.float32
    exact = Planes(*(side.double() for side in dataclasses.astuple(found)))
    assert worst_violation(gate, exact, lower.double(), upper.double(), parameters) <= 0


@for_every_gate
def test_a_wrong_plane_is_caught(gate: Gate, parameters: dict[str, Any]) -> None:
    """The search of these tests sees planes that are too tight by a little: the checker can fail."""
    lower, upper = boxes(gate, parameters)
    found = planes(gate, lower, upper, parameters)
    gap = 0.01 * (found.upper_offset - found.lower_offset).abs().clamp(max=1.0) + 1e-11
    for broken in (
        dataclasses.replace(found, upper_offset=found.upper_offset - gap),
        dataclasses.replace(found, lower_offset=found.lower_offset + gap),
    ):
        assert worst_violation(gate, broken, lower, upper, parameters, samples=20) > 0


@for_every_gate
def test_gradients_are_finite_everywhere(gate: Gate, parameters: dict[str, Any]) -> None:
    """Points, tiny, saturated and huge boxes too; and each is minus a place inside its box."""
    lower, upper = boxes(gate, parameters)
    found = planes(gate, lower, upper, parameters)
    slopes = torch.stack([found.lower_slope, found.upper_slope]).requires_grad_()
    total = torch.stack(offsets(gate, slopes[0], slopes[1], lower, upper, parameters)).sum()
    (gradient,) = torch.autograd.grad(total, slopes)
    assert (lower <= -gradient).all()
    assert (-gradient <= upper).all()


@for_every_gate
def test_no_boxes_give_no_planes(gate: Gate, parameters: dict[str, Any]) -> None:
    none = torch.zeros(gate.arity, 0, 3, dtype=torch.float64)
    found = planes(gate, none, none, parameters)
    assert found.lower_slope.shape == none.shape
    assert found.upper_offset.shape == none.shape[1:]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@for_every_gate
def test_cuda_is_sound_too(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters)
    there = planes(gate, lower.cuda(), upper.cuda(), parameters)
    here = Planes(*(side.cpu() for side in dataclasses.astuple(there)))
    assert worst_violation(gate, here, lower, upper, parameters) <= 0


@pytest.mark.slow
@for_every_gate
def test_a_long_search_finds_no_violation(gate: Gate, parameters: dict[str, Any]) -> None:
    """Of the order of 10⁷ points a gate: samples, and every step of the ascents."""
    for seed in range(8):
        lower, upper = boxes(gate, parameters, seed=10 + seed, each=96)
        found = planes(gate, lower, upper, parameters)
        assert worst_violation(gate, found, lower, upper, parameters, seed, samples=600) <= 0


def test_a_gate_with_a_wrong_support_is_caught() -> None:
    """A support that forgets the inside of the box, as a sample of the corners would."""
    gate = GATES["sigmoid_tanh"]
    ends = dataclasses.replace(gate, support=GATES["product"].support, compiled=None)
    lower, upper = boxes(gate, {})
    assert worst_violation(gate, planes(ends, lower, upper), lower, upper, {}) > 0


def test_many_slopes_share_one_box() -> None:
    """Slopes [k, *R] against boxes [k, *S]: the offsets broadcast."""
    lower, upper = torch.tensor([[-1.0], [-2.0]]).double(), torch.tensor([[2.0], [1.0]]).double()
    slopes = torch.randn(2, 5, 1, dtype=torch.float64)
    low, high = offsets("sigmoid_tanh", slopes, slopes, lower[:, None], upper[:, None])
    assert low.shape == high.shape == (5, 1)
    one = offsets("sigmoid_tanh", slopes[:, 3], slopes[:, 3], lower, upper)
    assert torch.allclose(torch.stack([low[3], high[3]]), torch.stack(one), rtol=0, atol=1e-12)


@for_every_gate
def test_one_side_is_the_same_as_that_side_of_both(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters, seed=9)
    generator = torch.Generator().manual_seed(10)
    slope = torch.randn(lower.shape, generator=generator, dtype=torch.float64).requires_grad_()
    below = torch.rand(lower.shape[1:], generator=generator) < 0.5
    low, high = offsets(gate, slope, slope, lower, upper, parameters)
    one, both = (
        offset_over(GateBox.of(gate, lower, upper, parameters), below, slope),
        torch.where(below, low, high),
    )
    assert torch.allclose(one, both, rtol=1e-12, atol=1e-300)
    gradients = [torch.autograd.grad(found.sum(), slope)[0] for found in (one, both)]
    assert torch.allclose(*gradients, rtol=1e-12, atol=1e-300)
