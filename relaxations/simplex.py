"""The minimum-volume problem over finitely many points, thousands of instances at once.

The least volume between a plane a·p + c ≥ g(p) and g over a box is reached by the least height of the plane
at the box's centre m (the volume is area × height − const):

    minimise a·m + c   subject to   a·pᵢ + c ≥ gᵢ  for the points pᵢ,

a linear program in k + 1 unknowns.  Its dual says: write m as a convex combination of points of the graph, as
high as possible.  The revised simplex method keeps k + 1 points whose simplex contains m, the plane through
them, and exchanges one point for the most violated one; the height at m never falls.  All instances make
their steps together.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Basis(NamedTuple):
    """`inverse` [k+1, k+1, *M] of the matrix with columns (pⱼ, 1); `plane` [k+1, *M] slopes and offset
    through the basic points; `points` [k, k+1, *M] those points."""

    inverse: Tensor
    plane: Tensor
    points: Tensor


def corners(k: int) -> list[tuple[float, ...]]:
    """k + 1 corners of [−1, 1]^k whose simplex contains the centre."""
    if k == 1:
        return [(-1.0,), (1.0,)]
    if k == 2:
        return [(1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)]
    return [(1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)]


def start(values: Tensor) -> Basis:
    """The basis of `corners(k)`, `values` [k+1, *M] there."""
    size = values.shape[0]
    points = torch.tensor(corners(size - 1), dtype=values.dtype, device=values.device).T  # [k, k+1]
    matrix = torch.cat([points, torch.ones_like(points[:1])])
    spread = [1] * (values.dim() - 1)
    inverse = torch.linalg.inv(matrix).reshape(size, size, *spread).expand(size, size, *values.shape[1:])
    return Basis(
        inverse,
        (values[:, None] * inverse).sum(0),
        points.reshape(size - 1, size, *spread).expand(size - 1, size, *values.shape[1:]),
    )


def exchange(basis: Basis, points: Tensor, values: Tensor, target: Tensor, steps: int) -> Basis:
    """At most `steps` exchanges against `points` [k, *M or broadcast, G] with `values` [*M, G].

    `target` [k] is m in the coordinates of the points (the centre, shifted a little off symmetry: where m
    lies on a face of the simplex an exchange may leave the height as it is).
    """
    size = basis.plane.shape[0]
    points = points.expand(size - 1, *values.shape)
    where = torch.cat([target, torch.ones_like(target[:1])]).reshape(1, size, *[1] * (values.dim() - 1))
    tolerance = 1e-10 * (1 + values.abs().amax(-1))
    inverse, plane, basic = basis
    one_hot = torch.eye(size, dtype=values.dtype, device=values.device)
    for _ in range(steps):
        gap = values - plane[-1, ..., None]
        for j in range(size - 1):
            gap = gap - plane[j, ..., None] * points[j]
        violation, index = gap.max(-1)
        active = violation > tolerance
        if not bool(active.any()):
            break
        entering = points.gather(-1, index[..., None].expand(size - 1, *index.shape, 1))[..., 0]
        enlarged = torch.cat([entering, torch.ones_like(entering[:1])])
        direction = (inverse * enlarged).sum(1)
        weights = (inverse * where).sum(1)
        ratio = torch.where(direction > 1e-9, weights / direction, torch.inf)
        leaving = one_hot[ratio.argmin(0)].movedim(-1, 0)  # [k+1, *M]
        row = (leaving[:, None] * inverse).sum(0) / (leaving * direction).sum(0)
        row = torch.where(active, row, 0.0)
        inverse = inverse - (direction - leaving)[:, None] * row
        plane = plane + violation * row
        basic = torch.where((leaving > 0) & active, entering[:, None], basic)
    return Basis(inverse, plane, basic)
