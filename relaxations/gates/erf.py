"""erf and gelu.

erf' = (2/√π)·e^(−x²) is q at |x| = √(−log(q·√π/2)).
gelu(x) = x·Φ(x) with Φ the normal distribution and φ its density: gelu' = Φ + xφ, gelu'' = (2 − x²)φ, so it
is convex on [−√2, √2] and concave outside.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from relaxations.curves.curve import gate_of, largest, s_shaped
from relaxations.curves.pieces import Piece, bracketed, piecewise
from relaxations.gate import register

ROOT = math.sqrt(2)


def erf_slope(x: Tensor) -> Tensor:
    return (2 / math.sqrt(math.pi)) * torch.exp(-x * x)


def erf_inverse(q: Tensor) -> Tensor:
    height = (q * (0.5 * math.sqrt(math.pi))).clamp(0.0, 1.0)
    return torch.sqrt(-torch.log(height))


ERF = s_shaped(torch.erf, erf_slope, erf_inverse, core=9.0, slack=4096)  # x² ≤ 700 rounds by 700u
register(gate_of(ERF, "erf"))


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def accurate(x: Tensor) -> Tensor:
    """gelu without the cancellation of 1 + erf for negative x."""
    return 0.5 * x * torch.erfc(-x / ROOT)


def derivative(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-x / ROOT) + x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


@cache
def _pieces() -> tuple[Piece, ...]:
    sides = ((-math.inf, -ROOT, -1), (-ROOT, ROOT, 1), (ROOT, math.inf, -1))
    return tuple(
        Piece(
            low,
            high,
            sign,
            accurate,
            derivative,
            bracketed(derivative, max(low, -38.0), min(high, 38.0), sign),
            noise=4,
        )
        for low, high, sign in sides
    )


GELU = piecewise(accurate, _pieces, core=18.0, magnitude=largest)
register(gate_of(GELU, "gelu", function=gelu))
