"""Polygons: the geometry of a box of two operands cut to an octagon (`relaxations.octagon`).

The greatest value of a gate minus a linear function over them is bounded in `sigmoid_tanh` for σ(x)·tanh(y),
by the polygon's sides, and in `strips` for any gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from relaxations.curves.curve import between
from relaxations.octagon import Cut, unit_box

TOUCH = 1e-12
"""A side whose ends are out of order by no more counts as a point: rounding may have done it."""


class Sides(NamedTuple):
    """The sides of polygons in their frames, [.., 8, *S]: v̂ least and greatest, û least and greatest, û + v̂
    least and greatest, û − v̂ least and greatest.

    `first`, `last`: û at both ends, v̂ where û is constant; `other`: v̂ or û there [2, 8, *S].  Absent sides
    have ends out of order."""

    first: Tensor
    last: Tensor
    other: Tensor
    present: Tensor

    def ends(self) -> Tensor:
        """[2, 2, 8, *S]: the points (û, v̂) where the sides start and end, counter-clockwise."""
        along = torch.stack([self.first, self.last])
        points = torch.stack([along, self.other])
        points[:, :, 2:4] = points[:, :, 2:4].flip(0)
        back = [1, 2, 5, 6]
        points[:, :, back] = points[:, :, back].flip(1)
        return points


def sides(low: Tensor, high: Tensor, cut: Cut) -> Sides:
    """Of boxes [2, *S] in frames; a side lies where all others allow."""
    u, v = (torch.stack([low[j], high[j]]) for j in range(2))
    total = torch.stack([cut.sum_lower, cut.sum_upper])
    apart = torch.stack([cut.difference_lower, cut.difference_upper])
    (u0, u1), (v0, v1), (s0, s1), (d0, d1) = u, v, total, apart
    first = torch.cat(
        [
            _all(torch.maximum, u0, s0 - v, d0 + v),
            _all(torch.maximum, v0, s0 - u, u - d1),
            _all(torch.maximum, u0, total - v1, 0.5 * (total + d0)),
            _all(torch.maximum, u0, apart + v0, 0.5 * (apart + s0)),
        ]
    )
    last = torch.cat(
        [
            _all(torch.minimum, u1, s1 - v, d1 + v),
            _all(torch.minimum, v1, s1 - u, u - d0),
            _all(torch.minimum, u1, total - v0, 0.5 * (total + d1)),
            _all(torch.minimum, u1, apart + v1, 0.5 * (apart + s1)),
        ]
    )
    present = first <= last + TOUCH * (1 + first.abs() + last.abs())
    other = torch.stack([torch.cat([v, u, total - t[4:6], t[6:] - apart]) for t in (first, last)])
    return Sides(first, last, other, present)


def _all(choose: Callable[[Tensor, Tensor], Tensor], bound: Tensor, *others: Tensor) -> Tensor:
    for other in others:
        bound = choose(bound, other)
    return bound


def centroid(lower: Tensor, upper: Tensor, cut: Cut) -> Tensor:
    """[2, N], by Green's theorem along the sides; the centre of the box where there is no area."""
    low, high = unit_box(lower, upper, cut.centre, cut.half)
    found, middle = sides(low, high, cut), 0.5 * (low + high)
    u, v = torch.where(found.present, found.ends() - middle[:, None, None], 0.0)
    turn = u[0] * v[1] - u[1] * v[0]
    area = turn.sum(0)
    moment = (torch.stack([u[0] + u[1], v[0] + v[1]]) * turn).sum(1)
    enough = area > TOUCH * (high - low).prod(0)
    place = middle + torch.where(enough, moment / (3 * torch.where(enough, area, 1.0)), 0.0)
    return between(cut.centre + cut.half * place, lower, upper)


def span(lower: Tensor, upper: Tensor, cut: Cut) -> tuple[Tensor, Tensor]:
    """The first and the last x of polygons [N]."""
    (first, bottom), (last, top) = unit_box(lower, upper, cut.centre, cut.half)
    s0, s1, d0, d1 = cut[2:]
    left = torch.stack([first, s0 - top, d0 + bottom, 0.5 * (s0 + d0)]).amax(0)
    right = torch.stack([last, s1 - bottom, d1 + top, 0.5 * (s1 + d1)]).amin(0)
    left, right = (between(cut.centre[0] + cut.half[0] * u, lower[0], upper[0]) for u in (left, right))
    return left, torch.maximum(left, right)


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


def extent(x: Tensor, lower: Tensor, upper: Tensor, cut: Cut) -> tuple[Tensor, Tensor]:
    """The least and the greatest y of the polygons at x [m, N]."""
    below, above = edges(cut)
    bottom = torch.maximum(below.at(x, cut.centre[0]).amax(0), lower[1])
    return bottom, torch.minimum(above.at(x, cut.centre[0]).amin(0), upper[1])


def project(x: Tensor, y: Tensor, lower: Tensor, upper: Tensor, cut: Cut) -> tuple[Tensor, Tensor]:
    """Places x and y [m, N] moved into the polygons, along x and then along y."""
    left, right = span(lower, upper, cut)
    x = between(x, left, right)
    bottom, top = extent(x, lower, upper, cut)
    return x, torch.minimum(torch.maximum(y, bottom), top)


def outline(lower: Tensor, upper: Tensor, cut: Cut, parts: int) -> Tensor:
    """Points [2, N, 8·parts] on the polygons' sides, all vertices among them."""
    found = sides(*unit_box(lower, upper, cut.centre, cut.half), cut)
    start, end = found.ends().movedim(1, 0)[:, :, None]  # [2, 1, 8, N]
    share = torch.arange(parts, dtype=start.dtype, device=start.device) / parts
    points = torch.lerp(start, end, share.reshape(-1, 1, 1)).flatten(1, 2)
    points = cut.centre[:, None] + cut.half[:, None] * points
    return torch.stack(project(points[0], points[1], lower, upper, cut)).mT


def target(shift: Tensor, lower: Tensor, upper: Tensor, cut: Cut) -> Tensor:
    """The centroid, moved by `shift` [2, *R, N] half-widths of the boxes, but at most half way to an edge:
    [2, *R, N]."""
    shape = 2, *[1] * (shift.dim() - 2), -1
    middle, move = centroid(lower, upper, cut), shift * (0.5 * (upper - lower)).reshape(shape)
    u, v = ((middle - cut.centre) / cut.half).nan_to_num()
    rates = (move / cut.half.reshape(shape)).nan_to_num()
    sums, rates = (torch.stack([a + b, -a - b, a - b, b - a]) for a, b in ((u, v), rates.unbind(0)))
    ends = torch.stack([cut.sum_upper, -cut.sum_lower, cut.difference_upper, -cut.difference_lower])
    room = (ends - sums).reshape(4, *shape[1:])
    share = torch.where(rates > 0, 0.5 * room / rates, 1.0).amin(0).clamp(0.0, 1.0)
    return middle.reshape(shape) + share * move
