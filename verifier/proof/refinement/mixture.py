"""Several statements of which one is enough: a mixture of them proves more than the best one does.

To refute a conjunction it is enough that at every point of the region *some* row exceeds its goal, not always
the same one. With weights w ≥ 0, Σw = 1,

    min over x of Σᵢ wᵢ (rowᵢ(x) − goalᵢ) > 0     implies it,

for any w. The rows' linear lower bounds Aᵢ·x + cᵢ come from one backward pass; w ascends their mixture's
minimum by exponentiated gradient (Kivinen and Warmuth, 1997), at the price of a few products and no further
pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from relaxations.rounding import gamma
from verifier.bounds.region_bounds import Bounds
from verifier.problem.question import Objective

STEPS = 24
RATE = 2.0  # of the exponent, for the row that gains least against the one that gains most


def mixed_minimum(bounds: Bounds, objective: Objective, goal: Tensor) -> Tensor:
    """Lower bounds [B] of the best mixture's least distance above its `goal` [B, R] found; −∞ where the pass
    gave nothing.

    Margin: wᵢAᵢ and wᵢcᵢ, cᵢ made of three terms, are summed over R rows, which errs by at most
    γ_{2R+8} Σ wᵢ(|Aᵢ|·|x| + |cᵢ| + |goalᵢ|).
    """
    A, constant = bounds.backward_rows(objective)
    constant = constant - bounds.uncertainty(objective) - goal
    rows = A.shape[1]
    usable = torch.isfinite(A).all(-1).all(-1) & torch.isfinite(constant).all(-1)
    usable = usable & ~(bounds.lost | bounds.empty)
    A = A.masked_fill(~usable[:, None, None], 0.0)
    constant = constant.masked_fill(~usable[:, None], 0.0)
    region = bounds.region
    reach = torch.maximum(region.lower.abs(), region.upper.abs()).unsqueeze(-1)
    size = (A.abs() @ reach).squeeze(-1) + constant.abs() + 2 * goal.abs()
    margin = gamma(2 * rows + 8, bounds.rounding.unit) * size

    def value(w: Tensor) -> Tensor:
        mixed = region.minimum(w.unsqueeze(1) @ A).squeeze(-1)
        return mixed + (w * (constant - margin)).sum(-1)

    w = torch.full_like(constant, 1.0 / rows)
    with torch.no_grad():
        best = (region.minimum(A) + constant - margin).amax(-1)  # each row by itself
    for step in range(STEPS if rows > 1 else 0):
        with torch.enable_grad():
            at = w.detach().requires_grad_(True)
            found = value(at)
            (gradient,) = torch.autograd.grad(found.sum(), at)
        best = torch.maximum(best, found.detach())
        most, least = gradient.amax(-1, keepdim=True), gradient.amin(-1, keepdim=True)
        w = w * torch.exp(RATE * 0.93**step * (gradient - most) / (most - least).clamp_min(1e-300))
        w = w / w.sum(-1, keepdim=True)
    return best.masked_fill(~usable, -torch.inf)
