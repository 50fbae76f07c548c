"""The compiled forms against the same steps in torch: of gates, and of the exchanges for all others.

That compiled planes are sound is tested with all others (`plane_checks.CASES` has both forms)."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from relaxations import GATES, Gate, bounding_planes, image, offsets, planes
from relaxations.bounding_planes import Planes, offset_over, planes_over
from relaxations.errors import InvalidBox
from relaxations.gate_box import GateBox
from relaxations.kernels import adapters
from relaxations.kernels.kernel import references
from relaxations.octagon import thick
from relaxations.slopes.simplex import EXCHANGE, exchange, start
from tests.support.plane_checks import boxes, built, for_every_gate, plain, worst_violation
from tests.support.polygons import cuts

FORMS = [gate for gate in GATES.values() if gate.compiled]
for_every_form = pytest.mark.parametrize("gate", FORMS, ids=[gate.name for gate in FORMS])


def heights(found: Planes, lower: Tensor, upper: Tensor) -> Tensor:
    """Of both planes at the centre of the boxes."""
    centre = 0.5 * (lower + upper)
    low = (found.lower_slope * centre).sum(0) + found.lower_offset
    return torch.stack([low, (found.upper_slope * centre).sum(0) + found.upper_offset])


def close(one: Planes, other: Planes, lower: Tensor, upper: Tensor) -> None:
    """Rounding differs, so ties may be broken otherwise: equal in 19 of 20 boxes, and in sum."""
    there, here = heights(one, lower, upper), heights(other, lower, upper)
    gap = (here[1] - here[0]) - (there[1] - there[0])
    scale = (there[1] - there[0]) + 1e-6
    assert (gap.abs() <= 1e-6 * scale).double().mean() > 0.95
    assert abs(float((gap / scale).mean())) < 1e-3


def ordinary(gate: Gate, parameters: dict[str, Any]) -> tuple[Tensor, Tensor]:
    lower, upper = boxes(gate, parameters, each=12)
    narrow = ((upper - lower) < 20).all(0) & (gate.magnitude(lower, upper, **parameters) < 1e6)
    return lower[:, narrow], upper[:, narrow]


def slopes_of(gate: Gate, lower: Tensor, upper: Tensor, seed: int) -> Tensor:
    """Of any size, and gradients at places of the boxes, nearly or exactly: then the maximum is inside."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    share = uniform(2, *lower.shape)
    size = 10 ** torch.where(share < 0.5, 10 * share - 1.5, 10 * share - 11)
    noise = torch.randn(2, *lower.shape, generator=generator, dtype=torch.float64)
    place = torch.lerp(lower, upper, uniform(*lower.shape)).requires_grad_()
    (gradient,) = torch.autograd.grad(gate.function(*place).sum(), place)
    touching = gradient * (1 + 0.1 * noise * uniform(2, *lower.shape) ** 4)
    return torch.where(uniform(lower.shape[1]) < 0.5, touching, size * noise)


def size_of(gate: Gate, slopes: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """What margins are in proportion to; below 1e-130 numbers are clamped."""
    ends = torch.maximum(lower.abs(), upper.abs())
    return gate.magnitude(lower, upper) + (slopes.abs().amax(0) * ends).sum(0) + 1e-130


@built
@for_every_form
@pytest.mark.parametrize("seed", range(4))
def test_offsets_are_those_of_torch(gate: Gate, seed: int) -> None:
    """Over boxes of every awkward kind; the places attain them."""
    lower, upper = boxes(gate, {}, seed=seed, each=60)
    slopes = slopes_of(gate, lower, upper, seed).requires_grad_()
    found = torch.stack(offsets(gate, slopes[0], slopes[1], lower, upper))
    expected = torch.stack(offsets(plain(gate), slopes[0], slopes[1], lower, upper))
    size = size_of(gate, slopes.detach(), lower, upper)
    assert ((found - expected).detach().abs() <= 2e-15 * size).all()
    (gradient,) = torch.autograd.grad(found.sum(), slopes)
    places = -gradient
    value = torch.stack(
        [gate.function(*at) - (slope * at).sum(0) for slope, at in zip(slopes, places, strict=True)]
    )
    reached = (found - value).detach().abs() / size
    assert (reached < 1e-12).double().mean() > 0.98  # chords and early stops attain less


@built
@pytest.mark.parametrize("seed", range(3))
def test_offsets_over_polygons_are_those_of_torch(seed: int) -> None:
    gate = GATES["sigmoid_tanh"]
    lower, upper = boxes(gate, {}, seed=seed, each=60)
    octagon = cuts(lower, upper, seed)
    slopes = slopes_of(gate, lower, upper, seed)
    found = torch.stack(offsets(gate, slopes[0], slopes[1], lower, upper, None, octagon))
    expected = torch.stack(offsets(plain(gate), slopes[0], slopes[1], lower, upper, None, octagon))
    gap = (found - expected).abs() / (1 + size_of(gate, slopes, lower, upper))
    assert gap.max() <= 1e-4  # the tolerance of the cells on slanted sides
    assert (gap <= 1e-14).double().mean() > 0.99


@built
def test_planes_over_polygons_are_those_of_torch() -> None:
    """But for boxes that are too thin to be cut, whose planes are those of the box."""
    gate = GATES["sigmoid_tanh"]
    lower, upper = boxes(gate, {}, each=40)
    keep = thick(lower, upper).all(0) & ((upper - lower) < 20).all(0)
    octagon = cuts(lower, upper, seed=2).map(lambda t: t[:, keep])
    lower, upper = lower[:, keep], upper[:, keep]
    found = planes(gate, lower, upper, octagon=octagon)
    close(found, planes(plain(gate), lower, upper, octagon=octagon), lower, upper)


@built
@for_every_form
def test_images_are_those_of_torch(gate: Gate) -> None:
    lower, upper = boxes(gate, {}, seed=1, each=60)
    found, expected = (torch.stack(image(g, lower, upper)) for g in (gate, plain(gate)))
    assert ((found - expected).abs() <= 1e-15 * gate.magnitude(lower, upper) + 1e-289).all()


@built
@for_every_form
@pytest.mark.parametrize("tangent", [None, "centre"])
def test_planes_are_those_of_torch(gate: Gate, tangent: str | None) -> None:
    lower, upper = ordinary(gate, {})
    target = None if tangent is None else (0.0,) * gate.arity
    found, other = (planes_over(GateBox(g, lower, upper, {}), target) for g in (gate, plain(gate)))
    close(found, other, lower, upper)


@built
@for_every_form
def test_an_answer_depends_on_its_own_box_alone(gate: Gate) -> None:
    lower, upper = boxes(gate, {}, each=4)
    together = dataclasses.astuple(planes(gate, lower, upper))
    for i in range(lower.shape[1]):
        alone = dataclasses.astuple(planes(gate, lower[:, i], upper[:, i]))
        assert all(torch.equal(a[..., i], b) for a, b in zip(together, alone, strict=True))


@built
@for_every_form
def test_shapes_and_types_of_all_kinds(gate: Gate) -> None:
    """Batches, many slopes for one box, parts of other tensors, single precision."""
    k = gate.arity
    lower = torch.randn(k, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    upper = lower + 1
    whole = planes(gate, lower, upper)
    turned = planes(gate, lower.mT.contiguous().mT, upper)
    assert all(map(torch.equal, dataclasses.astuple(whole), dataclasses.astuple(turned)))
    single = planes(gate, lower.float(), upper.float())
    assert single.lower_slope.dtype == single.upper_offset.dtype == torch.float32
    assert single.lower_slope.shape == lower.shape
    low, high = offsets(gate, single.lower_slope, single.upper_slope, lower.float(), upper.float())
    assert torch.equal(low, single.lower_offset)
    assert torch.equal(high, single.upper_offset)
    slopes = torch.randn(k, 7, 1, 1, dtype=torch.float64)
    low, high = offsets(gate, slopes, slopes, lower[:, None], upper[:, None])
    assert low.shape == (7, 5, 4)
    below = torch.rand(7, 5, 4) < 0.5
    many, l, u = (t.expand(k, 7, 5, 4) for t in (slopes, lower[:, None], upper[:, None]))
    assert torch.equal(offset_over(GateBox.of(gate, l, u, None), below, many), torch.where(below, low, high))


@built
@for_every_form
def test_slopes_without_an_offset_give_infinite_ones(gate: Gate) -> None:
    """Whatever they are, never NaN and never a number that is too small."""
    lower = torch.randn(gate.arity, 3, dtype=torch.float64)
    for strange in (torch.nan, torch.inf, -torch.inf, 1e308):
        slopes = torch.full_like(lower, strange)
        low, high = offsets(gate, slopes, slopes, lower - 40, lower + 40)
        assert (low == -torch.inf).all()
        assert (high == torch.inf).all()


@built
@for_every_form
def test_wrong_boxes_are_refused(gate: Gate) -> None:
    good = torch.zeros(gate.arity, 3, dtype=torch.float64)
    for strange in (torch.nan, -1.0, torch.inf):
        upper = good.clone()
        upper[-1, 1] = strange
        for ask in (
            lambda u: planes(gate, good, u),
            lambda u: offsets(gate, good, good, good, u),
            lambda u: image(gate, good, u),
        ):
            with pytest.raises(InvalidBox):
                ask(upper)


def _tighter(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Without the margin, and a little of the offset."""
    slopes, (below, above) = found[0], found[1]
    return slopes, torch.stack([below, above]) + 1e-9 * torch.tensor([[1.0], [-1.0]]).double()


def _turned(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """A slope of the other sign than the offset was made for."""
    return -found[0], found[1]


@built
@for_every_form
@pytest.mark.parametrize("broken", [_tighter, _turned])
def test_a_wrong_library_is_caught(
    gate: Gate, broken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lower, upper = boxes(gate, {})
    right = bounding_planes.PLANES
    monkeypatch.setattr(bounding_planes, "PLANES", lambda *given: broken(right(*given)))
    assert worst_violation(gate, planes(gate, lower, upper), lower, upper, {}) > 0


@built
def test_a_form_is_a_row_of_the_table() -> None:
    functions = bounding_planes.IMAGE.bound()
    assert functions
    for gate in FORMS:
        box = torch.zeros(gate.arity, 1, dtype=torch.float64)
        assert adapters.image(functions, GateBox(gate, box, box, {}))
        unknown = dataclasses.replace(gate, compiled="no such row")
        assert adapters.image(functions, GateBox(unknown, box, box, {})) is None


@for_every_gate
def test_planes_are_sound_without_the_library(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = boxes(gate, parameters, each=4)
    with references():
        found = planes(gate, lower, upper, parameters)
    assert worst_violation(gate, found, lower, upper, parameters, samples=40) <= 0


@built
@for_every_gate
def test_planes_are_as_tight_without_the_library(gate: Gate, parameters: dict[str, Any]) -> None:
    lower, upper = ordinary(gate, parameters)
    with_it = planes(gate, lower, upper, parameters)
    with references():
        close(with_it, planes(gate, lower, upper, parameters), lower, upper)


@built
@pytest.mark.parametrize("k", [1, 2, 3])
def test_both_reach_the_same_optimum(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    points = 2 * torch.rand(k, 50, 60, generator=generator, dtype=torch.float64) - 1
    values = torch.randn(50, 60, generator=generator, dtype=torch.float64)
    corner_values = torch.randn(k + 1, 50, generator=generator, dtype=torch.float64)
    target = torch.full((k, 1), 0.01, dtype=torch.float64)
    found = []
    for place in (contextlib.nullcontext, references):
        sets = [(points[..., :40].contiguous(), values[:, :40].contiguous())]
        sets.append((points[..., 40:].contiguous(), values[:, 40:].contiguous()))
        with place():
            basis = exchange(start(corner_values, target), sets, 60)
        height = basis.tableau[-1, -1]
        plane = (basis.slopes[..., None] * points).sum(0) + basis.tableau[-1, -2][:, None]
        assert (plane >= values - 1e-9).all()
        found.append(height)
    assert torch.allclose(found[0], found[1], rtol=0, atol=1e-9)


@built
def test_tensors_that_do_not_fit_are_left_to_torch() -> None:
    tableau, basic = torch.zeros(4, 4, 1, dtype=torch.float64), torch.zeros(2, 3, 1, dtype=torch.float64)
    points, values = torch.zeros(2, 1, 9, dtype=torch.float64), torch.zeros(1, 9, dtype=torch.float64)
    functions = EXCHANGE.bound()
    assert functions
    assert adapters.exchange(functions, tableau.float(), basic, [(points, values)], 1) is None
    assert adapters.exchange(functions, tableau, basic, [(points[..., ::2], values[:, ::2])], 1) is None
    wide = torch.zeros(2, 1, 600, dtype=torch.float64), torch.zeros(1, 600, dtype=torch.float64)
    assert adapters.exchange(functions, tableau, basic, [wide], 1) is None
    functions = bounding_planes.PLANES.bound()
    assert functions
    gate, half = GATES["tanh"], torch.zeros(1, 3, dtype=torch.float16)
    assert adapters.planes(functions, GateBox(gate, half, half, {}), (0.0,)) is None
    relu = GateBox(GATES["relu"], half.double(), half.double(), {})
    assert adapters.planes(functions, relu, (0.0,)) is None
    uneven = GateBox(gate, half.double(), half.double()[:, :2], {})
    assert adapters.planes(functions, uneven, (0.0,)) is None
