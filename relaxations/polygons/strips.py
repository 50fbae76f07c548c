"""The greatest value of F = ±g − a·p over a polygon, for any gate of two operands.

Where the greatest value over the box lies in the polygon, that is it.  Otherwise the polygon is cut into
strips of x.  In a strip, below the lowest place of its upper edge and above the highest of its lower edge,
the polygon is a box.  What is left at either edge lies in a flat box, of which a corner sticks out over the
edge y ≤ T(x) = t + r·x.  It is priced: T(x) − y ≥ 0 on the polygon, so for **any** μ ≥ 0

    max over the part of F  ≤  max over its box of F + μ·(T(x) − y),

which is the support of the gate with slopes a + μ·(−r, 1), plus μ·t; the same with a lower edge.  The best μ,
the derivative of F across the edge, leaves an error quadratic in the width of the strip; any other is sound.

The strips whose bound exceeds the best value found by more than a tolerance are cut again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from relaxations.curves.curve import between, largest
from relaxations.gate import Support
from relaxations.gate_box import GateBox
from relaxations.octagon import Cut
from relaxations.polygons.polygon import edges, extent, project, span
from relaxations.rounding import UNIT, margin

PARTS, AGAIN = 8, 4
"""Strips at first, and of a strip that is cut again."""
ROUNDS = 2
TOLERANCE = 5e-3
"""Of the bound, in ranges of F over the places found."""
STEP = 1e-3
"""Of the differences that estimate derivatives, in half-widths."""
INSIDE = 1e-9
"""How far outside a polygon a place may lie, in half-widths, to count as its own."""


class Strips(NamedTuple):
    """Strips of polygons: their ends in x, the least and the greatest y of the lower edge over each, and of
    the upper edge, all [N]."""

    left: Tensor
    right: Tensor
    bottom: tuple[Tensor, Tensor]
    top: tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Problems:
    """N problems: `scale` [N], `slopes` [2, N], and the boxes [2, N] of a gate, of which `cut` leaves
    polygons."""

    box: GateBox
    scale: Tensor
    slopes: Tensor
    cut: Cut

    def pick(self, index: Tensor) -> Problems:
        box = replace(self.box, lower=self.box.lower[..., index], upper=self.box.upper[..., index])
        cut = Cut(*(t[..., index] for t in self.cut))
        return Problems(box, self.scale[..., index], self.slopes[..., index], cut)


class Found(NamedTuple):
    """Upper bounds [N] over strips; the values of F [N] at places [2, N] of the polygons."""

    bound: Tensor
    value: Tensor
    at: Tensor


def box_support(box: GateBox, scale: Tensor, slopes: Tensor) -> Support:
    """Of boxes [k, *S], the margin for rounding included."""
    gate, lower, upper, parameters = box.gate, box.lower, box.upper, box.parameters
    found = gate.support(scale, slopes, lower, upper, **parameters)
    size = gate.magnitude(lower, upper, **parameters) + (slopes.abs() * largest(lower, upper)).sum(0)
    return Support(found.value + margin(size), found.at)


def support(of: Problems) -> Support:
    """An upper bound [N] of scale·g − slopes·p over the polygons, the margin included, and a place [2, N]
    that nearly attains it."""
    lower, upper, cut = of.box.lower, of.box.upper, of.cut
    value, at = box_support(of.box, of.scale, of.slopes)
    x, y = (t[0] for t in project(at[:1], at[1:], lower, upper, cut))
    away = torch.maximum(x - at[0], at[0] - x) > INSIDE * cut.half[0]
    away |= torch.maximum(y - at[1], at[1] - y) > INSIDE * cut.half[1]
    index = away.nonzero()[:, 0]
    if index.numel():
        found = _by_strips(of.pick(index))
        better = found.value < value[index]
        index = index[better]
        value = value.index_copy(0, index, found.value[better])
        at = at.index_copy(1, index, found.at[:, better])
    return Support(value, at)


def _by_strips(of: Problems) -> Support:
    """The bound by strips alone; ∞ where there is no polygon."""
    count, lower, upper = of.scale.shape[0], of.box.lower, of.box.upper
    left, right = span(lower, upper, of.cut)
    by = _outward(of)[0]
    left, right = (torch.minimum(torch.maximum(x, lower[0]), upper[0]) for x in (left - by, right + by))
    owner = torch.arange(count, device=left.device)
    most, best = (torch.full_like(left, -torch.inf) for _ in range(2))
    least, at = torch.full_like(left, torch.inf), 0.5 * (lower + upper)
    parts = PARTS
    for step in range(ROUNDS + 1):
        share = (torch.arange(parts + 1, dtype=left.dtype, device=left.device) / parts)[:, None]
        nodes = torch.minimum(left + (right - left) * share, right)
        nodes[-1] = right
        left, right = nodes[:-1].flatten(), torch.maximum(nodes[1:], nodes[:-1]).flatten()
        owner = owner.repeat(parts)
        found = _bounded(of.pick(owner), left, right)
        real = found.bound > -torch.inf
        value = torch.where(real, found.value, -torch.inf)
        best = best.scatter_reduce(0, owner, value, "amax")
        least = least.scatter_reduce(0, owner, torch.where(real, found.value, torch.inf), "amin")
        won = (real & (value == best[owner])).nonzero()[:, 0]
        at = at.index_copy(1, owner[won], found.at[:, won])
        wide = found.bound > (best + TOLERANCE * (best - least))[owner]
        if step == ROUNDS:
            wide = torch.zeros_like(wide)
        most = most.scatter_reduce(0, owner, found.bound.masked_fill(wide, -torch.inf), "amax")
        pick = wide.nonzero()[:, 0]
        if not pick.numel():
            break
        left, right, owner, parts = left[pick], right[pick], owner[pick], AGAIN
    return Support(torch.where(most > -torch.inf, most, torch.inf), at)


def _outward(of: Problems) -> Tensor:
    """Of all roundings of places [2, N]."""
    reach = largest(of.box.lower, of.box.upper)
    return (16 * UNIT) * (of.cut.centre.abs() + 2 * of.cut.half + reach)


def strips(of: Problems, left: Tensor, right: Tensor) -> Strips:
    """Strips from `left` to `right` [N]; everywhere outwards by a margin for rounding."""
    lower, upper, cut = of.box.lower, of.box.upper, of.cut
    below, above = edges(cut)
    outward = _outward(of)
    away = outward[1] + above.slope[1] * outward[0]
    # the lower edge is convex, the higher of its lines; the upper edge is concave
    at_left, at_right = (below.at(x[None], cut.centre[0])[:, 0] for x in (left, right))
    high = torch.maximum(at_left.amax(0), at_right.amax(0)) + away
    low = torch.maximum(at_right[0], at_left[1]) - away
    bottom = between(low, lower[1], upper[1]), between(high, lower[1], upper[1])
    at_left, at_right = (above.at(x[None], cut.centre[0])[:, 0] for x in (left, right))
    low = torch.minimum(at_left.amin(0), at_right.amin(0)) - away
    high = torch.minimum(at_left[0], at_right[1]) + away
    return Strips(left, right, bottom, (between(low, lower[1], upper[1]), between(high, lower[1], upper[1])))


class Cells(NamedTuple):
    """The boxes of strips, three each: at the lower edge, in between, at the upper edge; in each the slopes
    that are maximised, what they add, and the size of what that is computed from: slopes [2, 3, N], others
    [3, N]."""

    slopes: Tensor
    shift: Tensor
    size: Tensor


def _priced(of: Problems, middle: Tensor) -> Cells:
    """Slopes with the price of either edge of strips around `middle` [N]."""
    gate, lower, upper, cut = of.box.gate, of.box.lower, of.box.upper, of.cut
    scale, slopes = of.scale, of.slopes
    origin, step = cut.centre[0], (0.5 * STEP) * (upper - lower)[1]
    cells = [(slopes, torch.zeros_like(scale), torch.zeros_like(scale))]
    for side, sign in zip(edges(cut), (-1.0, 1.0), strict=True):
        # the line that binds in the middle
        height, which = (sign * side.at(middle[None], origin)[:, 0]).min(0)
        slope = side.slope.gather(0, which[None])[0]
        face = sign * (upper if sign > 0 else lower)[1]
        y = sign * torch.minimum(height, face)
        g = gate.function(middle, torch.stack([y, y - sign * step]), **of.box.parameters)
        # derivative of F outwards, across an edge that cuts the box here
        rise = scale * ((g[0] - g[1]) / step) - sign * slopes[1]
        price = torch.where((height < face) & rise.isfinite(), rise, 0.0).clamp(min=0.0)
        at_origin = side.height.gather(0, which[None])[0]
        moved = slopes + sign * torch.stack([-slope * price, price])
        reach = at_origin.abs() + slope.abs() * (largest(lower, upper)[0] + origin.abs())
        size = price * (reach + (largest(lower, upper) + cut.centre.abs() + 2 * cut.half)[1])
        cells.append((moved, sign * price * (at_origin - slope * origin), size))
    return Cells(*(torch.stack(part, -2) for part in zip(*cells, strict=True)))


def _bounded(of: Problems, left: Tensor, right: Tensor) -> Found:
    gate, parameters, lower, upper = of.box.gate, of.box.parameters, of.box.lower, of.box.upper
    scale, slopes = of.scale, of.slopes
    *_, bottom, top = strips(of, left, right)
    middle = 0.5 * (left + right)
    moved, shift, size = _priced(of, middle)
    y0 = torch.stack([bottom[1], bottom[0], torch.maximum(top[0], bottom[0])])
    y1 = torch.stack([top[0], torch.minimum(bottom[1], top[1]), top[1]])
    low, high = torch.stack([left.expand_as(y0), y0]), torch.stack([right.expand_as(y1), y1])
    bound, x, y = torch.full_like(y0, -torch.inf), middle.repeat(3, 1), y0.clone()
    here = (y0 <= y1).nonzero(as_tuple=True)
    if here[0].numel():
        a, l, u = (t[:, here[0], here[1]] for t in (moved, low, high))
        found = gate.support(scale[here[1]], a, l, u, **parameters)
        extra = ((a.abs() + slopes[:, here[1]].abs()) * largest(l, u)).sum(0)
        total = size[here] + gate.magnitude(l, u, **parameters) + extra
        bound[here] = found.value + shift[here] + margin(total)
        x[here], y[here] = found.at
    bound, index = bound.max(0, keepdim=True)
    x, y = (t.gather(0, index)[0] for t in (x, y))
    low_y, high_y = extent(x[None], lower, upper, of.cut)
    y = torch.minimum(torch.maximum(y, low_y[0]), high_y[0])
    value = scale * gate.function(x, y, **parameters) - slopes[0] * x - slopes[1] * y
    return Found(bound[0], value, torch.stack([x, y]))
