"""The minimum-volume problem over finitely many points: Dantzig's simplex method, thousands of them at once.

The least volume between a plane a·p + c ≥ g(p) and g over a box is reached by the least height of the
plane at the box's centre m (the volume is area × height − const):

    minimise a·m + c   subject to   a·pᵢ + c ≥ gᵢ  for the points pᵢ,

a linear program in k + 1 unknowns.  Its dual says: write m as a convex combination of points of the graph, as
high as possible.  The revised simplex method keeps k + 1 points whose simplex contains m, the plane through
them, and exchanges one point for the most violated one; the height at m never falls.  All instances make
their steps together, on one small tableau each; in an instance that is solved a basic point enters in its
own place, which changes nothing.  In C (`exchange.c`) one instance follows the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from relaxations.kernels import adapters
from relaxations.kernels.kernel import INT, Kernel

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
    """k + 1 corners of [−1, 1]^k whose simplex contains the centre, and what lies beyond it for k ≤ 2."""
    if k == 1:
        return [(1.0,), (-1.0,)]
    if k == 2:
        return [(1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)]
    return [(1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)]


@cache
def _corner_basis(k: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The points `corners(k)` [k, k+1], and the inverse of the matrix with columns (pⱼ, 1)."""
    points = torch.tensor(corners(k), dtype=torch.float64, device=device).T
    return points, torch.linalg.inv(torch.cat([points, torch.ones_like(points[:1])]))


def start(values: Tensor, target: Tensor) -> Basis:
    """The basis of `corners(k)` with `values` [k+1, M] there, for the target m [k, 1 or M]."""
    size, count = values.shape
    points, inverse = _corner_basis(size - 1, values.device)
    weights = torch.addmm(inverse[:, -1:], inverse[:, :-1], target).expand(size, count)
    rows = torch.cat([inverse[..., None].expand(size, size, count), weights[:, None]], 1)
    tableau = torch.cat([rows, (rows * values[:, None]).sum(0, keepdim=True)])
    return Basis(tableau, points[..., None].repeat(1, 1, count))


def exchange(basis: Basis, sets: Sequence[tuple[Tensor, Tensor]], steps: int) -> Basis:
    """`basis` after at most `steps` exchanges against one or two sets of points [k, M, G] with values [M, G];
    its tensors are overwritten."""
    return Basis(*EXCHANGE(basis.tableau, basis.points, sets, steps))


def _exchange(
    tableau: Tensor, basic: Tensor, sets: Sequence[tuple[Tensor, Tensor]], steps: int
) -> tuple[Tensor, Tensor]:
    """The reference in torch.  Only slopes are found here, and any slope is sound."""
    points, values = (torch.cat(parts, -1) for parts in zip(*sets, strict=True))
    k, count, grid = points.shape
    *slopes, offset, _ = tableau[-1, ..., None].unbind(0)
    *inverse, shift, weight = tableau[:-1, :, None].unbind(1)  # each [k+1, 1, M]
    flat, tolerance = points.flatten(1), -TOLERANCE * values.abs().amax(1)
    first = torch.arange(0, count * grid, grid, device=values.device)
    for _ in range(steps):
        spare = offset - values  # height of the plane above the points
        for point, slope in zip(points, slopes, strict=True):
            spare.addcmul_(point, slope)
        least, index = spare.min(1)
        if not bool((least < tolerance).any()):
            break
        entering = flat.index_select(1, index.add_(first))
        column = shift
        for row, coordinate in zip(inverse, entering, strict=True):
            column = torch.addcmul(column, row, coordinate)
        # the largest step that keeps every weight in m positive:  weight − θ·column ≥ 0
        leaving = torch.where(column > PIVOT, weight / column, torch.inf).argmin(0, keepdim=True)
        place = leaving.expand(1, k + 2, count)
        row = tableau.gather(0, place).div_(column.gather(0, leaving))
        tableau.addcmul_(torch.cat([column, least[None, None]]), row, value=-1)
        tableau.scatter_add_(0, place, row)
        basic.scatter_(1, leaving.expand(k, 1, count), entering[:, None])
    return tableau, basic


EXCHANGE = Kernel("exchange", _exchange, adapters.exchange, adapters.EXCHANGE, INT)
