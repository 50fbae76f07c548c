"""Functions of one variable, and the bound of scale·g(x) − a·x on which everything else is built.

Where scale·g is convex the maximum over [p, q] is at an end.  Where it is concave, any tangent bounds it:
with r = scale·g'(t) − a at any t in [p, q],

    max over [p, q] of scale·g(x) − a·x  ≤  scale·g(t) − a·t + max(r·(q − t), r·(p − t))

whatever t is.  The closed form of t with scale·g'(t) = a makes r vanish up to rounding, so the bound is
rigorous and tight: an inexact t costs tightness, never soundness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from relaxations.gate import Gate, Support
from relaxations.rounding import UNIT, margin

INTERVALS = 6
"""Of the nodes at which a curve is sampled."""
DERIVATIVE_ERROR = 16
"""Default bound, in units of u, on the relative error of a derivative: two library functions and a
product."""


@dataclass(frozen=True)
class Curve:
    """A function of one variable with what bounds need.

    `image`, `support`, `magnitude` and `inside` are as in `Gate`, without the operand axis; `nodes` takes the
    number of intervals as well.  `monotone`: the function nowhere turns, so that it may be the outer factor
    of a product.  `straight`: it is continuous and linear between neighbours of its nodes, even with one
    interval.
    """

    function: Callable[..., Tensor]
    image: Callable[..., tuple[Tensor, Tensor]]
    support: Callable[..., Support]
    nodes: Callable[..., Tensor]
    magnitude: Callable[..., Tensor]
    inside: Callable[..., Tensor] | None = None
    monotone: bool = False
    straight: bool = False

    def bound(self, **parameters: Any) -> Curve:
        """The same curve with its parameters given."""
        if not parameters:
            return self
        made = {name: part for name, part in vars(self).items() if callable(part)}
        return replace(self, **{name: partial(part, **parameters) for name, part in made.items()})


def complement(curve: Curve) -> Curve:
    """1 − g:  scale·(1 − g) − a·x = scale + (−scale)·g − a·x."""

    def image(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        low, high = curve.image(lower, upper)
        one = margin(torch.ones_like(low))
        return (1 - high) - one, (1 - low) + one

    def support(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> Support:
        found = curve.support(-scale, slope, lower, upper)
        return Support(scale + found.value, found.at)

    return Curve(
        lambda x: 1 - curve.function(x),
        image,
        support,
        curve.nodes,
        lambda lower, upper: 1 + curve.magnitude(lower, upper),
        curve.inside,
        curve.monotone,
        curve.straight,
    )


def gate_of(
    curve: Curve,
    name: str,
    *parameters: str,
    function: Callable[..., Tensor] | None = None,
    example: Sequence[Mapping[str, Any]] = ({},),
    **properties: Any,
) -> Gate:
    """The one-operand gate of a curve; `function` where the traced form differs from the evaluated one, and
    `properties` are the remaining fields of `Gate`."""

    def support(scale: Tensor, slopes: Tensor, lower: Tensor, upper: Tensor, **values: Any) -> Support:
        found = curve.support(scale, slopes[0], lower[0], upper[0], **values)
        return Support(found.value, found.at[None])

    inside = curve.inside
    return Gate(
        name,
        1,
        parameters,
        function or curve.function,
        lambda lower, upper, **values: curve.image(lower[0], upper[0], **values),
        support,
        lambda lower, upper, **values: (curve.nodes(lower[0], upper[0], INTERVALS, **values),),
        lambda lower, upper, **values: curve.magnitude(lower[0], upper[0], **values),
        None if inside is None else lambda lower, upper, **values: inside(lower[0], upper[0], **values),
        tuple(example),
        **properties,
    )


def between(x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """x moved into [lower, upper]."""
    return torch.minimum(torch.maximum(x, lower), upper)


def even_nodes(lower: Tensor, upper: Tensor, intervals: int, core: float = math.inf) -> Tensor:
    """Both ends, and `intervals` − 1 values spread evenly over the part of the range inside [−core, core]."""
    low, high = lower, upper
    if core < math.inf:
        low, high = lower.clamp(min=-core), upper.clamp(max=core)
        apart = high > low
        low, high = torch.where(apart, low, lower), torch.where(apart, high, upper)
    steps = _steps(intervals, lower.device).to(lower.dtype).reshape(-1, *[1] * lower.dim())
    return torch.cat([lower[None], torch.lerp(low, high, steps), upper[None]])


@cache
def _steps(intervals: int, device: torch.device) -> Tensor:
    return torch.arange(1, intervals, dtype=torch.float64, device=device) / intervals


def best(*candidates: tuple[Tensor, Tensor]) -> Support:
    """The greatest of several (value, place)."""
    value, at = candidates[0]
    for other, place in candidates[1:]:
        better = other > value
        value, at = torch.maximum(other, value), torch.where(better, place, at)
    return Support(value, at)


def greatest(values: Tensor, places: Tensor) -> Support:
    """The greatest of `values` [m, *S], and its place in `places` [..., m, *S]."""
    value, index = values.max(0)
    extra = places.dim() - values.dim()
    index = index.expand(*places.shape[:extra], 1, *index.shape)
    return Support(value, places.gather(extra, index).squeeze(extra))


def quotient(slope: Tensor, scale: Tensor) -> Tensor:
    """slope / scale, the derivative wanted; where scale = 0 any number does, for then an end is optimal."""
    return slope / torch.where(scale == 0, 1.0, scale)


def ends(function: Callable[[Tensor], Tensor], scale: Tensor, slope: Tensor, *at: Tensor) -> Support:
    """The greatest value at the given places."""
    return best(*((scale * function(x) - slope * x, x) for x in at))


def largest(lower: Tensor, upper: Tensor) -> Tensor:
    """max |x| over [lower, upper]."""
    return torch.maximum(lower.abs(), upper.abs())


def s_shaped(
    function: Callable[[Tensor], Tensor],
    derivative: Callable[[Tensor], Tensor],
    inverse: Callable[[Tensor], Tensor],
    core: float,
    relative_error: float = DERIVATIVE_ERROR,
) -> Curve:
    """An increasing odd function plus a constant, convex left of 0 and concave right of it.

    `inverse(q)`: the x ≥ 0 with g'(x) = q, total: 0 where q ≥ g'(0), large where q ≤ 0.
    """

    def image(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        low, high = function(lower), function(upper)
        return low - margin(low.abs()), high + margin(high.abs())

    def support(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> Support:
        # scale·g is concave on the half line where sign(scale)·x ≥ 0, convex on the other; mirrored to the
        # right, the concave part of the box is [left, right]
        rises = scale >= 0
        left = torch.where(rises, lower, -upper)
        right = torch.where(rises, upper, -lower)
        left = torch.minimum(left.clamp_(min=0.0), right)
        root = torch.minimum(torch.maximum(inverse(quotient(slope, scale)), left), right)
        at = torch.where(rises, root, -root)
        places = torch.stack(torch.broadcast_tensors(at, lower, upper))
        values = scale * function(places) - slope * places
        steepness = scale * derivative(at)
        error = (relative_error * UNIT) * (steepness.abs() + slope.abs())
        residual = torch.where(rises, steepness - slope, slope - steepness)
        values[0] += torch.maximum((residual + error) * (right - root), (error - residual) * (root - left))
        return greatest(values, places)

    def magnitude(lower: Tensor, upper: Tensor) -> Tensor:
        return largest(function(lower), function(upper))

    def nodes(lower: Tensor, upper: Tensor, intervals: int) -> Tensor:
        return even_nodes(lower, upper, intervals, core)

    return Curve(function, image, support, nodes, magnitude, monotone=True)


def curve_from_support(
    function: Callable[..., Tensor],
    support: Callable[..., Support],
    nodes: Callable[..., Tensor],
    magnitude: Callable[..., Tensor] | None = None,
    inside: Callable[..., Tensor] | None = None,
    monotone: bool = False,
    straight: bool = False,
) -> Curve:
    """A curve whose image is its support for the slope 0."""

    def extremes(lower: Tensor, upper: Tensor, **parameters: Any) -> tuple[Tensor, Tensor]:
        one, zero = torch.ones_like(lower), torch.zeros_like(lower)
        low = -support(-one, zero, lower, upper, **parameters).value
        return low, support(one, zero, lower, upper, **parameters).value

    def size(lower: Tensor, upper: Tensor, **parameters: Any) -> Tensor:
        return largest(*extremes(lower, upper, **parameters))

    def image(lower: Tensor, upper: Tensor, **parameters: Any) -> tuple[Tensor, Tensor]:
        low, high = extremes(lower, upper, **parameters)
        error = margin((magnitude or size)(lower, upper, **parameters))
        return low - error, high + error

    return Curve(function, image, support, nodes, magnitude or size, inside, monotone, straight)
