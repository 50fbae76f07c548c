"""The compiled exchanges against the same steps in torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plane_checks import boxes, for_every_gate, worst_violation

from relaxations import Gate, compiled, planes
from relaxations.bounds import Planes
from relaxations.simplex import exchange, start

built = pytest.mark.skipif(compiled.FUNCTION is None, reason="no compiled library: it needs a C compiler")


def heights(found: Planes, lower: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """Of both planes at the centre of the boxes."""
    centre = 0.5 * (lower + upper)
    low = (found.lower_slope * centre).sum(0) + found.lower_offset
    return torch.stack([low, (found.upper_slope * centre).sum(0) + found.upper_offset])


@for_every_gate
def test_planes_are_sound_without_the_library(
    gate: Gate, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "FUNCTION", None)
    lower, upper = boxes(gate, parameters, each=4)
    found = planes(gate, lower, upper, parameters)
    assert worst_violation(gate, found, lower, upper, parameters, samples=40) <= 0


@built
@for_every_gate
def test_planes_are_as_tight_without_the_library(
    gate: Gate, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounding differs, so ties may be broken otherwise: equal in 19 of 20 boxes, and in sum."""
    lower, upper = boxes(gate, parameters, each=12)
    narrow = ((upper - lower) < 20).all(0) & (gate.magnitude(lower, upper, **parameters) < 1e6)
    lower, upper = lower[:, narrow], upper[:, narrow]
    there = heights(planes(gate, lower, upper, parameters), lower, upper)
    monkeypatch.setattr(compiled, "FUNCTION", None)
    here = heights(planes(gate, lower, upper, parameters), lower, upper)
    gap = (here[1] - here[0]) - (there[1] - there[0])
    scale = (there[1] - there[0]) + 1e-6
    assert (gap.abs() <= 1e-6 * scale).double().mean() > 0.95
    assert abs(float((gap / scale).mean())) < 1e-3


@built
@pytest.mark.parametrize("k", [1, 2, 3])
def test_both_reach_the_same_optimum(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(k)
    points = 2 * torch.rand(k, 50, 60, generator=generator, dtype=torch.float64) - 1
    values = torch.randn(50, 60, generator=generator, dtype=torch.float64)
    corner_values = torch.randn(k + 1, 50, generator=generator, dtype=torch.float64)
    target = torch.full((k, 1), 0.01, dtype=torch.float64)
    found = []
    for function in (compiled.FUNCTION, None):
        monkeypatch.setattr(compiled, "FUNCTION", function)
        sets = [(points[..., :40].contiguous(), values[:, :40].contiguous())]
        sets.append((points[..., 40:].contiguous(), values[:, 40:].contiguous()))
        basis = exchange(start(corner_values, target), sets, 60)
        height = basis.tableau[-1, -1]
        plane = (basis.slopes[..., None] * points).sum(0) + basis.tableau[-1, -2][:, None]
        assert (plane >= values - 1e-9).all()
        found.append(height)
    assert torch.allclose(found[0], found[1], rtol=0, atol=1e-9)


def test_tensors_that_do_not_fit_are_left_to_torch() -> None:
    tableau, basic = torch.zeros(4, 4, 1, dtype=torch.float64), torch.zeros(2, 3, 1, dtype=torch.float64)
    points, values = torch.zeros(2, 1, 9, dtype=torch.float64), torch.zeros(1, 9, dtype=torch.float64)
    assert not compiled.exchange(tableau.float(), basic, [(points, values)], 1)
    assert not compiled.exchange(tableau, basic, [(points[..., ::2], values[:, ::2])], 1)
    wide = torch.zeros(2, 1, 600, dtype=torch.float64), torch.zeros(1, 600, dtype=torch.float64)
    assert not compiled.exchange(tableau, basic, [wide], 1)
