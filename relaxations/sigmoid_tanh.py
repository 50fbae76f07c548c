"""The support of σ(x)·(tanh(y) − h), h a constant of each box: the gate of LSTM and GRU cells, in closed form
but for one root.

Let F = σ(x)(tanh y − h) − a·x − b·y, s = σ(x).  For fixed x the greatest F has y at an end of its range, or
inside at tanh y = t(s) = √(1 − b/s) ≥ 0 (b > 0; the other root is a minimum).  So the maximum is

  * on an edge y = const: the support of the curve (tanh y − h)·σ(x); or
  * on the curve y = artanh t(s), an interval s ∈ [s₀, s₁], where Ψ(s) = F has by the envelope theorem

        Ψ'(s) = G(s) = t(s) − h − a / (s(1 − s)).

t is concave in s and 1/(s(1 − s)) is convex, so for a ≥ 0 **G is concave**.  Hence Ψ falls, rises, falls, and

        max Ψ = max(Ψ(s₀), Ψ(r)),  r the larger root of G (an end of the interval if it lies outside).

Newton's method on a concave function from the right of r stays there.  It starts at the larger root of
s(1 − s) = a / (t₁ − h), which is not left of r, for t ≤ t₁.  It need not converge: at any point s of the
interval where G' ≤ 0, concavity gives |G| ≤ |G(s)| between s and r, hence Ψ(r) ≤ Ψ(s) + |G(s)|·(s₁ −
s₀).  Where an iterate has G < 0 < G', G is negative on its left by concavity and on its right by the
tangent that led there: Ψ falls and its maximum is Ψ(s₀).

For a < 0:  if h ≤ t(s₀) then G > 0 and the maximum is Ψ(s₁).  Otherwise Ψ is convex for s ≥ ½ (the
integral of t is convex, so is −a·logit there), its maximum at an end; what is left, x ≤ 0, is bounded by
chords (`bilinear`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from relaxations.bilinear import product_support
from relaxations.curves import best, between
from relaxations.gate import Support
from relaxations.gates import sigmoid, tanh
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
    """An upper bound [*S] of scale·σ(x)(tanh(y) − h) − a·x − b·y, scale = ±1, and the place [2, *S]
    where it is attained.  Arguments broadcast to [*S]; `h` is 0 by default."""
    # −σ(x)(tanh(y) − h) = σ(x)(tanh(−y) + h): the sign moves into y, b and h
    shift = torch.zeros_like(scale) if h is None else scale * h
    ends = scale * y[0], scale * y[1]
    a, b, x0, x1, y0, y1, shift = torch.broadcast_tensors(
        slopes[0], scale * slopes[1], *x, torch.minimum(*ends), torch.maximum(*ends), shift
    )
    side = torch.stack([y0, y1])
    edge = sigmoid.SIGMOID.support(torch.tanh(side) - shift, a, x0, x1)
    value, index = (edge.value - b * side).max(0)
    at = torch.stack([edge.at, side]).gather(1, index.expand(2, 1, *index.shape))[:, 0]
    arc = _arc(b, x0, x1, y0, y1)
    candidates = [_curve(a, b, shift, arc)]
    if h is not None:
        candidates.append(_chords(a, b, shift, arc))
    value, at = best((value, at), *((found.value, found.at) for found in candidates))
    return Support(value, torch.stack([at[0], scale * at[1]]))


class _Arc(NamedTuple):
    """The curve inside the box: `present` where there is any; x from `left` to `right`, y from `low` to
    `high`."""

    present: Tensor
    left: Tensor
    right: Tensor
    low: Tensor
    high: Tensor


class _Point(NamedTuple):
    """A point of the curve: s, 1 − s, tanh y and y."""

    s: Tensor
    rest: Tensor
    t: Tensor
    y: Tensor


def _arc(b: Tensor, x0: Tensor, x1: Tensor, y0: Tensor, y1: Tensor) -> _Arc:
    """The curve meets y where s = b / (1 − tanh² y); it rises with x."""
    low = y0.clamp(min=0.0)
    enters, leaves = (torch.log(b / (tanh.derivative(y) - b).clamp(min=0.0)) for y in (low, y1))
    present = (b > 0) & (y1 > 0) & (enters <= x1) & (leaves >= x0)
    left = torch.where(present, between(enters, x0, x1), x0)
    return _Arc(present, left, torch.where(present, between(leaves, left, x1), x0), low, y1)


def _point(b: Tensor, arc: _Arc, x: Tensor) -> _Point:
    s, rest = torch.sigmoid(x).clamp(min=LEAST), torch.sigmoid(-x).clamp(min=LEAST)
    share = (b / s).clamp(1e-300, 1.0)  # 1 − tanh² y
    t = torch.sqrt(1 - share)
    return _Point(s, rest, t, between(torch.log1p(t) - 0.5 * torch.log(share), arc.low, arc.high))


def _psi(a: Tensor, b: Tensor, h: Tensor, arc: _Arc, x: Tensor) -> tuple[Tensor, Tensor]:
    """Ψ and its place.  A y off by rounding misses a second-order amount: it is stationary on the curve."""
    s, _, _, y = _point(b, arc, x)
    return s * (torch.tanh(y) - h) - a * x - b * y, torch.stack([x, y])


def _slope(a: Tensor, b: Tensor, h: Tensor, at: _Point) -> tuple[Tensor, Tensor]:
    """G and G' at a point."""
    product = at.s * at.rest
    steep = a / product
    rise = b / (2 * at.s * at.s * at.t.clamp(min=LEAST)) + steep * ((at.rest - at.s) / product)
    return at.t - h - steep, rise


def _curve(a: Tensor, b: Tensor, h: Tensor, arc: _Arc) -> Support:
    """The greatest Ψ where a ≥ 0, and where a < 0 if Ψ rises or is convex; −∞ where there is no curve."""
    root = sigmoid.inverse(a.clamp(min=0) / (torch.tanh(arc.high) - h).clamp(min=LEAST))
    start = torch.where(a < 0, arc.right, between(root, arc.left, arc.right))
    x = start
    for _ in range(NEWTON):
        at = _point(b, arc, x)
        value, rise = _slope(a, b, h, at)
        move = torch.where((value < 0) & (rise < 0) & (a >= 0), value / rise, 0.0)
        step = torch.log1p(-(move / at.s).clamp(max=1.0)) - torch.log1p(move / at.rest)  # in x = logit s
        x = torch.maximum(x + step.nan_to_num(), arc.left)
    at = _point(b, arc, x)
    value, rise = _slope(a, b, h, at)
    # the remainder of the docstring; at the start itself a positive G says that Ψ rises up to it
    slack = torch.where(value < 0, torch.where(rise <= 0, -value, 0.0), torch.where(x < start, value, 0.0))
    slack = slack + (64 * UNIT) * (1 + h.abs() + a.abs() / (at.s * at.rest))
    slack = slack * (torch.sigmoid(start) - torch.sigmoid(arc.left))
    found = best(*(_psi(a, b, h, arc, place) for place in (arc.left, x, start)))
    total = found.value + torch.where((a >= 0) & (start > arc.left), slack, 0.0)
    return Support(torch.where(arc.present, total, -torch.inf), found.at)


def _chords(a: Tensor, b: Tensor, h: Tensor, arc: _Arc) -> Support:
    """A bound of what `_curve` leaves: the part x ≤ 0 where a < 0 and h > t; −∞ elsewhere."""
    left = arc.present & (a < 0) & (arc.left < 0) & (_point(b, arc, arc.left).t < h)
    value, at = torch.full_like(a, -torch.inf), torch.stack([arc.left, arc.low])
    if bool(left.any()):
        pick = [t[left] for t in (a, b, h, arc.left, arc.right.clamp(max=0.0), arc.low, arc.high)]
        a, b, h, x0, x1, y0, y1 = pick
        one = torch.ones_like(a)
        # one partition is enough: this part of the curve was never seen to hold the maximum
        found = product_support(sigmoid.SIGMOID, tanh.TANH, one, (a, b), (x0, x1), (y0, y1), h, rounds=0)
        value[left], at[:, left] = found.value, found.at
    return Support(value, at)
