"""sqrt, reciprocal and pow with a constant exponent.

(xⁿ)' = n·xⁿ⁻¹ is q at x = (q/n)^(1/(n−1)).  For x > 0 the sign of n(n − 1) is the curvature; for x < 0 only
integer exponents are defined, and |x|ⁿ is mirrored: even keeps the curvature, odd turns it round.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relaxations.curves.curve import gate_of
from relaxations.curves.pieces import Piece, piecewise
from relaxations.gate import WITHIN_4_ULP, always, register
from relaxations.gates.relu import identity

LEAST = 1e-150


def power(x: Tensor, exponent: float) -> Tensor:
    return torch.pow(x, exponent)


def pieces(exponent: float) -> tuple[Piece, ...]:
    n = exponent
    if n == 0:
        return (Piece(-math.inf, math.inf, 0, torch.ones_like),)
    if n == 1:
        return (Piece(-math.inf, math.inf, 0, identity),)

    def curved(x: Tensor) -> Tensor:
        return torch.pow(x, n)

    def derivative(x: Tensor) -> Tensor:
        return n * torch.pow(x.abs().clamp(min=LEAST), n - 1)

    def inverse(q: Tensor) -> Tensor:
        return torch.pow((q / n).clamp(min=0.0).abs(), 1 / (n - 1))

    right = Piece(0.0, math.inf, n * (n - 1), curved, derivative, inverse)
    if not float(n).is_integer():
        return (right,)
    even = n % 2 == 0  # the derivative is then odd, and else even
    left = Piece(
        -math.inf,
        0.0,
        n * (n - 1) * (1 if even else -1),
        curved,
        (lambda x: -derivative(x)) if even else derivative,
        (lambda q: -inverse(-q)) if even else (lambda q: -inverse(q)),
    )
    return left, right


def inside(lower: Tensor, upper: Tensor, exponent: float) -> Tensor:
    """Integer exponents everywhere, but 0 where negative; others right of 0."""
    if float(exponent).is_integer():
        return torch.ones_like(lower, dtype=torch.bool) if exponent >= 0 else (lower > 0) | (upper < 0)
    return lower >= 0 if exponent > 0 else lower > 0


POW = piecewise(power, pieces, inside=inside)
register(
    gate_of(
        POW,
        "pow",
        "exponent",
        example=tuple({"exponent": e} for e in (2.0, 3.0, 0.5, 1.5, -1.0, -2.0, -0.5, 1.0, 0.0)),
        error=WITHIN_4_ULP,
        never_negative=lambda exponent: exponent % 2 == 0,
    )
)

SQRT = piecewise(
    torch.sqrt, lambda: pieces(0.5), inside=lambda lower, upper: inside(lower, upper, 0.5), monotone=True
)
register(gate_of(SQRT, "sqrt", error=WITHIN_4_ULP, never_negative=always))

RECIPROCAL = piecewise(
    torch.reciprocal, lambda: pieces(-1.0), inside=lambda lower, upper: inside(lower, upper, -1.0)
)
register(gate_of(RECIPROCAL, "reciprocal", error=WITHIN_4_ULP))
