"""Curves that are convex, concave or linear piece by piece: a support from one description of each piece."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from relaxations.curves.curve import (
    DERIVATIVE_ERROR,
    Curve,
    Support,
    best,
    between,
    curve_from_support,
    ends,
    even_nodes,
    quotient,
)
from relaxations.rounding import UNIT

CELLS, STEPS = 1024, 8
"""Of the table and of false position where a derivative has no inverse in closed form."""


@dataclass(frozen=True)
class Piece:
    """g on [lower, upper]: `curvature` > 0 convex, < 0 concave, 0 linear.

    A curved piece has a `derivative` and its `inverse`: inverse(q) is the x of the piece with g'(x) = q.  It
    is total: where there is none it gives ±∞ or a number on the side where g' comes nearest, never NaN.  The
    derivative errs by at most (relative_error·|g'| + noise)·u.
    """

    lower: float
    upper: float
    curvature: float
    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor] | None = None
    inverse: Callable[[Tensor], Tensor] | None = None
    relative_error: float = DERIVATIVE_ERROR
    noise: float = 0.0


def piece_support(piece: Piece, scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> Support:
    """The support over the part of [lower, upper] inside the piece, −∞ where there is none."""
    left, right = lower.clamp(piece.lower, piece.upper), upper.clamp(piece.lower, piece.upper)
    found = ends(piece.function, scale, slope, left, right)
    if piece.curvature and piece.derivative is not None and piece.inverse is not None:
        at = between(piece.inverse(quotient(slope, scale)), left, right)
        # the inequality of `relaxations.curves.curve`, r widened by its own rounding error
        steepness = scale * piece.derivative(at)
        error = (piece.relative_error * UNIT) * (steepness.abs() + slope.abs())
        if piece.noise:
            error = error + (piece.noise * UNIT) * scale.abs()
        residual = steepness - slope
        beyond = torch.maximum((residual + error) * (right - at), (error - residual) * (at - left))
        inner = scale * piece.function(at) - slope * at + beyond
        found = best(found, (torch.where(scale * piece.curvature < 0, inner, -torch.inf), at))
    present = (lower <= piece.upper) & (upper >= piece.lower)
    return Support(torch.where(present, found.value, -torch.inf), found.at)


def piecewise(
    function: Callable[..., Tensor],
    pieces: Callable[..., Sequence[Piece]],
    core: float = math.inf,
    magnitude: Callable[..., Tensor] | None = None,
    jumps: bool = False,
    **kinds: Any,
) -> Curve:
    """A curve from its pieces: `pieces(**parameters)` from left to right, their ends meeting.

    With `jumps` the pieces need not meet in value: both one-sided values count, which bounds the closure
    of the graph.  `magnitude`: where `function` cancels, a bound on its intermediate values (default: on its
    image).  `kinds` are `inside`, `monotone` and `straight` of the `Curve`.
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

    return curve_from_support(function, support, nodes, magnitude, **kinds)


def bracketed(
    derivative: Callable[[Tensor], Tensor], lower: float, upper: float, curvature: float
) -> Callable[[Tensor], Tensor]:
    """The inverse of a derivative that has no closed one.

    A table of [lower, upper], finer towards the end next to 0, finds a bracket, and false position, with the
    value at an end halved that stays (Dowell and Jarratt, BIT 11, 1971), narrows it.  What is left of the
    residual costs tightness, not soundness.
    """

    @cache
    def table(device: torch.device) -> tuple[Tensor, Tensor]:
        reach = math.log1p(upper - lower)
        steps = torch.linspace(0, reach, CELLS + 1, dtype=torch.float64, device=device).expm1()
        places = upper - steps.flip(0) if abs(upper) < abs(lower) else lower + steps
        places[0], places[-1] = lower, upper
        slopes = derivative(places) * math.copysign(1.0, curvature)
        return places, slopes.cummax(0).values

    def inverse(q: Tensor) -> Tensor:
        places, slopes = table(q.device)
        sign = math.copysign(1.0, curvature)
        wanted = (sign * q).contiguous()
        cell = torch.searchsorted(slopes, wanted).clamp_(1, CELLS)
        left, right = places[cell - 1], places[cell]
        below, above = slopes[cell - 1] - wanted, slopes[cell] - wanted
        at, went_right = left, torch.zeros_like(left, dtype=torch.bool)
        went_left = went_right
        for _ in range(STEPS):
            share = (below / (below - above)).nan_to_num_(0.5).clamp_(0.0, 1.0)
            at = torch.lerp(left, right, share)
            value = sign * derivative(at) - wanted
            high = value > 0  # the root lies left of it
            stay_left, stay_right = 0.5 * below, 0.5 * above
            below = torch.where(high, torch.where(went_left, stay_left, below), value)
            above = torch.where(high, value, torch.where(went_right, stay_right, above))
            left, right = torch.where(high, left, at), torch.where(high, at, right)
            went_left, went_right = high, ~high
        root = torch.where(wanted > slopes[-1], torch.inf, at)
        return torch.where(wanted <= slopes[0], -torch.inf, root)

    return inverse
