"""Functions of one variable that are convex, concave or linear piece by piece.

For a piece [p, q] on which scale·g is convex, the maximum of scale·g(x) − a·x is at an end.  Where it is concave, any
tangent bounds it: with r = scale·g'(t) − a at any t in [p, q],

    max over [p, q] of scale·g(x) − a·x  ≤  scale·g(t) − a·t + max(r·(q − t), r·(p − t))

whatever t is.  The closed form of t with scale·g'(t) = a makes r vanish up to rounding, so the bound
is rigorous and tight: an inexact t costs tightness, never soundness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relaxations.gate import Gate, Support
from relaxations.rounding import UNIT, margin

GRID = 12
"""Number of intervals into which `nodes` cuts the interesting part of an operand's range."""


@dataclass(frozen=True)
class Curve:
    """A function of one variable with what bounds need.  `support` is as `Gate.support` without the operand axis;
    `rises` says that the function is non-decreasing, so that it may be the outer factor of a product."""

    function: Callable[..., Tensor]
    image: Callable[..., tuple[Tensor, Tensor]]
    support: Callable[..., Support]
    nodes: Callable[..., Tensor]
    rises: bool = False

    def magnitude(self, lower: Tensor, upper: Tensor, **parameters: Any) -> Tensor:
        low, high = self.image(lower, upper, **parameters)
        return torch.maximum(low.abs(), high.abs())


def gate_of(
    curve: Curve,
    name: str,
    *parameters: str,
    function: Callable[..., Tensor] | None = None,
    example: Sequence[dict[str, Any]] = ({},),
) -> Gate:
    """The one-operand gate of a curve; `function` where the traced form differs from the one that is evaluated."""

    def support(scale: Tensor, slopes: Tensor, lower: Tensor, upper: Tensor, **values: Any) -> Support:
        found = curve.support(scale, slopes[0], lower[0], upper[0], **values)
        return Support(found.value, found.at[None])

    return Gate(
        name,
        1,
        parameters,
        function or curve.function,
        lambda lower, upper, **values: curve.image(lower[0], upper[0], **values),
        support,
        lambda lower, upper, **values: (curve.nodes(lower[0], upper[0], **values),),
        lambda lower, upper, **values: curve.magnitude(lower[0], upper[0], **values),
        tuple(example),
    )


def even_nodes(lower: Tensor, upper: Tensor, core: float = math.inf, count: int = GRID) -> Tensor:
    """Both ends, and `count` − 1 values spread evenly over the part of the range inside [−core, core]."""
    low, high = lower.clamp(-core, core), upper.clamp(-core, core)
    steps = torch.arange(1, count, dtype=lower.dtype, device=lower.device) / count
    steps = steps.reshape(-1, *[1] * lower.dim())
    inner = torch.minimum(low + (high - low) * steps, high)
    return torch.cat([lower[None], inner, upper[None]])


def tangent_bound(
    value: Tensor, residual: Tensor, slack: Tensor, at: Tensor, lower: Tensor, upper: Tensor
) -> Tensor:
    """The inequality of the module docstring; `slack` bounds the rounding error of `residual`."""
    right, left = upper - at, at - lower
    return value + torch.maximum((residual + slack) * right, (slack - residual) * left)


def s_shaped(
    function: Callable[[Tensor], Tensor],
    derivative: Callable[[Tensor], Tensor],
    inverse: Callable[[Tensor], Tensor],
    core: float,
) -> Curve:
    """An increasing function, convex left of 0 and concave right of it, with g'(−x) = g'(x).

    `inverse(q)`: the x ≥ 0 with g'(x) = q, total: 0 where q ≥ g'(0), large where q ≤ 0.
    """

    def image(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        low, high = function(lower), function(upper)
        return low - margin(low.abs()), high + margin(high.abs())

    def support(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> Support:
        # scale·g is concave on the half line where sign(scale)·x ≥ 0, convex on the other
        rises = scale >= 0
        middle = torch.minimum(torch.maximum(torch.zeros_like(lower), lower), upper)
        left, right = torch.where(rises, middle, lower), torch.where(rises, upper, middle)
        root = inverse(slope / torch.where(scale == 0, 1.0, scale))
        at = torch.minimum(torch.maximum(torch.where(rises, root, -root), left), right)
        steepness = scale * derivative(at)
        slack = (16 * UNIT) * (steepness.abs() + slope.abs())
        inner = tangent_bound(scale * function(at) - slope * at, steepness - slope, slack, at, left, right)
        return best(
            (inner, at),
            (scale * function(lower) - slope * lower, lower),
            (scale * function(upper) - slope * upper, upper),
        )

    return Curve(function, image, support, lambda lower, upper: even_nodes(lower, upper, core), rises=True)


def best(*candidates: tuple[Tensor, Tensor]) -> Support:
    """The greatest of (value, place)."""
    value, at = candidates[0]
    value, at = torch.broadcast_tensors(value, at)
    for other, place in candidates[1:]:
        better = other > value
        value, at = torch.where(better, other, value), torch.where(better, place, at)
    return Support(value, at)


@dataclass(frozen=True)
class Piece:
    """g on [lower, upper]: `curvature` +1 convex, −1 concave, 0 linear.  A curved piece has a `derivative` and its
    `inverse`, total: where q is no value of the derivative, any number on the side that saturates it."""

    lower: float
    upper: float
    curvature: int
    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor] | None = None
    inverse: Callable[[Tensor], Tensor] | None = None


def piece_support(piece: Piece, scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> Support:
    """The support over the part of [lower, upper] inside the piece, −∞ where there is none."""
    left, right = lower.clamp(piece.lower, piece.upper), upper.clamp(piece.lower, piece.upper)
    found = best(
        (scale * piece.function(left) - slope * left, left),
        (scale * piece.function(right) - slope * right, right),
    )
    if piece.curvature and piece.derivative is not None and piece.inverse is not None:
        root = piece.inverse(slope / torch.where(scale == 0, 1.0, scale))
        at = torch.minimum(torch.maximum(root, left), right)
        steepness = scale * piece.derivative(at)
        slack = (16 * UNIT) * (steepness.abs() + slope.abs())
        inner = tangent_bound(
            scale * piece.function(at) - slope * at, steepness - slope, slack, at, left, right
        )
        found = best(found, (torch.where(scale * piece.curvature < 0, inner, -torch.inf), at))
    present = (lower <= piece.upper) & (upper >= piece.lower)
    return Support(torch.where(present, found.value, -torch.inf), found.at)


def piecewise(
    function: Callable[..., Tensor],
    pieces: Callable[..., Sequence[Piece]],
    core: float = math.inf,
    rises: bool = False,
) -> Curve:
    """A curve from its pieces, whose ends meet: `pieces(**parameters)` from left to right.

    At a jump both one-sided values count, which is what a bound of the closure needs.
    """

    def support(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor, **parameters: Any) -> Support:
        found = [piece_support(piece, scale, slope, lower, upper) for piece in pieces(**parameters)]
        return best(*((s.value, s.at) for s in found))

    def image(lower: Tensor, upper: Tensor, **parameters: Any) -> tuple[Tensor, Tensor]:
        one, zero = torch.ones_like(lower), torch.zeros_like(lower)
        low = -support(-one, zero, lower, upper, **parameters).value
        high = support(one, zero, lower, upper, **parameters).value
        return low - margin(low.abs()), high + margin(high.abs())

    def nodes(lower: Tensor, upper: Tensor, **parameters: Any) -> Tensor:
        knots = [piece.lower for piece in pieces(**parameters) if math.isfinite(piece.lower)]
        places = even_nodes(lower, upper, core)
        kinks = [torch.minimum(torch.maximum(torch.full_like(lower, k), lower), upper)[None] for k in knots]
        return torch.cat([places[:-1], *kinks, places[-1:]])

    return Curve(function, image, support, nodes, rises)
