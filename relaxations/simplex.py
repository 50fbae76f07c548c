"""The minimum-volume problem over finitely many points, thousands of instances at once.

The least volume between a plane a·p + c ≥ g(p) and g over a box is reached by the least height of the
plane at the box's centre m (the volume is area × height − const):

    minimise a·m + c   subject to   a·pᵢ + c ≥ gᵢ  for the points pᵢ,

a linear program in k + 1 unknowns.  Its dual says: write m as a convex combination of points of the graph, as
high as possible.  The revised simplex method keeps k + 1 points whose simplex contains m, the plane through
them, and exchanges one point for the most violated one; the height at m never falls.  All instances make
their steps together, on one small tableau each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

TOLERANCE = 1e-9
PIVOT = 1e-9


class Basis(NamedTuple):
    """`tableau` [k+2, k+2, M]: row j ≤ k is row j of the inverse of the matrix with columns (pⱼ, 1), and then
    the weight of pⱼ in m; the last row is the plane (slopes and offset) and its height at m.
    `points` [k, k+1, M]: the basic points pⱼ."""

    tableau: Tensor
    points: Tensor

    @property
    def slopes(self) -> Tensor:
        """[k, M]"""
        return self.tableau[-1, :-2]


def corners(k: int) -> list[tuple[float, ...]]:
    """k + 1 corners of [−1, 1]^k whose simplex contains the centre, and what lies beyond it for k = 2."""
    if k == 2:
        return [(1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)]
    return [(1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)]


def start(values: Tensor, target: Tensor) -> Basis:
    """The basis of `corners(k)` with `values` [k+1, M] there, for the target m [k]."""
    size, count = values.shape
    points = values.new_tensor(corners(size - 1)).T
    inverse = torch.linalg.inv(torch.cat([points, torch.ones_like(points[:1])]))
    rows = torch.cat([inverse, inverse @ torch.cat([target, torch.ones_like(target[:1])])[:, None]], 1)
    tableau = torch.cat([rows[..., None].expand(size, size + 1, count), (rows.T @ values)[None]])
    return Basis(tableau, points[..., None].expand(size - 1, size, count))


def exchange(basis: Basis, points: Sequence[Tensor], values: Tensor, steps: int) -> Basis:
    """At most `steps` exchanges against points whose k coordinates are `points` [M, G], with `values`
    [M, G]."""
    tableau, basic = basis
    k, size = len(points), len(points) + 1
    tolerance = TOLERANCE * values.abs().amax(1)
    which = torch.arange(size, device=values.device)[:, None]
    for _ in range(steps):
        excess = values - tableau[-1, k, :, None]
        for j in range(k):
            excess.addcmul_(points[j], tableau[-1, j, :, None], value=-1)
        gap, index = excess.max(1)
        active = gap > tolerance
        if not bool(active.any()):
            break
        entering = torch.stack([p.gather(1, index[:, None])[:, 0] for p in points])
        column = torch.addcmul(tableau[:size, k], tableau[:size, 0], entering[0])
        for j in range(1, k):
            column.addcmul_(tableau[:size, j], entering[j])
        # the largest step that keeps every weight in m positive:  weight − θ·column ≥ 0
        ratio = torch.where(column > PIVOT, tableau[:size, -1] / column, torch.inf)
        leaving = ratio.min(0, keepdim=True).indices
        pivot = column.gather(0, leaving)[0]
        row = tableau.gather(0, leaving[:, None].expand(1, size + 1, -1))[0] * (active / pivot)
        leaves = (which == leaving) & active
        change = torch.cat([column - leaves.to(column), -gap[None]])
        tableau = torch.addcmul(tableau, change[:, None], row[None], value=-1)
        basic = torch.where(leaves, entering[:, None], basic)
    return Basis(tableau, basic)
