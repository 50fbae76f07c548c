"""The greatest σ(x)·tanh(y) − a·x − b·y on line segments.

On a segment cut into n equal cells let f be this function of the place τ ∈ [0, 1] in a cell, and p the cubic
with the values and the derivatives of f at both ends.  Then (Hermite's interpolation)

    |f − p|  =  |f⁗(ξ)|·τ²(1 − τ)²/24  ≤  max|f⁗| / 384,

and with x and y moving by dx and dy over the cell, Leibniz's rule bounds

    |f⁗|  ≤  Σ_k (4 over k)·max|σ^(k)|·max|tanh^(4−k)|·|dx|^k·|dy|^(4−k).

p is at most the greatest of its Bernstein coefficients on either side of **any** split; where it is split at
its greatest point that is p itself.

Derivatives: with w = tanh(x/2),  σ' = (1 − w²)/4,  σ'' = −w·σ',  σ''' = (3w² − 1)/2·σ',  σ⁗ = w(2 − 3w²)·σ',
so that each is at most σ' in size, and at most 1/4, 0.0963, 0.125, 0.128; tanh y = 2σ(2y) − 1.

The cells whose bound exceeds the best value found by more than a tolerance are cut again.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from relaxations.curves import tanh
from relaxations.curves.curve import largest

PARTS, AGAIN = 2, 4
"""Cells of a segment at first, and of a cell that is cut again."""
ROUNDS = 3
TOLERANCE = 1e-4
"""Of the bound, in ranges of the function over the segments' nodes, or of σ·tanh where that is less."""
SIGMOID_MOST = 0.0963, 0.125, 0.128
TANH_MOST = 0.77, 2.0, 4.09
"""Bounds of the second, third and fourth derivative."""
TANH_SHARE = 2.0, 4.0, 8.0
"""The same as multiples of the first."""
REMAINDER = 1.01
"""Times max|f⁗| / 384: a hundredth more than the bound, which a handful of roundings (2⁻⁵³ each) cannot use
up."""


class Segments(NamedTuple):
    """They run from (x, y) to (x + dx, y + dy), dx ≥ 0; a and b are the slopes of the plane, `fourth` bounds
    the derivative |f⁗| along the whole of them.  All [*S]."""

    x: Tensor
    y: Tensor
    dx: Tensor
    dy: Tensor
    a: Tensor
    b: Tensor
    fourth: Tensor


class Cells(NamedTuple):
    """Nodes, values of σ·tanh and of the function there [n + 1, *S], and upper bounds of the function over
    the cells in between [n, *S]."""

    x: Tensor
    y: Tensor
    gate: Tensor
    value: Tensor
    bound: Tensor

    def parts(self, of: Segments, index: Tensor) -> Segments:
        """Those cells, counted through [n, *S], as segments [K] themselves."""
        n, owner = len(self.bound), index % of.x.numel()
        x, y = (t.flatten()[index] for t in (self.x, self.y))
        dx, dy, a, b, fourth = (t.flatten()[owner] for t in of[2:])
        return Segments(x, y, dx / n, dy / n, a, b, fourth / n**4)


def greatest(segments: Segments, present: Tensor, best: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Upper bounds [K] of the function over several segments [m, K] where `present`, and of values `best` [K]
    that are known to be reached at `at` [2, K]; the nearly best places; and which bounds are as close as
    wanted."""
    count = best.shape[0]
    cells = evaluated(segments, PARTS)
    value, other = (torch.where(present, t, -torch.inf).flatten(0, 1) for t in (cells.value, -cells.value))
    top, index = value.max(0, keepdim=True)
    x, y = (t.flatten(0, 1).gather(0, index) for t in (cells.x, cells.y))
    at = torch.where(top > best, torch.cat([x, y]), at)
    best = torch.maximum(top[0], best)
    gate = cells.gate.flatten(0, 1)
    enough = TOLERANCE * torch.minimum(best + other.amax(0), gate.amax(0) - gate.amin(0)).clamp_(min=0.0)
    bound = torch.where(present, cells.bound, -torch.inf).reshape(-1, count)
    wide = bound > best + enough
    most = bound.masked_fill(wide, -torch.inf).amax(0)
    pick = wide.flatten().nonzero()[:, 0]
    parts, owner, bound = segments, pick % count, bound.flatten()[pick]
    for _ in range(ROUNDS):
        if not pick.numel():
            break
        parts = cells.parts(parts, pick)
        cells = evaluated(parts, AGAIN)
        top, index = cells.value.max(0, keepdim=True)
        best = best.scatter_reduce(0, owner, top[0], "amax")
        found = (top[0] == best[owner]).nonzero()[:, 0]
        place = torch.cat([t.gather(0, index) for t in (cells.x, cells.y)])
        at = at.index_copy(1, owner[found], place[:, found])
        bound, owner = cells.bound.flatten(), owner.repeat(AGAIN)
        wide = bound > (best + enough)[owner]
        most = most.scatter_reduce(0, owner, bound.masked_fill(wide, -torch.inf), "amax")
        pick = wide.nonzero()[:, 0]
        owner, bound = owner[pick], bound[pick]
    most = torch.maximum(most.scatter_reduce(0, owner, bound, "amax"), best)
    return most, at, most <= best + enough


def evaluated(of: Segments, n: int) -> Cells:
    """`n` equal cells of every segment."""
    x, y, dx, dy, a, b, fourth = of
    share = (torch.arange(n + 1, dtype=x.dtype, device=x.device) / n).reshape(-1, *[1] * x.dim())
    xs, ys = torch.addcmul(x, dx, share), torch.addcmul(y, dy, share)
    s, t = torch.sigmoid(xs), torch.tanh(ys)
    gate = s * t
    value = gate - a * xs - b * ys
    third = (s * ((1 - s) * t * dx + (1 - t * t) * dy) - (a * dx + b * dy)) / (3 * n)
    # Bernstein coefficients of the cubic; its derivative has the coefficients 3·(rise, middle, fall)
    first, last, rise, fall = value[:-1], value[1:], third[:-1], third[1:]
    second, next_to_last = first + rise, last - fall
    middle = next_to_last - second
    bend, curve = middle - rise, rise - 2 * middle + fall
    root = torch.sqrt((bend * bend - curve * rise).clamp_(min=0.0))
    split = torch.where(bend < 0, rise / (root - bend), -(bend + root) / curve)
    split = split.nan_to_num_(0.5).clamp_(0.0, 1.0)
    c0, c1, c2 = (
        torch.lerp(p, q, split) for p, q in ((first, second), (second, next_to_last), (next_to_last, last))
    )
    d0, d1 = torch.lerp(c0, c1, split), torch.lerp(c1, c2, split)
    bound = torch.stack([first, c0, d0, d1, c2, last]).amax(0)
    return Cells(xs, ys, gate, value, bound + fourth * (REMAINDER / (384 * n**4)))


def between(x: Tensor, y: Tensor, dx: Tensor, dy: Tensor, a: Tensor, b: Tensor) -> Segments:
    """Segments from (x, y) to (x + dx, y + dy), dx ≥ 0."""
    ends = torch.stack([y, y + dy])
    low, high = ends.amin(0), ends.amax(0)
    away = torch.maximum(x, -(x + dx)).clamp_(min=0.0)  # where σ' is greatest
    s, t = torch.sigmoid(x + dx), torch.tanh(largest(low, high))
    s1 = torch.sigmoid(away) * torch.sigmoid(-away)
    t1 = tanh.derivative(torch.maximum(low, -high).clamp_(min=0.0))
    s2, s3, s4 = (s1.clamp(max=most) for most in SIGMOID_MOST)
    t2, t3, t4 = ((k * t1).clamp_(max=most) for k, most in zip(TANH_SHARE, TANH_MOST, strict=True))
    size = dy.abs()
    total, power = s4 * t, size
    for k, factor in ((4, s3 * t1), (6, s2 * t2), (4, s1 * t3), (1, s * t4)):
        total = total * dx + k * factor * power
        power = power * size
    return Segments(x, y, dx, dy, a, b, total)
