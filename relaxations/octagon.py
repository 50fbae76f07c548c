"""Octagons: boxes of operands cut by bounds on û + v̂ and û − v̂.

û = (x − cₓ)/hₓ and v̂ = (y − c_y)/h_y with a centre c and half-widths h, so that û, v̂ lie in about [−1, 1]
and the bounds cut off corners, where products err most.  The coordinate frame (c, h) is that of the box for
which the bounds were found; the box at hand may be a part of it.  (Octagon constraints: Miné, 2006.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from relaxations.curves.curve import largest

THIN = 1e-9
"""Boxes with a side thinner than this, relative to its place, are not cut: û would be rounding errors."""


@dataclass(frozen=True)
class Octagon:
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

    def map(self, function: Callable[[Tensor], Tensor]) -> Octagon:
        """The same with `function` applied to every tensor."""
        return Octagon(*(function(t) for t in (self.centre, self.half, *self.sides())))

    def trimmed(self, lower: Tensor, upper: Tensor) -> Octagon:
        """In double precision, flat, and not beyond the corners of boxes [k, *S]; there lie the sides where
        boxes are too thin to be cut."""
        _, *shape = lower.shape

        def flat(t: Tensor) -> Tensor:
            missing = [1] * (len(shape) + 1 - t.dim())  # many slopes for one box
            return t.double().reshape(len(t), *missing, *t.shape[1:]).expand(len(t), *shape).flatten(1)

        given, lower, upper = self.map(flat), flat(lower), flat(upper)
        usable = given.half > 0
        centre = torch.where(usable, given.centre, 0.5 * (lower + upper))
        half = torch.where(usable, given.half, 0.5 * (upper - lower))
        low, high = unit_box(lower, upper, centre, half)
        corners = low[:1] + low[1:], high[:1] + high[1:], low[:1] - high[1:], high[:1] - low[1:]
        tighter, cut = (torch.maximum, torch.minimum) * 2, usable & thick(lower, upper)
        sides = [
            torch.where(cut[:1] & cut[1:], choose(side, corner), corner)
            for choose, side, corner in zip(tighter, given.sides(), corners, strict=True)
        ]
        return Octagon(centre, half, *sides)

    def pair(self, j: int) -> Cut:
        """The first operand and the one after it by `j` + 1 places, of a `trimmed` octagon."""
        pick = [0, j + 1]
        return Cut(self.centre[pick], self.half[pick], *(side[j] for side in self.sides()))

    def part(self, boxes: slice) -> Octagon:
        """Those of some of N boxes."""
        return self.map(lambda t: t[:, boxes])


class Cut(NamedTuple):
    """Octagons of two operands of N boxes: frames [2, N] and bounds [N] (or [2, *S], [*S])."""

    centre: Tensor
    half: Tensor
    sum_lower: Tensor
    sum_upper: Tensor
    difference_lower: Tensor
    difference_upper: Tensor


def thick(lower: Tensor, upper: Tensor) -> Tensor:
    """Operands [k, N] whose interval is wide enough to be cut."""
    half = 0.5 * (upper - lower)
    return (half > THIN * largest(lower, upper)) & (half > 0)


def unit_box(lower: Tensor, upper: Tensor, centre: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    """The ends of boxes [k, N] in a frame; 0 where it has no width."""
    ends = ((end - centre) / half for end in (lower, upper))
    low, high = (torch.where(half > 0, end, 0.0) for end in ends)
    return low, high
