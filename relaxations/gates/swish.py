"""Gates of the form x·weight(x): silu, mish, gelu, hard swish.

silu = x·σ(x):  silu'' = σ(x)σ(−x)·(2 − x·tanh(x/2)), so it is convex where x·tanh(x/2) ≤ 2, that is on [−c,
c] with c = 2.3993…, and concave outside (x·tanh(x/2) is even and grows with |x|).

mish = x·T, T = tanh(log(1 + eˣ)) = n/(n + 2), n = e²ˣ + 2eˣ: convex between its two inflections, concave
outside; their places are proved by ball arithmetic in the tests.  At a place off by rounding the second
derivative is of the order of u, and what a piece of length u then misses is of the order of u³.

gelu = x·Φ(x) with Φ the normal distribution and φ its density: gelu' = Φ + xφ, gelu'' = (2 − x²)φ, so it is
convex on [−√2, √2] and concave outside.

hard swish = x·clip(x/6 + ½, 0, 1): 0, then (x² + 3x)/6, then x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from relaxations.curves.curve import gate_of, largest
from relaxations.curves.pieces import Piece, bracketed, piecewise
from relaxations.gate import WITHIN_4_ULP, register
from relaxations.gates.relu import identity, zero

Real = Callable[[Tensor], Tensor]
SILU_INFLECTION = 2.3993572805154675
ROOT = math.sqrt(2)
MISH_INFLECTIONS = (-2.256376396360793, 1.4905711794854284)


def silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def silu_slope(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * (1 + x * torch.sigmoid(-x))


def mish(x: Tensor) -> Tensor:
    return x * torch.tanh(torch.logaddexp(x, torch.zeros_like(x)))


def mish_slope(x: Tensor) -> Tensor:
    """T + x·T' with T' = (1 − T²)·σ(x), where 1 − T = 2/(n + 2)."""
    weight = torch.tanh(torch.logaddexp(x, torch.zeros_like(x)))
    w = torch.exp(x.clamp(max=300.0))
    rest = 2 / (w * (w + 2) + 2)
    return weight + x * rest * (1 + weight) * torch.sigmoid(x)


@cache
def _valley(
    function: Real, derivative: Real, low: float, high: float, settled: tuple[float, float] = (-745.0, 45.0)
) -> tuple[Piece, ...]:
    """Concave, convex on [low, high], concave; slopes are constant to rounding beyond `settled`."""
    first, last = settled
    sides = ((-math.inf, low, -1), (low, high, 1), (high, math.inf, -1))
    return tuple(
        Piece(
            p,
            q,
            sign,
            function,
            derivative,
            bracketed(derivative, max(p, first), min(q, last), sign),
            noise=4,
        )
        for p, q, sign in sides
    )


SILU = piecewise(
    silu, lambda: _valley(silu, silu_slope, -SILU_INFLECTION, SILU_INFLECTION), core=20.0, magnitude=largest
)
register(gate_of(SILU, "silu", error="composed"))

MISH = piecewise(mish, lambda: _valley(mish, mish_slope, *MISH_INFLECTIONS), core=20.0, magnitude=largest)
register(gate_of(MISH, "mish", error=WITHIN_4_ULP))


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def accurate_gelu(x: Tensor) -> Tensor:
    """gelu without the cancellation of 1 + erf for negative x."""
    return 0.5 * x * torch.erfc(-x / ROOT)


def gelu_slope(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-x / ROOT) + x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


GELU = piecewise(
    accurate_gelu,
    lambda: _valley(accurate_gelu, gelu_slope, -ROOT, ROOT, (-38.0, 38.0)),
    core=18.0,
    magnitude=largest,
)
register(gate_of(GELU, "gelu", function=gelu, error="composed"))


def hard_swish(x: Tensor) -> Tensor:
    return x * torch.clamp(x / 6 + 0.5, 0.0, 1.0)


HARD_SWISH = piecewise(
    hard_swish,
    lambda: (
        Piece(-math.inf, -3.0, 0, zero),
        Piece(-3.0, 3.0, 1, hard_swish, lambda x: x / 3 + 0.5, lambda q: 3 * q - 1.5, noise=1),
        Piece(3.0, math.inf, 0, identity),
    ),
    core=4.0,
    magnitude=largest,
)
register(gate_of(HARD_SWISH, "hard_swish", error=WITHIN_4_ULP))
