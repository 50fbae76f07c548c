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

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

TOLERANCE = 1e-14
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


@cache
def _corner_basis(k: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The points `corners(k)` [k, k+1], and the inverse of the matrix with columns (pⱼ, 1)."""
    points = torch.tensor(corners(k), dtype=torch.float64, device=device).T
    return points, torch.linalg.inv(torch.cat([points, torch.ones_like(points[:1])]))


def start(values: Tensor, target: Tensor) -> Basis:
    """The basis of `corners(k)` with `values` [k+1, M] there, for the target m [k]."""
    size, count = values.shape
    points, inverse = _corner_basis(size - 1, values.device)
    weights = torch.addmv(inverse[:, -1], inverse[:, :-1], target)
    rows = torch.cat([inverse, weights[:, None]], 1)
    tableau = torch.cat([rows[..., None].expand(size, size + 1, count), (rows.T @ values)[None]])
    return Basis(tableau, points[..., None].expand(size - 1, size, count))


def exchange(basis: Basis, points: Tensor, values: Tensor, steps: int) -> Basis:
    """At most `steps` exchanges against `points` [k, M, G] with `values` [M, G]."""
    tableau, basic = basis
    k, size = len(points), len(points) + 1
    tolerance = TOLERANCE * values.abs().amax(1)
    which = torch.arange(size, device=values.device)[:, None]
    for _ in range(steps):
        *slopes, offset, _ = tableau[-1, ..., None].unbind(0)
        excess = values - offset
        for point, slope in zip(points, slopes, strict=True):
            excess.addcmul_(point, slope, value=-1)
        gap, index = excess.max(1)
        active = gap > tolerance
        if not bool(active.any()):
            break
        entering = points.gather(2, index[None, :, None].expand(k, -1, 1))[..., 0]
        *inverse, column, weight = tableau[:size].unbind(1)
        for row, coordinate in zip(inverse, entering, strict=True):
            column = torch.addcmul(column, row, coordinate)
        # the largest step that keeps every weight in m positive:  weight − θ·column ≥ 0
        leaving = torch.where(column > PIVOT, weight / column, torch.inf).min(0, keepdim=True).indices
        row = tableau.gather(0, leaving[:, None].expand(1, size + 1, -1))[0]
        row = row * (active / column.gather(0, leaving)[0])
        leaves = (which == leaving) & active
        change = torch.cat([leaves.to(column) - column, gap[None]])
        tableau = torch.addcmul(tableau, change[:, None], row[None])
        basic = torch.where(leaves, entering[:, None], basic)
    return Basis(tableau, basic)
