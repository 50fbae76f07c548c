"""Intervals of affine forms contain their values in exact arithmetic; intersections of intervals."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from verifier.network.affine import AffineForm
from verifier.network.linear_maps import Dense, Diagonal, LinearMap
from verifier.network.rounding import RoundingModel
from verifier.propagation.interval import Interval, interval_of

SIZE = 6


def _form(terms: dict[str, LinearMap], bias: torch.Tensor) -> AffineForm:
    dense = {name: part for name, part in terms.items() if isinstance(part, Dense)}
    light = {name: part for name, part in terms.items() if name not in dense}
    has_bias = bool(bias.any())
    return AffineForm(0, "p", SIZE, terms, bias, bias.abs(), SIZE + 2, has_bias, False, dense, light)


def _interval(lower: torch.Tensor, upper: torch.Tensor) -> Interval:
    return Interval(torch.minimum(lower, upper), torch.maximum(lower, upper), torch.zeros_like(lower))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("seed", range(6))
def test_every_corner_lies_inside(dtype: torch.dtype, seed: int) -> None:
    torch.manual_seed(seed)
    table, entries = torch.randn(SIZE, SIZE).to(dtype), torch.randn(SIZE).to(dtype)
    maps: dict[str, LinearMap] = {"h": Dense(table, table.abs()), "c": Diagonal(entries)}
    form = _form(maps, torch.randn(SIZE).to(dtype) * 100 * (seed % 2))
    variables = {name: _interval(*torch.randn(2, 2, SIZE).to(dtype)) for name in maps}
    found, magnitude = interval_of(form, variables, RoundingModel(dtype, deployed=False), SIZE, 2)
    for b in range(2):
        for n in range(SIZE):
            low = high = size = Fraction(float(form.bias[n]))
            size = abs(size)
            for name, part in maps.items():
                ends = [variables[name].lower[b], variables[name].upper[b]]
                for j, weight in enumerate(part.rows()[n].tolist()):
                    products = [Fraction(weight) * Fraction(float(end[j])) for end in ends]
                    low, high = low + min(products), high + max(products)
                    size += max(abs(product) for product in products)
            assert Fraction(float(found.lower[b, n])) <= low
            assert Fraction(float(found.upper[b, n])) >= high
            assert float(found.upper[b, n]) - float(high) < 1e-4 * float(size)
            assert float(magnitude[b, n]) == pytest.approx(float(size), rel=1e-4)


def test_a_form_of_constants_alone() -> None:
    bias = torch.arange(float(SIZE))
    found, magnitude = interval_of(_form({}, bias), {}, RoundingModel(torch.float32, deployed=False), SIZE, 3)
    assert found.lower.shape == magnitude.shape == (3, SIZE)
    assert bool(((found.lower <= bias) & (bias <= found.upper)).all())


def test_intersections() -> None:
    held = Interval(torch.zeros(3, 2), torch.ones(3, 2), torch.zeros(3, 2))
    lower = torch.tensor([[0.25, -1.0], [0.5, 1 + 1e-9], [0.0, 3.0]], dtype=torch.float64)
    common, empty = held.intersect(lower, torch.full_like(lower, 0.75).maximum(lower), tight=True)
    assert empty.tolist() == [False, False, True]
    assert common.tight
    assert common.lower[0].tolist() == [0.25, 0.0]
    assert common.upper[0].tolist() == [0.75, 0.75]
    assert common.lower[1, 1] == 1.0  # a hair: the hull of the crossing
    assert common.upper[1, 1] == lower[1, 1]
    within, empty = held.intersect(lower[:1], lower[:1] + 1.5, tight=False)
    assert not bool(empty.any())
    assert bool((within.lower <= within.upper).all())
