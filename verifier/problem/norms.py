"""The largest value of a linear form over a box corner cut by an Lp ball, and where it is taken.

    value(a, m, r)  =  max { Σ aᵢ·tᵢ  :  0 ≤ tᵢ ≤ mᵢ,  ‖t‖_p ≤ r }          a, m, r ≥ 0

For any split a = v + w into non-negative parts, Hölder's inequality with 1/p + 1/q = 1 gives

    Σ aᵢ·tᵢ  =  Σ wᵢ·tᵢ + Σ vᵢ·tᵢ  ≤  Σ wᵢ·mᵢ + r·‖v‖_q                      (weak duality)

so *every* split yields an upper bound, made of non-negative terms only, and rounding costs it a relative
error. It is the least, and equal to the value, for vᵢ = min(aᵢ, μ·mᵢ^(p−1)) at the multiplier μ where
tᵢ = min(mᵢ, (aᵢ/μ)^(1/(p−1))) has norm r (for p = 1: vᵢ = min(aᵢ, μ), the fractional knapsack). A bad μ costs
tightness, never soundness.

Tensors are [..., n] with r [...]; 1 ≤ p < ∞.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from relaxations.rounding import relative_margin


def conjugate(p: float, dtype: torch.dtype) -> tuple[float, float]:
    """(q, 1/q), both numbers of `dtype`: q no larger than p/(p−1) and 1/q no smaller than its inverse.

    ‖v‖_q falls as q grows, and s^(1/q) grows with 1/q for s ≥ 1: both roundings are outward.
    """
    if p == 1:
        return math.inf, 0.0
    if p == 2:
        return 2.0, 0.5
    scalar = np.float32 if dtype == torch.float32 else np.float64
    q = np.nextafter(scalar(p / (p - 1) * (1 - 1e-15)), scalar(1))
    inverse = np.nextafter(scalar(1 / float(q)), scalar(2))
    return float(q), float(inverse)


def norm(v: Tensor, q: float, inverse: float | None = None) -> Tensor:
    """‖v‖_q over the last axis of v ≥ 0, scaled by the largest entry so that no power overflows.

    Relative error at most `relative_margin(n)`: the norm is homogeneous of degree one, so that an error δ
    in each vᵢ is an error δ in the norm, whatever q is. Differentiable, with gradient 0 at v = 0.
    """
    largest = v.amax(dim=-1)
    if math.isinf(q):
        return largest
    scale = largest.detach().clamp(min=torch.finfo(v.dtype).tiny)
    ratio = v / scale.unsqueeze(-1)
    total = (ratio * ratio if q == 2 else ratio.pow(q)).sum(dim=-1)
    total = torch.where(total > 0, total, torch.ones_like(total))  # v = 0: `largest` makes it 0 again
    root = total.sqrt() if q == 2 else total.pow(1 / q if inverse is None else inverse)
    return torch.where(largest > 0, scale * root, torch.zeros_like(root))


def upper_value(a: Tensor, m: Tensor, r: Tensor, p: float) -> Tensor:
    """An upper bound [...] of value(a, m, r), exact but for an outward margin; differentiable in a.

    The gradient is the maximiser t (envelope theorem).
    """
    with torch.no_grad():
        unit_m, unit_a = _units(a, m, r)
        log_mu = _log_multiplier(unit_a, unit_m, p)
        cap = (log_mu.unsqueeze(-1) + (p - 1) * unit_m.log()).exp() * a.amax(dim=-1, keepdim=True)
        v = torch.minimum(a, torch.where(unit_m > 0, cap, torch.zeros_like(cap)))
        q, inverse = conjugate(p, a.dtype)
        reach = torch.minimum(m, r.unsqueeze(-1))  # no coordinate of the ball goes farther than r
        bound = (reach * (a - v)).sum(dim=-1) + r * norm(v, q, inverse)
        bound = bound * (1 + relative_margin(a.shape[-1], a.dtype))
    if not a.requires_grad:
        return bound
    t = _maximiser(unit_a, unit_m, log_mu, p) * r.unsqueeze(-1)
    return bound + ((a - a.detach()) * t).sum(dim=-1)


def unclipped_value(a: Tensor, r: Tensor, p: float) -> Tensor:
    """The same without a box: r·‖a‖_q."""
    q, inverse = conjugate(p, a.dtype)
    return r * norm(a, q, inverse) * (1 + relative_margin(a.shape[-1], a.dtype))


def maximiser(a: Tensor, m: Tensor, r: Tensor, p: float) -> Tensor:
    """A t [..., n] with t ≤ m and, up to rounding, ‖t‖_p ≤ r at which a·t is largest."""
    with torch.no_grad():
        unit_m, unit_a = _units(a, m, r)
        t = _maximiser(unit_a, unit_m, _log_multiplier(unit_a, unit_m, p), p)
        return torch.minimum(t * r.unsqueeze(-1), m)


def _maximiser(a: Tensor, m: Tensor, log_mu: Tensor, p: float) -> Tensor:
    """The maximiser for r = 1, given the multiplier."""
    with torch.no_grad():
        if p < 1 + 1e-6:  # the powers below lose their digits; the 1-ball lies inside, and that close
            order = a.argsort(dim=-1, descending=True)
            most = m.gather(-1, order)
            before = most.cumsum(dim=-1) - most
            t = torch.minimum(most, (1 - before).clamp(min=0))
            return torch.zeros_like(t).scatter(-1, order, t)
        wanted = ((a.log() - log_mu.unsqueeze(-1)) / (p - 1)).exp()
        t = torch.where(a > 0, torch.minimum(m, wanted), torch.zeros_like(m))
        return t / norm(t, p).clamp(min=1).unsqueeze(-1)


def _units(a: Tensor, m: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """m in units of r (at most 1) and a in units of its largest entry, so that powers stay in range."""
    tiny = torch.finfo(a.dtype).tiny
    unit_m = (m / r.clamp(min=tiny).unsqueeze(-1)).clamp(max=1)
    unit_a = a / a.amax(dim=-1, keepdim=True).clamp(min=tiny)
    wide, _ = torch.broadcast_tensors(unit_m, unit_a)  # broadcast_shapes would import sympy: half a second
    return wide, unit_a


def _log_multiplier(a: Tensor, m: Tensor, p: float) -> Tensor:
    """log μ [...] at which the maximiser for r = 1 fills the ball; −∞ where the whole box lies in the ball.

    tᵢ is cut to mᵢ for μ ≤ kᵢ = aᵢ/mᵢ^(p−1). With the k sorted downwards and the first j cut,

        ‖t‖^p  =  S_j + μ^(−q)·Q_j,      S_j = Σ_{i≤j} mᵢ^p,   Q_j = Σ_{i>j} aᵢ^q

    which grows as μ falls: take the last j for which it is at most 1 at μ = k_j, and solve for μ. Logarithms
    keep powers in range; for p = 1 the k are the a, and μ is the first one that does not fit whole.
    """
    nothing = torch.full_like(a[..., :1], -math.inf)
    if p == 1:
        sorted_a, order = a.sort(dim=-1, descending=True)
        whole = (m.gather(-1, order).cumsum(dim=-1) <= 1).sum(dim=-1, keepdim=True)
        return torch.cat([sorted_a.log(), nothing], dim=-1).gather(-1, whole).squeeze(-1)
    q = p / (p - 1)
    log_k = (a.log() - (p - 1) * m.log()).nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
    log_k, order = log_k.sort(dim=-1, descending=True)
    zero = torch.zeros_like(nothing)
    cut = torch.cat([zero, m.gather(-1, order).pow(p).cumsum(dim=-1)], dim=-1)
    powers = q * a.gather(-1, order).log()
    log_rest = torch.cat([powers.flip(-1).logcumsumexp(dim=-1).flip(-1), nothing], dim=-1)
    free = (log_rest[..., 1:] - q * log_k).exp().nan_to_num(nan=0.0)
    j = (cut[..., 1:] + free <= 1).sum(dim=-1, keepdim=True)
    room = (1 - cut.gather(-1, j)).clamp(min=torch.finfo(a.dtype).tiny)
    log_mu = (log_rest.gather(-1, j) - room.log()) / q
    above = torch.cat([-nothing, log_k], dim=-1).gather(
        -1, j
    )  # rounding in `room` must not leave [k_{j+1}, k_j]
    below = torch.cat([log_k, nothing], dim=-1).gather(-1, j)
    return torch.maximum(below, torch.minimum(above, log_mu)).squeeze(-1)
