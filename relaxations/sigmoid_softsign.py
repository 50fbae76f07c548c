"""The support of σ(x)·(softsign(y) − h), h a constant of each box, in closed form but for one root.

As in `relaxations.sigmoid_tanh` the greatest F = σ(x)(softsign y − h) − a·x − b·y lies on an edge y = const,
a support of the curve σ, or where F is stationary in y. That is at 1 + y = p/c with p = √σ(x), c = √b and
y ≥ 0 (b > 0; the other root is a minimum), hence softsign y = 1 − c/p. On that curve p ∈ [p₀, p₁], and

    Ψ(p) = F = (1 − h)·p² − 2c·p + b − a·log(p² / (1 − p²)),
    Ψ'(p) = 2·G(p),   G(p) = (1 − h)·p − c − a / (p(1 − p²)).

1/(p(1 − p²)) is the exponential of −log p − log(1 − p) − log(1 + p), a sum of convex functions, so it is
convex, and for a ≥ 0 **G is concave**: Ψ falls, rises, falls, max Ψ = max(Ψ(p₀), Ψ(r)) with r the larger root
of G or the end of the interval next to it.

Newton's method on a concave function from the right of r stays there. It starts at the larger root of
σ(x)(1 − σ(x)) = a / T with T ≥ 1 − c/p₁ − h, which is not left of r, since G(p)/p ≤ T − a/(p²(1 − p²)). It
need not converge: at any p ≥ r concavity gives |G| ≤ |G(p)| between r and p, and so
Ψ(r) ≤ Ψ(p) + 2|G(p)|·(p − p₀);  where rounding led to the left of r, G ≤ G(p) from there to the start, and
Ψ(r) ≤ Ψ(p) + 2G(p)·(start − p).  Where an iterate has G < 0 ≤ G', G is negative on its left by concavity and
on its right by the tangent that led there: Ψ falls, its maximum is Ψ(p₀), and the iterate moves to p₀.

For a < 0: if h ≤ 1 − c/p₀ then G > 0 and the maximum is Ψ(p₁). Otherwise Ψ is convex in s = p² for s ≥ ½, as
dΨ/ds = 1 − c/√s − h − a/(s(1 − s)) rises there, and its maximum is at an end; what is left, x ≤ 0, is bounded
by chords (`bilinear`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from relaxations.bilinear import product_support
from relaxations.curves import best, between, greatest
from relaxations.gate import Support
from relaxations.gates.sigmoid import SIGMOID
from relaxations.gates.sigmoid import inverse as sigmoid_inverse
from relaxations.gates.softsign import SOFTSIGN, softsign
from relaxations.rounding import UNIT

NEWTON = 4
LEAST = 1e-150


def support(
    scale: Tensor,
    slopes: tuple[Tensor, Tensor],
    x: tuple[Tensor, Tensor],
    y: tuple[Tensor, Tensor],
    h: Tensor | None = None,
) -> Support:
    """An upper bound [*S] of scale·σ(x)(softsign(y) − h) − a·x − b·y, scale = ±1, and the place [2, *S]
    where it is attained.  Arguments broadcast to [*S]; `h` is 0 by default."""
    # −σ(x)(softsign(y) − h) = σ(x)(softsign(−y) + h): the sign moves into y, b and h
    shift = torch.zeros_like(scale) if h is None else scale * h
    ends = scale * y[0], scale * y[1]
    a, b, x0, x1, y0, y1, shift = torch.broadcast_tensors(
        slopes[0], scale * slopes[1], *x, torch.minimum(*ends), torch.maximum(*ends), shift
    )
    side = torch.stack([y0, y1])
    heights = softsign(side) - shift
    edge = SIGMOID.support(heights, a, x0, x1)
    arc = _arc(b, x0, x1, y0, y1)
    inside, at_x, at_y = _curve(a, b, shift, heights[1], arc)
    found = greatest(
        torch.cat([edge.value - b * side, torch.where(arc.present, inside, -torch.inf)]),
        torch.stack([torch.cat([edge.at, at_x]), torch.cat([side, at_y])]),
    )
    if h is not None:
        chords = _chords(a, b, shift, arc)
        found = best((found.value, found.at), (chords.value, chords.at))
    return Support(found.value, torch.stack([found.at[0], scale * found.at[1]]))


class _Arc(NamedTuple):
    """The curve inside the box: `present` where there is any; x from `left` to `right`, y from `low` to
    `high`; c = √b."""

    present: Tensor
    left: Tensor
    right: Tensor
    low: Tensor
    high: Tensor
    root: Tensor


def _arc(b: Tensor, x0: Tensor, x1: Tensor, y0: Tensor, y1: Tensor) -> _Arc:
    """The curve meets y where s = b·(1 + y)²; it rises with x."""
    low = y0.clamp(min=0.0)
    s = b * (1 + torch.stack([low, y1])).square()
    enters, leaves = torch.log(s / (1 - s).clamp_(min=0.0))
    present = (b > 0) & (y1 > 0) & (enters <= x1) & (leaves >= x0)
    left = torch.where(present, between(enters, x0, x1), x0)
    right = torch.where(present, between(leaves, left, x1), x0)
    return _Arc(present, left, right, low, y1, torch.sqrt(b.clamp(min=LEAST * LEAST)))


def _curve(a: Tensor, b: Tensor, h: Tensor, top: Tensor, arc: _Arc) -> tuple[Tensor, Tensor, Tensor]:
    """The greatest Ψ where a ≥ 0, and where a < 0 if Ψ rises or is convex, from two candidates [2, *S] with
    their places x and y; `top` = softsign y₁ − h ≥ T.  Meaningless where there is no curve."""
    root = sigmoid_inverse(a.clamp(min=0) / top.clamp(min=LEAST))
    start = torch.where(a < 0, arc.right, between(root, arc.left, arc.right))
    ends = torch.stack([arc.left, start])
    (s0, s), (_, rest) = sides = torch.sigmoid(torch.stack([ends, -ends])).clamp_(min=LEAST)
    p = torch.sqrt(s)
    least = torch.where(a < 0, p, torch.sqrt(s0))  # for a < 0 the start is a candidate as it is
    first, last, rate = p, rest, 1 - h

    def slope() -> tuple[Tensor, Tensor]:
        """G and its last term."""
        steep = a / (p * rest)
        return rate * p - arc.root - steep, steep

    for _ in range(NEWTON):
        value, steep = slope()
        rise = rate + steep * ((rest - 2 * p * p) / (p * rest))
        move = value.clamp_(max=0.0) / rise.clamp_(max=-LEAST)
        move = torch.minimum(move, p - least)
        rest = rest + move * (2 * p - move)
        p = p - move
    value, steep = slope()
    # the remainders of the docstring
    slack = value.clamp(min=0.0) * (first - p) - value.clamp(max=0.0) * (p - least)
    slack += (64 * UNIT) * (1 + h.abs() + arc.root + steep.abs()) * (first - least)
    x = torch.where(rest > last, between(torch.log(p * p / rest), arc.left, start), start)
    x = torch.stack([arc.left, x])
    weight = torch.stack([sides[0, 0], p * p])
    # a y off by rounding misses a second-order amount: it is stationary on the curve
    y = between(torch.sqrt(weight) / arc.root - 1, arc.low, arc.high)
    psi = weight * (softsign(y) - h) - a * x - b * y
    psi[1] += 2 * slack
    return psi, x, y


def _chords(a: Tensor, b: Tensor, h: Tensor, arc: _Arc) -> Support:
    """A bound of what `_curve` leaves: the part x ≤ 0 where a < 0 and h > softsign y; −∞ elsewhere."""
    left = arc.present & (a < 0) & (arc.left < 0) & (h > 0)
    value, at = torch.full_like(a, -torch.inf), torch.stack([arc.left, arc.low])
    if bool(left.any()):
        left &= 1 - arc.root / torch.sqrt(torch.sigmoid(arc.left).clamp(min=LEAST)) < h
        pick = [t[left] for t in (a, b, h, arc.left, arc.right.clamp(max=0.0), arc.low, arc.high)]
        a, b, h, x0, x1, y0, y1 = pick
        one = torch.ones_like(a)
        # one partition is enough: this part of the curve was never seen to hold the maximum
        found = product_support(SIGMOID, SOFTSIGN, one, (a, b), (x0, x1), (y0, y1), h, rounds=0)
        value[left], at[:, left] = found.value, found.at
    return Support(value, at)
