"""Products w(x)·(g(y) − h) of two curves, h a constant of each box, instead of McCormick's (1976) of x·y.

McCormick's envelope bounds a product of two values after each was bounded alone; here the curves w and g stay
in: LSTM and GRU gates are bounded in their own operands x and y, as in POPQORN (Ko et al. 2019).

Where a factor is linear between nodes so is the product for a fixed other operand, and its greatest value
lies at a node.  What is left at each node is the support of the other curve with another scale: exact, in
closed form (`straight_support`).

Otherwise, for fixed x the inner maximum depends on x through s = w(x) alone,

    H(s) = max over y of  scale·s·g(y) − b·y,

a maximum of functions linear in s, hence *convex* in s.  On an interval of s its chord lies above it: for any
slope β and α = max over both ends of H − β·s,  H(s) ≤ α + β·s.  So over one interval of x

    max scale·w(x)·(g(y) − h) − a·x − b·y  ≤  α + max over x of (β − scale·h)·w(x) − a·x,

which is the support of the curve w with another scale.  The error is quadratic in the length of the interval;
the intervals with the greatest bound are cut again a few times.  Every stage is an upper bound, none a
sample.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from relaxations.curves.curve import Curve, between, greatest
from relaxations.gate import Support

PARTS = 8
ROUNDS = 3


class _Intervals(NamedTuple):
    bound: Tensor
    left: Tensor
    right: Tensor
    at: Tensor


class Problem(NamedTuple):
    """The greatest scale·w(x)·(g(y) − h) − slopes·(x, y) over `x` and `y` between their ends; all tensors
    broadcast to [*S]."""

    scale: Tensor
    slopes: tuple[Tensor, Tensor]
    x: tuple[Tensor, Tensor]
    y: tuple[Tensor, Tensor]
    h: Tensor | float = 0.0


def product_support(w: Curve, g: Curve, of: Problem, rounds: int = ROUNDS) -> Support:
    """An upper bound of it, and its place; `w` must be monotone unless a factor is straight."""
    if not (w.straight or g.straight or w.monotone):
        raise ValueError("the outer factor of a product of two curves must be monotone")
    h = of.h
    scale, a, b, x0, x1, y0, y1, _ = torch.broadcast_tensors(
        of.scale, *of.slopes, *of.x, *of.y, torch.as_tensor(h)
    )
    if w.straight or g.straight:
        return straight_support(w, g, Problem(scale, (a, b), (x0, x1), (y0, y1), h))

    def bound(nodes: Tensor) -> _Intervals:
        """Upper bounds over the intervals between neighbours on axis 1 of `nodes` [m, parts + 1, *S]."""
        s = w.function(nodes)
        inner = g.support(scale * s, b, y0, y1).value
        left, right, s0, s1, inner0, inner1 = (
            v[:, part].flatten(0, 1) for v in (nodes, s, inner) for part in (slice(None, -1), slice(1, None))
        )
        gap = s1 - s0
        chord = torch.where(gap == 0, 0.0, (inner1 - inner0) / torch.where(gap == 0, 1.0, gap))
        slope = between(chord, -steepest, steepest)
        height = torch.maximum(inner0 - slope * s0, inner1 - slope * s1)
        outer = w.support(slope - scale * h, a, left, right)
        return _Intervals(height + outer.value, left, right, outer.at)

    steepest = g.magnitude(y0, y1)  # |H'(s)| ≤ max|g|
    found = bound(w.nodes(x0, x1, PARTS)[None])
    total: Tensor | None = None
    for _ in range(rounds):
        top = found.bound.topk(3, dim=0)
        rest = top.values[2]
        total = rest if total is None else torch.maximum(total, rest)
        pick = top.indices[:2]
        left, right = found.left.gather(0, pick), found.right.gather(0, pick)
        steps = torch.arange(PARTS + 1, dtype=left.dtype, device=left.device) / PARTS
        steps = steps.reshape(1, -1, *[1] * scale.dim())
        nodes = torch.minimum(left[:, None] + (right - left)[:, None] * steps, right[:, None])
        found = bound(torch.cat([nodes[:, :-1], right[:, None]], dim=1))
    last = found.bound.max(dim=0)
    value = last.values if total is None else torch.maximum(total, last.values)
    at = found.at.gather(0, last.indices[None])[0]
    place = g.support(scale * w.function(at), b, y0, y1).at
    return Support(value, torch.stack([at, place.expand(value.shape)]))


def straight_support(w: Curve, g: Curve, of: Problem) -> Support:
    """Where one of the curves is straight, in closed form; all tensors but h [*S]."""
    scale, slopes, x, y, h = of
    if g.straight:
        nodes = g.nodes(*y, 1)
        found = w.support(scale * (g.function(nodes) - h), slopes[0], *x)
        value, places = found.value - slopes[1] * nodes, (found.at, nodes)
    else:
        nodes = w.nodes(*x, 1)
        weight = scale * w.function(nodes)
        found = g.support(weight, slopes[1], *y)
        value, places = found.value - weight * h - slopes[0] * nodes, (nodes, found.at)
    return greatest(value, torch.stack(places))


def product_image(w: tuple[Tensor, Tensor], g: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Least and greatest product of two intervals."""
    corners = torch.stack([w[0] * g[0], w[0] * g[1], w[1] * g[0], w[1] * g[1]])
    return corners.amin(0), corners.amax(0)
