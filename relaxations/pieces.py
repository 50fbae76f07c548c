"""Curves that are convex, concave or linear piece by piece: a support from one description of each piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relaxations.curves import (
    SLACK,
    Curve,
    Support,
    best,
    between,
    curve_from_support,
    ends,
    even_nodes,
    quotient,
    tangent,
)

HALVINGS = 52


@dataclass(frozen=True)
class Piece:
    """g on [lower, upper]: `curvature` > 0 convex, < 0 concave, 0 linear.

    A curved piece has a `derivative` and its `inverse`: inverse(q) is the x of the piece with g'(x) = q.  It
    is total: where there is none it gives ±∞ or a number on the side where g' comes nearest, never NaN.  The
    derivative errs by at most (slack·|g'| + noise)·u.
    """

    lower: float
    upper: float
    curvature: float
    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor] | None = None
    inverse: Callable[[Tensor], Tensor] | None = None
    slack: float = SLACK
    noise: float = 0.0


def piece_support(piece: Piece, scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> Support:
    """The support over the part of [lower, upper] inside the piece, −∞ where there is none."""
    left, right = lower.clamp(piece.lower, piece.upper), upper.clamp(piece.lower, piece.upper)
    found = ends(piece.function, scale, slope, left, right)
    if piece.curvature and piece.derivative is not None and piece.inverse is not None:
        at = between(piece.inverse(quotient(slope, scale)), left, right)
        inner = tangent(
            piece.function, piece.derivative, scale, slope, at, left, right, piece.slack, piece.noise
        )
        found = best(found, (torch.where(scale * piece.curvature < 0, inner, -torch.inf), at))
    present = (lower <= piece.upper) & (upper >= piece.lower)
    return Support(torch.where(present, found.value, -torch.inf), found.at)


def piecewise(
    function: Callable[..., Tensor],
    pieces: Callable[..., Sequence[Piece]],
    core: float = math.inf,
    magnitude: Callable[..., Tensor] | None = None,
    inside: Callable[..., Tensor] | None = None,
    monotone: bool = False,
    jumps: bool = False,
    straight: bool = False,
) -> Curve:
    """A curve from its pieces: `pieces(**parameters)` from left to right, their ends meeting.

    With `jumps` the pieces need not meet in value: both one-sided values count, which bounds the closure
    of the graph.  `straight`: they meet in value, and all are linear.  `magnitude`: where `function` cancels,
    a bound on its intermediate values (default: on its image).
    """

    def support(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor, **parameters: Any) -> Support:
        return best(*(piece_support(piece, scale, slope, lower, upper) for piece in pieces(**parameters)))

    def nodes(lower: Tensor, upper: Tensor, intervals: int, **parameters: Any) -> Tensor:
        parts = pieces(**parameters)
        if not any(piece.curvature for piece in parts):
            intervals = 1  # the ends and the kinks are all that counts
        places = even_nodes(lower, upper, intervals, core)
        knots = [piece.lower for piece in parts if math.isfinite(piece.lower)]
        if jumps:
            knots += [math.nextafter(knot, math.inf) for knot in knots]
        kinks = [between(torch.full_like(lower, knot), lower, upper)[None] for knot in knots]
        return torch.cat([places, *kinks]).sort(0).values if kinks else places

    return curve_from_support(function, support, nodes, magnitude, inside, monotone, straight)


def halving(
    derivative: Callable[[Tensor], Tensor], lower: float, upper: float, curvature: float
) -> Callable[[Tensor], Tensor]:
    """The inverse of a derivative that has no closed one, by halving [lower, upper]."""

    def inverse(q: Tensor) -> Tensor:
        left, right = torch.full_like(q, lower), torch.full_like(q, upper)
        for _ in range(HALVINGS):
            middle = 0.5 * (left + right)
            high = (derivative(middle) > q) == (curvature > 0)  # the root lies left of the middle
            left, right = torch.where(high, left, middle), torch.where(high, middle, right)
        root = torch.where(right >= upper, torch.inf, 0.5 * (left + right))
        return torch.where(left <= lower, -torch.inf, root)

    return inverse
