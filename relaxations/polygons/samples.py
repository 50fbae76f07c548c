"""Points of a gate's domain at which slopes can be tried out cheaply.

A plane with the least offset over these points is nearly as far up as a sound one, but not sound: it is for
choosing slopes, and the offset comes from `offsets` in the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from relaxations.gate import Gate
from relaxations.octagon import Octagon

ACROSS = 4  # points of a polygon at each place of the first operand, its edges among them


class Samples(NamedTuple):
    """`values` [K, *S] of a gate at `points` [k, K, *S]."""

    points: Tensor
    values: Tensor

    def offset(self, below: Tensor, slope: Tensor) -> Tensor:
        """The offset [*S] of a plane of `slope` [k, *S] that stays below all samples where `below` [*S], and
        above them elsewhere.  Differentiable in the slope."""
        with torch.no_grad():
            rest = self.values - (slope.unsqueeze(1) * self.points).sum(0)
            sign = torch.where(below, -1.0, 1.0).to(rest.dtype)
            place = (sign * rest).argmax(0, keepdim=True)
            value = self.values.gather(0, place)[0]
            at = self.points.gather(1, place.expand(len(slope), *place.shape))[:, 0]
        return value - (slope * at).sum(0)


def polygon_samples(
    gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any], octagon: Octagon
) -> Samples:
    """Samples of a gate of two operands over boxes [2, *S] whose corners are cut off: all corners, and points
    between them."""
    centre, half = octagon.centre, octagon.half
    (left, bottom), (right, top) = (
        ((end - centre) / half).nan_to_num(0.0, 0.0, 0.0).unbind() for end in (lower, upper)
    )
    s_low, s_high, d_low, d_high = (side[0] for side in octagon.sides())
    first = torch.stack([left, s_low - top, d_low + bottom, 0.5 * (s_low + d_low)]).amax(0)
    last = torch.stack([right, s_high - bottom, d_high + top, 0.5 * (s_high + d_high)]).amin(0)
    turns = [s - end for s in (s_low, s_high) for end in (bottom, top)]
    turns += [d + end for d in (d_low, d_high) for end in (bottom, top)]
    u = torch.stack([first, *turns, 0.5 * (first + last), last]).nan_to_num()
    u = torch.maximum(torch.minimum(u, last), first)
    low = torch.maximum(torch.maximum(s_low - u, u - d_high), bottom)
    high = torch.minimum(torch.minimum(s_high - u, u - d_low), top)
    share = torch.linspace(0, 1, ACROSS, dtype=u.dtype, device=u.device).reshape(-1, *[1] * u.dim())
    v = low + share * (high - low)
    unit = torch.stack([u.expand_as(v), v]).flatten(1, 2)
    points = centre.unsqueeze(1) + half.unsqueeze(1) * unit
    points = torch.minimum(torch.maximum(points, lower.unsqueeze(1)), upper.unsqueeze(1))
    return Samples(points, gate.function(*points, **parameters))
