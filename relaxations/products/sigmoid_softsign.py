"""The support of σ(x)·(softsign(y) − h), h a constant of each box, in closed form but for one root.

The greatest F = σ(x)(softsign y − h) − a·x − b·y lies on an edge or on the arc of
`relaxations.products.arc`.  That is at 1 + y = p/c with p = √σ(x) and c = √b, hence softsign y = 1 − c/p.
On it p ∈ [p₀, p₁], and

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

import torch
from torch import Tensor

from relaxations.curves.curve import between
from relaxations.curves.sigmoid import inverse as sigmoid_inverse
from relaxations.curves.softsign import SOFTSIGN, softsign
from relaxations.products.arc import LEAST, Arc, ArcProduct
from relaxations.rounding import UNIT

NEWTON = 4


def _arc(b: Tensor, x0: Tensor, x1: Tensor, y0: Tensor, y1: Tensor) -> Arc:
    """The curve meets y where s = b·(1 + y)²; it rises with x."""
    low = y0.clamp(min=0.0)
    s = b * (1 + torch.stack([low, y1])).square()
    enters, leaves = torch.log(s / (1 - s).clamp_(min=0.0))
    present = (b > 0) & (y1 > 0) & (enters <= x1) & (leaves >= x0)
    left = torch.where(present, between(enters, x0, x1), x0)
    right = torch.where(present, between(leaves, left, x1), x0)
    return Arc(present, left, right, low, y1)


def _curve(a: Tensor, b: Tensor, h: Tensor, top: Tensor, arc: Arc) -> tuple[Tensor, Tensor, Tensor]:
    """The greatest Ψ where a ≥ 0, and where a < 0 if Ψ rises or is convex, from two candidates [2, *S] with
    their places x and y; `top` = softsign y₁ − h ≥ T.  Meaningless where there is no curve."""
    c, right = _root(b), sigmoid_inverse(a.clamp(min=0) / top.clamp(min=LEAST))
    start = torch.where(a < 0, arc.right, between(right, arc.left, arc.right))
    ends = torch.stack([arc.left, start])
    (s0, s), (_, rest) = sides = torch.sigmoid(torch.stack([ends, -ends])).clamp_(min=LEAST)
    p = torch.sqrt(s)
    least = torch.where(a < 0, p, torch.sqrt(s0))  # for a < 0 the start is a candidate as it is
    first, last, rate = p, rest, 1 - h

    def slope() -> tuple[Tensor, Tensor]:
        """G and its last term."""
        steep = a / (p * rest)
        return rate * p - c - steep, steep

    for _ in range(NEWTON):
        value, steep = slope()
        rise = rate + steep * ((rest - 2 * p * p) / (p * rest))
        move = value.clamp_(max=0.0) / rise.clamp_(max=-LEAST)
        move = torch.minimum(move, p - least)
        rest = rest + move * (2 * p - move)
        p = p - move
    value, steep = slope()
    # the remainders of the docstring
    excess = value.clamp(min=0.0) * (first - p) - value.clamp(max=0.0) * (p - least)
    excess += (64 * UNIT) * (1 + h.abs() + c + steep.abs()) * (first - least)
    x = torch.where(rest > last, between(torch.log(p * p / rest), arc.left, start), start)
    x = torch.stack([arc.left, x])
    weight = torch.stack([sides[0, 0], p * p])
    # a y off by rounding misses a second-order amount: it is stationary on the curve
    y = between(torch.sqrt(weight) / c - 1, arc.low, arc.high)
    psi = weight * (softsign(y) - h) - a * x - b * y
    psi[1] += 2 * excess
    return psi, x, y


def _root(b: Tensor) -> Tensor:
    """c = √b."""
    return torch.sqrt(b.clamp(min=LEAST * LEAST))


def _height(b: Tensor, s: Tensor) -> Tensor:
    return 1 - _root(b) / torch.sqrt(s)


support = ArcProduct(SOFTSIGN, _arc, _curve, _height).support
