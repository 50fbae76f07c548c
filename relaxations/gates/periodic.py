"""sin and cos.

scale·sin(x) − a·x has its local maxima where cos(x) = q = a/scale and scale·sin(x) ≥ 0, once in every period
2π. Period after period the value changes by −2πa, so over a box the first or the last of them is the
greatest: both are taken.  A place off by δ misses |scale|·δ²/2, since |sin''| ≤ 1, and one that rounding put
outside the box is moved to its end: both far below the margin, for which the magnitude is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from relaxations.curves.curve import (
    Curve,
    Support,
    between,
    curve_from_support,
    ends,
    even_nodes,
    gate_of,
    quotient,
)
from relaxations.gate import WITHIN_4_ULP, register

PERIOD = 2 * math.pi


def periodic(function: Callable[[Tensor], Tensor], maximum: Callable[[Tensor, Tensor], Tensor]) -> Curve:
    """`maximum(q, rises)`: where ±function(x) − q·x has a local maximum, for scale > 0 and else < 0."""

    def support(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> Support:
        place = maximum(quotient(slope, scale).clamp(-1.0, 1.0), scale >= 0)
        first = place + PERIOD * torch.ceil((lower - place) / PERIOD)
        last = place + PERIOD * torch.floor((upper - place) / PERIOD)
        inner = (between(x, lower, upper) for x in (first, last))
        return ends(function, scale, slope, lower, upper, *inner)

    def magnitude(lower: Tensor, upper: Tensor) -> Tensor:
        return torch.ones_like(upper - lower)

    return curve_from_support(function, support, even_nodes, magnitude)


def _sin_maximum(q: Tensor, rises: Tensor) -> Tensor:
    angle = torch.acos(q)
    return torch.where(rises, angle, -angle)


def _cos_maximum(q: Tensor, rises: Tensor) -> Tensor:
    angle = torch.asin(q)
    return torch.where(rises, -angle, math.pi + angle)


SIN = periodic(torch.sin, _sin_maximum)
COS = periodic(torch.cos, _cos_maximum)
register(gate_of(SIN, "sin", error=WITHIN_4_ULP))
register(gate_of(COS, "cos", error=WITHIN_4_ULP))
