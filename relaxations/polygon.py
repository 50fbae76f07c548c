"""Planes over polygons: a box of two operands cut by bounds on û + v̂ and û − v̂, its diagonals.

û = (x − cₓ)/hₓ and v̂ = (y − c_y)/h_y with the centre c and the half-widths h of the box, so that û, v̂ lie in
[−1, 1] and the diagonals cut corners, where products err most.

The greatest value of F = ±g − a·p over the polygon is bounded by cutting it into strips of x.  In a strip,
below the lowest place of its upper edge and above the highest of its lower edge, the polygon is a box.  What
is left at either edge lies in a flat box, of which a corner sticks out over the edge y ≤ T(x) = t + r·x.  It
is priced: T(x) − y ≥ 0 on the polygon, so for **any** μ ≥ 0

    max over the part of F  ≤  max over its box of F + μ·(T(x) − y),

which is the support of the gate with slopes a + μ·(−r, 1), plus μ·t; the same with a lower edge.  The best μ,
the derivative of F across the edge, leaves an error quadratic in the width of the strip; any other is sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from relaxations.curves import between, largest
from relaxations.gate import Gate, Support
from relaxations.rounding import UNIT, margin

EVEN = 10
"""Strips besides those that end at the vertices, so that one edge binds above and one below."""
THIN = 1e-9
"""Boxes with a side thinner than this, relative to its place, are not cut: û would be rounding errors."""
STEP = 1e-3
"""Of the differences that estimate derivatives, in half-widths."""


@dataclass(frozen=True)
class Diagonals:
    """Bounds [*S] on û + v̂ and û − v̂ over each box: `sum_lower` ≤ û + v̂ ≤ `sum_upper`, and so on.

    −2 and 2 (or −∞ and ∞) cut nothing.  Together with the box they must leave a point.
    """

    sum_lower: Tensor
    sum_upper: Tensor
    difference_lower: Tensor
    difference_upper: Tensor

    def map(self, *indices: Any) -> Diagonals:
        """The same for some of the boxes."""
        return Diagonals(*(side[indices] for side in self.sides()))

    def sides(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.sum_lower, self.sum_upper, self.difference_lower, self.difference_upper

    def trimmed(self, lower: Tensor, upper: Tensor) -> Diagonals:
        """In double precision, flat, within ±2, and without effect on boxes [2, *S] that are too thin."""
        shape = lower.shape[1:]
        cut = thick(lower.reshape(2, -1), upper.reshape(2, -1))
        ends = zip(self.sides(), (-2.0, 2.0, -2.0, 2.0), strict=True)
        sides = ((side.double().expand(shape).reshape(-1).clamp(-2.0, 2.0), end) for side, end in ends)
        return Diagonals(*(torch.where(cut, side, end) for side, end in sides))


def thick(lower: Tensor, upper: Tensor) -> Tensor:
    """Boxes [2, N] that are cut at all."""
    half = 0.5 * (upper - lower)
    return ((half > THIN * largest(lower, upper)) & (half > 0)).all(0)


class Strips(NamedTuple):
    """Strips of polygons: their ends in x, the least and the greatest y of the lower edge over each, and of
    the upper edge, all [m, N]."""

    left: Tensor
    right: Tensor
    bottom: tuple[Tensor, Tensor]
    top: tuple[Tensor, Tensor]


class Edges(NamedTuple):
    """The two slanted edges on one side: values at cₓ [2, N] and slopes [2, N] (with x: falling, rising)."""

    height: Tensor
    slope: Tensor

    def at(self, x: Tensor, centre: Tensor) -> Tensor:
        """[2, m, N] at x [m, N]."""
        return self.height[:, None] + self.slope[:, None] * (x - centre)


def edges(lower: Tensor, upper: Tensor, cut: Diagonals) -> tuple[Edges, Edges]:
    """Lower edges y ≥ ... and upper edges y ≤ ... of the polygons in boxes [2, N]."""
    centre, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    ratio = torch.where(thick(lower, upper), half[1] / half[0], 0.0)
    slope = torch.stack([-ratio, ratio])
    below = torch.stack([cut.sum_lower, -cut.difference_upper])  # v̂ ≥ s̲ − û,  v̂ ≥ û − d̅
    above = torch.stack([cut.sum_upper, -cut.difference_lower])  # v̂ ≤ s̅ − û,  v̂ ≤ û − d̲
    return tuple(Edges(centre[1] + half[1] * side, slope) for side in (below, above))  # type: ignore[return-value]


def vertices(cut: Diagonals) -> tuple[Tensor, Tensor, Tensor]:
    """û of the first and the last point of the polygons [N], and of their vertices among others [12, N]."""
    sums, differences = (cut.sum_lower, cut.sum_upper), (cut.difference_lower, cut.difference_upper)
    # an edge ends at a face, where û = s ± 1 or d ± 1, or at another, where û = (s + d) / 2
    faces = torch.stack([side + one for side in (*sums, *differences) for one in (-1.0, 1.0)])
    meets = torch.stack([0.5 * (a + b) for a in sums for b in differences])
    first = torch.stack([faces[0], faces[4], meets[0]]).amax(0).clamp(-1.0, 1.0)
    last = torch.stack([faces[3], faces[7], meets[3]]).amin(0).clamp(-1.0, 1.0)
    return first, last, torch.cat([faces, meets])


def strips(lower: Tensor, upper: Tensor, cut: Diagonals) -> Strips:
    """They cover the polygons in boxes [2, N]; everywhere outwards by a margin for rounding."""
    centre, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    first, last, places = vertices(cut)
    share = torch.linspace(0, 1, EVEN + 1, dtype=lower.dtype, device=lower.device)[:, None]
    even = first + (last - first) * share
    places = torch.cat([even, torch.minimum(torch.maximum(places, first), last)]).sort(0).values
    x = centre[0] + half[0] * places
    below, above = edges(lower, upper, cut)
    slack = (16 * UNIT) * (largest(lower, upper) + half)  # of the roundings above and below
    slack[1] += above.slope[1] * slack[0]
    x[0] -= slack[0]
    x[-1] += slack[0]
    x = torch.minimum(torch.maximum(x, lower[0]), upper[0])
    left, right = x[:-1], torch.maximum(x[1:], x[:-1])
    # the lower edge is convex, the higher of its lines; the upper edge is concave
    at_left, at_right = (below.at(x, centre[0]).amax(0) for x in (left, right))
    high = torch.maximum(at_left, at_right) + slack[1]
    low = torch.stack([below.at(right, centre[0])[0], below.at(left, centre[0])[1]]).amax(0) - slack[1]
    bottom = between(low, lower[1], upper[1]), between(high, lower[1], upper[1])
    at_left, at_right = (above.at(x, centre[0]).amin(0) for x in (left, right))
    low = torch.minimum(at_left, at_right) - slack[1]
    high = torch.stack([above.at(left, centre[0])[0], above.at(right, centre[0])[1]]).amin(0) + slack[1]
    return Strips(left, right, bottom, (between(low, lower[1], upper[1]), between(high, lower[1], upper[1])))


def support(
    gate: Gate,
    scale: Tensor,
    slopes: Tensor,
    lower: Tensor,
    upper: Tensor,
    cut: Diagonals,
    parameters: Mapping[str, Any],
) -> Support:
    """An upper bound [2, N] of scale·g − slopes·p over the polygons in boxes [2, N], the margin included, and
    its place; `slopes` [2, 2, N] and `scale` [2, 1] for the two sides of the gate."""
    centre, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    left, right, bottom, top = strips(lower, upper, cut)
    middle = 0.5 * (left + right)
    zero = torch.zeros_like(slopes[0, :, None] * left)
    cells = [(slopes[:, :, None] + torch.stack([zero, zero]), zero, zero)]
    for side, sign in zip(edges(lower, upper, cut), (-1.0, 1.0), strict=True):
        height, which = (sign * side.at(middle, centre[0])).min(0)  # the line that binds in the middle
        slope = side.slope.gather(0, which)
        face = sign * (upper if sign > 0 else lower)[1]
        y = sign * torch.minimum(height, face)
        step = STEP * half[1]
        g = gate.function(middle, torch.stack([y, y - sign * step]), **parameters)
        # derivative of F outwards, across an edge that cuts the box here
        rise = scale[..., None] * ((g[0] - g[1]) / step) - sign * slopes[1, :, None]  # [2, m, N]
        price = torch.where((height < face) & rise.isfinite(), rise, 0.0).clamp(min=0.0)
        constant = side.height.gather(0, which) - slope * centre[0]
        moved = slopes[:, :, None] + sign * torch.stack([-slope * price, price])
        reach = constant.abs() + slope.abs() * (largest(lower, upper)[0] + centre[0].abs())
        size = price * (reach + largest(lower, upper)[1] + half[1])
        cells.append((moved, sign * price * constant, size))
    moved, shift, size = (torch.cat(part, -2) for part in zip(*cells, strict=True))
    ends = [
        (bottom[1], top[0]),
        (bottom[0], torch.minimum(bottom[1], top[1])),
        (torch.maximum(top[0], bottom[0]), top[1]),
    ]
    y0, y1 = (torch.cat(side) for side in zip(*ends, strict=True))
    present = y0 <= y1
    low = torch.stack([left.repeat(3, 1), torch.minimum(y0, y1)])
    high = torch.stack([right.repeat(3, 1), y1])
    low, high = (side[:, None].expand_as(moved) for side in (low, high))
    found = gate.support(scale[..., None], moved, low, high, **parameters)
    size = size + gate.magnitude(low, high, **parameters)
    size = size + ((moved.abs() + slopes[:, :, None].abs()) * largest(low, high)).sum(0)
    value = torch.where(present, found.value + shift + margin(size), -torch.inf)
    value = torch.where(present.any(0), value, torch.inf)
    value, index = value.max(1, keepdim=True)
    at = found.at.gather(2, index.expand(2, *index.shape))[:, :, 0]
    return Support(value[:, 0], at)


def centroid(lower: Tensor, upper: Tensor, cut: Diagonals) -> Tensor:
    """[2, N], nearly: of the strips' rectangles cut at the middle."""
    left, right, *_ = strips(lower, upper, cut)
    x = 0.5 * (left + right)
    bottom, top = extent(x, lower, upper, cut)
    area = (right - left) * (top - bottom).clamp(min=0.0)
    total = area.sum(0)
    whole = 0.5 * (lower + upper)
    found = torch.stack([(area * x).sum(0), (area * 0.5 * (bottom + top)).sum(0)]) / total
    return torch.where(total > 0, found, whole)


def extent(x: Tensor, lower: Tensor, upper: Tensor, cut: Diagonals) -> tuple[Tensor, Tensor]:
    """The least and the greatest y of the polygons at x [m, N]."""
    centre = 0.5 * (lower[0] + upper[0])
    below, above = edges(lower, upper, cut)
    bottom = torch.maximum(below.at(x, centre).amax(0), lower[1])
    return bottom, torch.minimum(above.at(x, centre).amin(0), upper[1])


def outline(lower: Tensor, upper: Tensor, cut: Diagonals) -> Tensor:
    """Points [2, N, m] on the polygons' edges, all vertices among them."""
    parts = strips(lower, upper, cut)
    x = torch.cat([parts.left, parts.right[-1:]])
    return torch.stack([torch.cat([x, x]), torch.cat(extent(x, lower, upper, cut))]).mT


def project(x: Tensor, y: Tensor, lower: Tensor, upper: Tensor, cut: Diagonals) -> tuple[Tensor, Tensor]:
    """Places x and y [m, N] moved into the polygons, along x and then along y."""
    parts = strips(lower, upper, cut)
    x = torch.minimum(torch.maximum(x, parts.left[0]), parts.right[-1])
    bottom, top = extent(x, lower, upper, cut)
    return x, torch.minimum(torch.maximum(y, bottom), top)


def target(lean: Tensor, lower: Tensor, upper: Tensor, cut: Diagonals) -> Tensor:
    """The centroid, moved by `lean` [2, *R, N] half-widths, but at most half way to an edge: [2, *R, N]."""
    centre, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    middle = centroid(lower, upper, cut)
    u, v = ((middle - centre) / half).nan_to_num()
    sums, rates = (torch.stack([a + b, -a - b, a - b, b - a]) for a, b in ((u, v), lean.unbind(0)))
    ends = torch.stack([cut.sum_upper, -cut.sum_lower, cut.difference_upper, -cut.difference_lower])
    room = (ends - sums).reshape(4, *[1] * (rates.dim() - 2), -1)
    share = torch.where(rates > 0, 0.5 * room / rates, 1.0).amin(0).clamp(0.0, 1.0)
    shape = 2, *[1] * (rates.dim() - 2), -1
    return middle.reshape(shape) + share * lean * half.reshape(shape)
