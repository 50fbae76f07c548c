"""Planes with biases and rounding folded in: what `pull` computes in floats, judged in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from relaxations import Planes
from relaxations.rounding import gamma
from verifier.propagation.sites import RelaxedGate, relax

OPERANDS, UNITS, ROWS = 2, 5, 40


def _excess(dtype: torch.dtype, seed: int, share: float) -> float:
    """By how much pulled rows exceed what the planes allow, at worst, relative to the margin's size; `share`
    of the margin is taken. Operands err by their `errors`, the gate by its own."""
    torch.manual_seed(seed)
    scale = 10.0 ** torch.randint(-3, 4, (UNITS,)).double()
    low, high = (torch.randn(OPERANDS, 1, UNITS).to(dtype) for _ in range(2))
    below, above = ((torch.randn(1, UNITS) * scale).to(dtype) for _ in range(2))
    biases = [(torch.randn(UNITS) * scale).to(dtype) for _ in range(OPERANDS)]
    p = (torch.randn(OPERANDS, 1, UNITS) * scale).to(dtype)  # the operands, biases left out
    magnitudes = [(q.abs() + b.abs()) * 1.001 for q, b in zip(p, biases, strict=True)]
    errors = [torch.rand(1, UNITS).to(dtype) * 1e-5 for _ in range(OPERANDS)]
    unit = torch.finfo(dtype).eps / 2
    gate_error = torch.full((1, UNITS), 1e-6, dtype=dtype)
    relaxed = relax(
        Planes(low, below, high, above),
        biases,
        magnitudes,
        [e * share for e in errors],
        gate_error * share,
        gamma(16 + UNITS, unit) * share,
    )
    A = torch.randn(1, ROWS, UNITS).to(dtype)
    coefficients, constant = relaxed.pull(A, A.abs(), torch.zeros(1, ROWS, 1, dtype=torch.float64))
    worst = -torch.inf
    for row in range(ROWS):
        found = _fraction(constant[0, row, 0])
        allowed, size = Fraction(0), Fraction(0)
        for n in range(UNITS):
            weight = _fraction(A[0, row, n])
            slopes, offset = (low, below) if weight >= 0 else (high, above)
            value = _fraction(offset[0, n])
            for k in range(OPERANDS):
                linear = _fraction(p[k, 0, n])
                found += _fraction(coefficients[k][0, row, n]) * linear
                slope, error = _fraction(slopes[k, 0, n]), _fraction(errors[k][0, n])
                away = -1 if weight * slope >= 0 else 1  # where the error hurts
                value += slope * (linear + _fraction(biases[k][n]) + away * error)
            allowed += weight * value - abs(weight) * _fraction(gate_error[0, n])
            size += abs(weight * value)
        worst = max(worst, float((found - allowed) / size))
    return worst


def _fraction(x: torch.Tensor) -> Fraction:
    return Fraction(x.item())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("seed", range(8))
def test_pulled_rows_stay_below_the_planes(dtype: torch.dtype, seed: int) -> None:
    assert _excess(dtype, seed, 1.0) <= 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_without_the_margin_they_do_not(dtype: torch.dtype) -> None:
    """The test above must be able to fail."""
    assert max(_excess(dtype, seed, 0.0) for seed in range(8)) > 0


def test_shapes_of_planes_of_a_batch() -> None:
    some = torch.rand(3, 4, UNITS)
    planes = Planes(some, some[0], some + 1, some[0] + 1)
    parts = [some[k] for k in range(3)]
    relaxed = relax(planes, [p[0] for p in parts], parts, parts, 0.0, 1e-6)
    assert isinstance(relaxed, RelaxedGate)
    assert [m.shape for m in (*relaxed.middle, *relaxed.minus_radius)] == [(4, 1, UNITS)] * 6
    assert relaxed.middle_offset.shape == relaxed.minus_radius_offset.shape == (4, UNITS, 1)
