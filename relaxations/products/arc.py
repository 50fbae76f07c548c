"""The support of σ(x)·(g(y) − h) for odd g that are concave where y ≥ 0, h a constant of each box: what
`sigmoid_tanh` and `sigmoid_softsign` have in common.

For fixed x the greatest F = σ(x)(g(y) − h) − a·x − b·y has y at an end of its range, or inside where F is
stationary in y ≥ 0 (b > 0; the other root is a minimum).  So the maximum is on an edge y = const, the support
of the curve (g(y) − h)·σ(x), or on the *arc* of stationary points, where each g has its own closed form; what
that leaves is bounded by chords (`bilinear`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from relaxations.curves.curve import Curve, best, greatest
from relaxations.curves.sigmoid import SIGMOID
from relaxations.gate import Support
from relaxations.products.bilinear import Problem, product_support

LEAST = 1e-150


class Arc(NamedTuple):
    """The stationary points inside the box: `present` where there are any; x from `left` to `right`, y from
    `low` to `high`, rising with x."""

    present: Tensor
    left: Tensor
    right: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class ArcProduct:
    """A factor g: its `curve`; its `arc` from b and the ends of x and y; the greatest F `on_arc` from a, b,
    h, g(y₁) − h and the arc, as candidates [2, *S] with their places x and y, where the arc has a closed
    form; and its `height`, g at the arc's point of a given σ(x), from b and σ(x)."""

    curve: Curve
    arc: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Arc]
    on_arc: Callable[[Tensor, Tensor, Tensor, Tensor, Arc], tuple[Tensor, Tensor, Tensor]]
    height: Callable[[Tensor, Tensor], Tensor]

    def support(
        self,
        scale: Tensor,
        slopes: tuple[Tensor, Tensor],
        x: tuple[Tensor, Tensor],
        y: tuple[Tensor, Tensor],
        h: Tensor | None = None,
    ) -> Support:
        """An upper bound [*S] of scale·σ(x)(g(y) − h) − a·x − b·y, scale = ±1, and the place [2, *S] where it
        is attained.  Arguments broadcast to [*S]; `h` is 0 by default."""
        # −σ(x)(g(y) − h) = σ(x)(g(−y) + h): the sign moves into y, b and h
        shift = torch.zeros_like(scale) if h is None else scale * h
        ends = scale * y[0], scale * y[1]
        a, b, x0, x1, y0, y1, shift = torch.broadcast_tensors(
            slopes[0], scale * slopes[1], *x, torch.minimum(*ends), torch.maximum(*ends), shift
        )
        side = torch.stack([y0, y1])
        heights = self.curve.function(side) - shift
        edge = SIGMOID.support(heights, a, x0, x1)
        part = self.arc(b, x0, x1, y0, y1)
        inside, at_x, at_y = self.on_arc(a, b, shift, heights[1], part)
        found = greatest(
            torch.cat([edge.value - b * side, torch.where(part.present, inside, -torch.inf)]),
            torch.stack([torch.cat([edge.at, at_x]), torch.cat([side, at_y])]),
        )
        if h is not None:
            chords = self._chords(a, b, shift, part)
            found = best((found.value, found.at), (chords.value, chords.at))
        return Support(found.value, torch.stack([found.at[0], scale * found.at[1]]))

    def _chords(self, a: Tensor, b: Tensor, h: Tensor, arc: Arc) -> Support:
        """A bound of what `on_arc` leaves: the part x ≤ 0 where a < 0 and h > g(y); −∞ elsewhere."""
        left = arc.present & (a < 0) & (arc.left < 0) & (h > 0)
        value, at = torch.full_like(a, -torch.inf), torch.stack([arc.left, arc.low])
        if bool(left.any()):
            left &= self.height(b, torch.sigmoid(arc.left).clamp(min=LEAST)) < h
            pick = [t[left] for t in (a, b, h, arc.left, arc.right.clamp(max=0.0), arc.low, arc.high)]
            a, b, h, x0, x1, y0, y1 = pick
            one = torch.ones_like(a)
            # one partition is enough: this part of the arc was never seen to hold the maximum
            of = Problem(one, (a, b), (x0, x1), (y0, y1), h)
            found = product_support(SIGMOID, self.curve, of, rounds=0)
            value[left], at[:, left] = found.value, found.at
        return Support(value, at)
