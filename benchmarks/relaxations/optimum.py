"""The least volume that any plane can have: linear programs (scipy's HiGHS) with points added until no point
of the gate lies above the plane.

The volume between a plane and a gate over a box is area × (height at the centre − mean of the gate), so the
optimum is the least height at the centre of a plane above finitely many points of the graph.  Every program
bounds that from below; adding the points that its plane misses, found on a dense grid and by zooming in on
them, it converges from below.  The search is part of the reference, not of a proof: a point that it misses
makes the optimum look lower, and our excess larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from relaxations import Gate

FIRST = {1: 33, 2: 9, 3: 5}
DENSE = {1: 401, 2: 41, 3: 17}
ROUNDS = 12
ZOOMS = 4
CLOSE = 1e-4
"""A plane that no point exceeds by more than this share of its height above the gate's mean is optimal."""
CHUNK = 250


def cosine_grid(count: int, k: int) -> Tensor:
    """[k, count^k] points of [−1, 1]^k, denser towards the ends."""
    axis = -torch.cos(torch.linspace(0, torch.pi, count, dtype=torch.float64))
    return torch.stack([a.flatten() for a in torch.meshgrid(*[axis] * k, indexing="ij")])


def optimal_planes(
    gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any], mean: Tensor
) -> tuple[Tensor, Tensor]:
    """Slopes [k, 2, n] and heights at the centre [2, n] of the lowest planes above −gate and above gate over
    boxes [k, n], the heights from below; `mean` [n] of the gate decides when a height is close enough."""
    parts = zip(lower.split(CHUNK, 1), upper.split(CHUNK, 1), mean.split(CHUNK), strict=True)
    found = torch.cat([_planes(gate, l, u, parameters, m) for l, u, m in parts], 2)
    return found[:-1] / (0.5 * (upper - lower))[:, None], found[-1]


def _planes(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any], mean: Tensor) -> Tensor:
    """Slopes per half-width and heights [k + 1, 2, n]."""
    k, n = lower.shape
    centre, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    sign = torch.tensor([-1.0, 1.0], dtype=torch.float64)[:, None]

    def values(at: Tensor) -> Tensor:
        """(−gate, gate) [2, n, G] at v [k, 1 or 2, 1 or n, G] in [−1, 1]."""
        places = centre[:, None, :, None] + half[:, None, :, None] * at
        places = places.clamp(lower[:, None, :, None], upper[:, None, :, None])
        return sign[..., None] * gate.function(*places, **parameters).expand(-1, n, -1)

    dense = cosine_grid(DENSE[k], k)[:, None, None]
    above = values(dense)
    first = cosine_grid(FIRST[k], k)
    known_at = [[first.T.numpy() for _ in range(n)] for _ in range(2)]
    known = [[row.numpy() for row in side] for side in values(first[:, None, None])]
    planes = torch.zeros(k + 1, 2, n, dtype=torch.float64)
    open_ = torch.ones(2, n, dtype=torch.bool)
    for _ in range(ROUNDS):
        for s, i in open_.nonzero().tolist():
            planes[:, s, i] = torch.from_numpy(_program(known_at[s][i], known[s][i]))
        slopes, height = planes[:-1, ..., None], planes[-1, ..., None]
        excess = above - (slopes * dense).sum(0) - height
        # the worst point of every orthant, each followed to the top nearby
        orthants = torch.stack([(side == (dense[:, 0, 0] >= 0).T).all(1) for side in _sides(k)])
        worst = torch.where(orthants[:, None, None], excess, -torch.inf).argmax(-1)  # [2^k, 2, n]
        at = dense[:, 0, 0][:, worst].permute(0, 2, 3, 1)  # [k, 2, n, 2^k]
        step = 2.0 / DENSE[k]
        for _ in range(ZOOMS):
            near = (at[..., None] + step * cosine_grid(5, k)[:, None, None, None]).clamp(-1, 1)
            gap = values(near.flatten(3)) - (slopes * near.flatten(3)).sum(0) - height
            top = gap.reshape(near.shape[1:]).argmax(-1, keepdim=True)
            at = near.gather(-1, top.expand(k, *top.shape))[..., 0]
            step *= 0.4
        found = values(at)
        gap = found - (slopes * at).sum(0) - height
        volume = (planes[-1] - sign * mean).abs()
        open_ &= gap.amax(-1) > CLOSE * volume + 1e-12 * (1 + height[..., 0].abs())
        for s, i in open_.nonzero().tolist():
            new = gap[s, i] > 0
            known_at[s][i] = np.vstack([known_at[s][i], at[:, s, i, new].T.numpy()])
            known[s][i] = np.concatenate([known[s][i], found[s, i, new].numpy()])
        if not bool(open_.any()):
            break
    return planes


def _sides(k: int) -> Tensor:
    return torch.cartesian_prod(*[torch.tensor([False, True])] * k).reshape(-1, k)


def _program(at: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Slopes and height at 0 of the lowest plane over points [m, k] with the given values."""
    base = values.min()
    scale = max(values.max() - base, 1e-300)
    rows = np.hstack([at, np.ones((len(at), 1))])
    cost = np.zeros(rows.shape[1])
    cost[-1] = 1
    exact = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    solved = linprog(
        cost, A_ub=-rows, b_ub=-(values - base) / scale, bounds=(None, None), method="highs", options=exact
    )
    if not solved.success:
        raise RuntimeError(solved.message)
    plane = solved.x * scale
    plane[-1] += base
    return plane
