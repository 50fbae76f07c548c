"""The support of σ(x)·(tanh(y) − h), h a constant of each box: the gate of LSTM and GRU cells, in closed form
but for one root.

Let F = σ(x)(tanh y − h) − a·x − b·y, s = σ(x).  The greatest F lies on an edge or on the arc of
`relaxations.products.arc`.  That is the curve y = artanh t(s), t(s) = √(1 − b/s) ≥ 0 with b > 0, an
interval s ∈ [s₀, s₁], where Ψ(s) = F has by the envelope theorem

        Ψ'(s) = G(s) = t(s) − h − a / (s(1 − s)).

t is concave in s and 1/(s(1 − s)) is convex, so for a ≥ 0 **G is concave**.  Hence Ψ falls, rises, falls, and

        max Ψ = max(Ψ(s₀), Ψ(r)),  r the larger root of G (an end of the interval if it lies outside).

Newton's method on a concave function from the right of r stays there.  It starts at the larger root of
s(1 − s) = a / (t₁ − h), which is not left of r, for t ≤ t₁.  It need not converge: at any point s ≥ r of
the interval concavity gives |G| ≤ |G(s)| between r and s, hence Ψ(r) ≤ Ψ(s) + |G(s)|·(s − s₀); where
rounding led to the left of r, G ≤ G(s) from there to the start and Ψ(r) ≤ Ψ(s) + G(s)·(start − s).  Where
an iterate has G < 0 ≤ G', G is negative on its left by concavity and on its right by the tangent that led
there: Ψ falls, its maximum is Ψ(s₀), and the iterate moves to s₀.

For a < 0:  if h ≤ t(s₀) then G > 0 and the maximum is Ψ(s₁).  Otherwise Ψ is convex for s ≥ ½ (the
integral of t is convex, so is −a·logit there), its maximum at an end; what is left, x ≤ 0, is bounded by
chords (`bilinear`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from relaxations.curves import sigmoid, tanh
from relaxations.curves.curve import between
from relaxations.products.arc import LEAST, Arc, ArcProduct
from relaxations.rounding import UNIT

NEWTON = 4


def arc(b: Tensor, x0: Tensor, x1: Tensor, y0: Tensor, y1: Tensor) -> Arc:
    """The curve meets y where s = b / (1 − tanh² y); it rises with x."""
    low = y0.clamp(min=0.0)
    enters, leaves = torch.log(b / (tanh.derivative(torch.stack([low, y1])) - b).clamp_(min=0.0))
    present = (b > 0) & (y1 > 0) & (enters <= x1) & (leaves >= x0)
    left = torch.where(present, between(enters, x0, x1), x0)
    return Arc(present, left, torch.where(present, between(leaves, left, x1), x0), low, y1)


def _height(b: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """tanh y and 1 − tanh² y on the curve."""
    share = (b / s).clamp_(1e-300, 1.0)
    return torch.sqrt(1 - share), share


def on_curve(b: Tensor, s: Tensor) -> Tensor:
    """y on the curve."""
    t, share = _height(b, s)
    return torch.log1p(t) - 0.5 * torch.log(share)


def slope(a: Tensor, b: Tensor, h: Tensor, s: Tensor, rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """G, its last term and G' at s = 1 − rest."""
    t, share = _height(b, s)
    product = s * rest
    steep = a / product
    rise = share / (2 * s * t.clamp(min=LEAST)) + steep * ((rest - s) / product)
    return t - h - steep, steep, rise


class Root(NamedTuple):
    """Where Newton's method came from the right towards the larger root of G, s = 1 − rest at (x, y); where
    it started, `first`, and the curve's least s; its last move; whether G ≥ 0 at the start, up to rounding;
    and an upper bound of Ψ over all of the curve but its left end."""

    s: Tensor
    rest: Tensor
    first: Tensor
    least: Tensor
    move: Tensor
    rising: Tensor
    value: Tensor
    x: Tensor
    y: Tensor


def larger_root(a: Tensor, b: Tensor, h: Tensor, top: Tensor, arc: Arc) -> Root:
    """For a ≥ 0, and for a < 0 if Ψ rises or is convex; `top` = tanh y₁ − h.  Meaningless where there is no
    curve."""
    root = sigmoid.inverse(a.clamp(min=0) / top.clamp(min=LEAST))
    start = torch.where(a < 0, arc.right, between(root, arc.left, arc.right))
    ends = torch.stack([arc.left, start])
    (least, s), (_, rest) = torch.sigmoid(torch.stack([ends, -ends])).clamp_(min=LEAST)
    first, last, least = s, rest, torch.where(a < 0, s, least)  # for a < 0 the start is a candidate as it is
    value, steep, rise = slope(a, b, h, s, rest)
    rising = value >= -(64 * UNIT) * (1 + h.abs() + steep.abs())
    move = torch.zeros_like(s)
    for _ in range(NEWTON):
        move = value.clamp(max=0.0) / rise.clamp_(max=-LEAST)
        move = torch.minimum(move, s - least)
        s, rest = s - move, rest + move
        value, steep, rise = slope(a, b, h, s, rest)
    # the remainders of the docstring
    excess = value.clamp(min=0.0) * (first - s) - value.clamp(max=0.0) * (s - least)
    excess += (64 * UNIT) * (1 + h.abs() + steep.abs()) * (first - least)
    x = torch.where(rest > last, between(torch.log(s / rest), arc.left, start), start)
    y = between(on_curve(b, s), arc.low, arc.high)
    # a y off by rounding misses a second-order amount: it is stationary on the curve
    psi = s * (torch.tanh(y) - h) - a * x - b * y + excess
    return Root(s, rest, first, least, move, rising, psi, x, y)


def _curve(a: Tensor, b: Tensor, h: Tensor, top: Tensor, arc: Arc) -> tuple[Tensor, Tensor, Tensor]:
    """The greatest Ψ from two candidates [2, *S], the left end and the root, with their places x and y;
    where `larger_root` holds."""
    root = larger_root(a, b, h, top, arc)
    s = torch.sigmoid(arc.left).clamp_(min=LEAST)
    y = between(on_curve(b, s), arc.low, arc.high)
    psi = s * (torch.tanh(y) - h) - a * arc.left - b * y
    return torch.stack([psi, root.value]), torch.stack([arc.left, root.x]), torch.stack([y, root.y])


support = ArcProduct(tanh.TANH, arc, _curve, lambda b, s: _height(b, s)[0]).support
