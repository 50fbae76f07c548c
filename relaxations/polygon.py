"""Planes over polygons: a box of operands cut by bounds on û + v̂ and û − v̂, its diagonals.

û = (x − cₓ)/hₓ and v̂ = (y − c_y)/h_y with a centre c and half-widths h, so that û, v̂ lie in about [−1, 1] and
the diagonals cut corners, where products err most.  The frame (c, h) is that of the box for which the bounds
were found; the box at hand may be a part of it.

The greatest value of F = ±g − a·p over the polygon is bounded by cutting it into strips of x.  In a strip,
below the lowest place of its upper edge and above the highest of its lower edge, the polygon is a box.  What
is left at either edge lies in a flat box, of which a corner sticks out over the edge y ≤ T(x) = t + r·x.  It
is priced: T(x) − y ≥ 0 on the polygon, so for **any** μ ≥ 0

    max over the part of F  ≤  max over its box of F + μ·(T(x) − y),

which is the support of the gate with slopes a + μ·(−r, 1), plus μ·t; the same with a lower edge.  The best μ,
the derivative of F across the edge, leaves an error quadratic in the width of the strip; any other is sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """Bounds on û + v̂ and û − v̂ of the first operand, u, with every other one, v:

        sum_lower ≤ û + v̂ ≤ sum_upper,     difference_lower ≤ û − v̂ ≤ difference_upper,   all [k − 1, *S],

    where p̂ = (p − centre) / half for every operand p; `centre`, `half` [k, *S].  Infinite ones cut nothing.
    Together with the box they should leave a point; where they do not, nothing is true of no point.
    """

    centre: Tensor
    half: Tensor
    sum_lower: Tensor
    sum_upper: Tensor
    difference_lower: Tensor
    difference_upper: Tensor

    def sides(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.sum_lower, self.sum_upper, self.difference_lower, self.difference_upper

    def map(self, function: Callable[[Tensor], Tensor]) -> Diagonals:
        """The same with `function` applied to every tensor."""
        return Diagonals(*(function(t) for t in (self.centre, self.half, *self.sides())))

    def trimmed(self, lower: Tensor, upper: Tensor) -> Diagonals:
        """In double precision, flat, and not beyond the corners of boxes [k, *S]; there lie the sides where
        boxes are too thin to be cut."""
        _, *shape = lower.shape

        def flat(t: Tensor) -> Tensor:
            missing = [1] * (len(shape) + 1 - t.dim())  # many slopes for one box
            return t.double().reshape(len(t), *missing, *t.shape[1:]).expand(len(t), *shape).flatten(1)

        given, lower, upper = self.map(flat), flat(lower), flat(upper)
        (low, high), cut = unit_box(lower, upper, given.centre, given.half), thick(lower, upper)
        corners = low[:1] + low[1:], high[:1] + high[1:], low[:1] - high[1:], high[:1] - low[1:]
        tighter = (torch.maximum, torch.minimum) * 2
        sides = [
            torch.where(cut[:1] & cut[1:], choose(side, corner), corner)
            for choose, side, corner in zip(tighter, given.sides(), corners, strict=True)
        ]
        return Diagonals(given.centre, given.half, *sides)

    def pair(self, j: int) -> Cut:
        """The first operand and the one after it by `j` + 1 places, of `trimmed` diagonals."""
        pick = [0, j + 1]
        return Cut(self.centre[pick], self.half[pick], *(side[j] for side in self.sides()))


class Cut(NamedTuple):
    """Diagonals of two operands of N boxes: frames [2, N] and bounds [N]."""

    centre: Tensor
    half: Tensor
    sum_lower: Tensor
    sum_upper: Tensor
    difference_lower: Tensor
    difference_upper: Tensor


def framed(
    lower: Tensor,
    upper: Tensor,
    sum_lower: Tensor,
    sum_upper: Tensor,
    difference_lower: Tensor,
    difference_upper: Tensor,
) -> Diagonals:
    """Diagonals in the frames of boxes [k, *S] themselves; bounds [k − 1, *S]."""
    sides = sum_lower, sum_upper, difference_lower, difference_upper
    return Diagonals(0.5 * (lower + upper), 0.5 * (upper - lower), *sides)


def thick(lower: Tensor, upper: Tensor) -> Tensor:
    """Operands [k, N] whose interval is wide enough to be cut."""
    half = 0.5 * (upper - lower)
    return (half > THIN * largest(lower, upper)) & (half > 0)


def unit_box(lower: Tensor, upper: Tensor, centre: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """The ends of boxes [k, N] in a frame; 0 where it has no width."""
    ends = ((end - centre) / half for end in (lower, upper))
    low, high = (torch.where(half > 0, end, 0.0) for end in ends)
    return low, high


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


def edges(cut: Cut) -> tuple[Edges, Edges]:
    """Lower edges y ≥ ... and upper edges y ≤ ... of the polygons."""
    (_, centre), (width, height) = cut.centre, cut.half
    ratio = torch.where((width > 0) & (height > 0), height / width, 0.0)
    slope = torch.stack([-ratio, ratio])
    below = torch.stack([cut.sum_lower, -cut.difference_upper])  # v̂ ≥ s̲ − û,  v̂ ≥ û − d̅
    above = torch.stack([cut.sum_upper, -cut.difference_lower])  # v̂ ≤ s̅ − û,  v̂ ≤ û − d̲
    return Edges(centre + height * below, slope), Edges(centre + height * above, slope)


def vertices(lower: Tensor, upper: Tensor, cut: Cut) -> tuple[Tensor, Tensor, Tensor]:
    """û of the first and the last point of the polygons [N], and of their vertices among others [12, N]."""
    (first, bottom), (last, top) = unit_box(lower, upper, cut.centre, cut.half)
    sums, differences = (cut.sum_lower, cut.sum_upper), (cut.difference_lower, cut.difference_upper)
    # an edge ends at a face, where û = s − v̂ or d + v̂, or at another, where û = (s + d) / 2
    faces = torch.stack(
        [s - side for s in sums for side in (top, bottom)]
        + [d + side for d in differences for side in (bottom, top)]
    )
    meets = torch.stack([0.5 * (a + b) for a in sums for b in differences])
    left = torch.stack([first, faces[0], faces[4], meets[0]]).amax(0)
    right = torch.stack([last, faces[3], faces[7], meets[3]]).amin(0)
    return left, right, torch.cat([faces, meets])


def strips(lower: Tensor, upper: Tensor, cut: Cut) -> Strips:
    """They cover the polygons in boxes [2, N]; everywhere outwards by a margin for rounding."""
    centre, half = cut.centre, cut.half
    first, last, places = vertices(lower, upper, cut)
    share = torch.linspace(0, 1, EVEN + 1, dtype=lower.dtype, device=lower.device)[:, None]
    even = first + (last - first) * share
    places = torch.cat([even, torch.minimum(torch.maximum(places, first), last)]).sort(0).values
    x = centre[0] + half[0] * places
    below, above = edges(cut)
    slack = (16 * UNIT) * (centre.abs() + 2 * half + largest(lower, upper))  # of all roundings here
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
    cut: Cut,
    parameters: Mapping[str, Any],
) -> Support:
    """An upper bound [m, N] of scale·g − slopes·p over the polygons in boxes [2, N], the margin included, and
    its place; `slopes` [2, m, N], `scale` ±1 broadcasts to [m, N]."""
    origin, step = cut.centre[0], (0.5 * STEP) * (upper - lower)[1]
    left, right, bottom, top = strips(lower, upper, cut)
    middle = 0.5 * (left + right)
    zero = torch.zeros_like(slopes[0, :, None] * left)
    cells = [(slopes[:, :, None] + torch.stack([zero, zero]), zero, zero)]
    for side, sign in zip(edges(cut), (-1.0, 1.0), strict=True):
        height, which = (sign * side.at(middle, origin)).min(0)  # the line that binds in the middle
        slope = side.slope.gather(0, which)
        face = sign * (upper if sign > 0 else lower)[1]
        y = sign * torch.minimum(height, face)
        g = gate.function(middle, torch.stack([y, y - sign * step]), **parameters)
        # derivative of F outwards, across an edge that cuts the box here
        rise = scale.unsqueeze(-2) * ((g[0] - g[1]) / step) - sign * slopes[1, :, None]  # [2, m, N]
        price = torch.where((height < face) & rise.isfinite(), rise, 0.0).clamp(min=0.0)
        at_origin = side.height.gather(0, which)
        constant = at_origin - slope * origin
        moved = slopes[:, :, None] + sign * torch.stack([-slope * price, price])
        reach = at_origin.abs() + slope.abs() * (largest(lower, upper)[0] + origin.abs())
        size = price * (reach + (largest(lower, upper) + cut.centre.abs() + 2 * cut.half)[1])
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
    found = gate.support(scale.unsqueeze(-2), moved, low, high, **parameters)
    size = size + gate.magnitude(low, high, **parameters)
    size = size + ((moved.abs() + slopes[:, :, None].abs()) * largest(low, high)).sum(0)
    value = torch.where(present, found.value + shift + margin(size), -torch.inf)
    value = torch.where(present.any(0), value, torch.inf)
    value, index = value.max(1, keepdim=True)
    at = found.at.gather(2, index.expand(2, *index.shape))[:, :, 0]
    return Support(value[:, 0], at)


def centroid(lower: Tensor, upper: Tensor, cut: Cut) -> Tensor:
    """[2, N], nearly: of the strips' rectangles cut at the middle."""
    left, right, *_ = strips(lower, upper, cut)
    x = 0.5 * (left + right)
    bottom, top = extent(x, lower, upper, cut)
    area = (right - left) * (top - bottom).clamp(min=0.0)
    total = area.sum(0)
    whole = 0.5 * (lower + upper)
    found = torch.stack([(area * x).sum(0), (area * 0.5 * (bottom + top)).sum(0)]) / total
    return torch.where(total > 0, found, whole)


def extent(x: Tensor, lower: Tensor, upper: Tensor, cut: Cut) -> tuple[Tensor, Tensor]:
    """The least and the greatest y of the polygons at x [m, N]."""
    below, above = edges(cut)
    bottom = torch.maximum(below.at(x, cut.centre[0]).amax(0), lower[1])
    return bottom, torch.minimum(above.at(x, cut.centre[0]).amin(0), upper[1])


def outline(lower: Tensor, upper: Tensor, cut: Cut) -> Tensor:
    """Points [2, N, m] on the polygons' edges, all vertices among them."""
    parts = strips(lower, upper, cut)
    x = torch.cat([parts.left, parts.right[-1:]])
    return torch.stack([torch.cat([x, x]), torch.cat(extent(x, lower, upper, cut))]).mT


def project(x: Tensor, y: Tensor, lower: Tensor, upper: Tensor, cut: Cut) -> tuple[Tensor, Tensor]:
    """Places x and y [m, N] moved into the polygons, along x and then along y."""
    parts = strips(lower, upper, cut)
    x = torch.minimum(torch.maximum(x, parts.left[0]), parts.right[-1])
    bottom, top = extent(x, lower, upper, cut)
    return x, torch.minimum(torch.maximum(y, bottom), top)


def target(lean: Tensor, lower: Tensor, upper: Tensor, cut: Cut) -> Tensor:
    """The centroid, moved by `lean` [2, *R, N] half-widths of the boxes, but at most half way to an edge:
    [2, *R, N]."""
    shape = 2, *[1] * (lean.dim() - 2), -1
    middle, move = centroid(lower, upper, cut), lean * (0.5 * (upper - lower)).reshape(shape)
    u, v = ((middle - cut.centre) / cut.half).nan_to_num()
    rates = (move / cut.half.reshape(shape)).nan_to_num()
    sums, rates = (torch.stack([a + b, -a - b, a - b, b - a]) for a, b in ((u, v), rates.unbind(0)))
    ends = torch.stack([cut.sum_upper, -cut.sum_lower, cut.difference_upper, -cut.difference_lower])
    room = (ends - sums).reshape(4, *shape[1:])
    share = torch.where(rates > 0, 0.5 * room / rates, 1.0).amin(0).clamp(0.0, 1.0)
    return middle.reshape(shape) + share * move
