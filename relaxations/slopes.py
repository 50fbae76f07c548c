"""Slopes of planes.  Any slope is sound; these are good.

`minimum_volume` solves the linear program of `simplex` on a grid of the box, then once more on finer grids around the
points where the plane touches.  `secant` is the closed form: the mean slope between opposite faces of the box.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from relaxations.gate import Gate
from relaxations.simplex import corners, exchange, start

COARSE_STEPS = 14
FINE_STEPS = 6
LEAST_WIDTH = 1e-6
SHIFT = (1.7e-4, 1.1e-4, 0.7e-4)


def minimum_volume(
    gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    """(lower, upper) slopes [k, N] of nearly least volume over boxes [k, N]."""
    k, size = lower.shape
    lower, upper = widened(lower, upper)
    nodes = gate.nodes(lower, upper, **parameters)
    centre, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    counts = [n.shape[0] for n in nodes]

    def across(axis: int, value: Tensor) -> Tensor:  # [m, N] → [N, 1, .., m, .., 1]
        return value.movedim(0, -1).reshape(size, *(counts[j] if j == axis else 1 for j in range(k)))

    operands = [across(j, n) for j, n in enumerate(nodes)]
    values = gate.function(*operands, **parameters).expand(size, *counts).reshape(size, -1)
    values = torch.stack([-values, values])  # [2, N, G]; the lower plane is the upper one of −g
    places = [across(j, (n - centre[j]) / half[j]) for j, n in enumerate(nodes)]
    points = torch.stack([p.expand(size, *counts).reshape(size, -1) for p in places])[:, None]

    target = torch.tensor(SHIFT[:k], dtype=lower.dtype, device=lower.device)
    first = start(torch.stack([values[..., _flat(corner, counts)] for corner in corners(k)]))
    basis = exchange(first, points, values, target, COARSE_STEPS)

    # finer grids around the k + 1 points of contact of each plane
    spacing = torch.stack(
        [(n[2] - n[1]) / h if len(n) > 2 else torch.zeros_like(h) for n, h in zip(nodes, half, strict=True)]
    )
    around = torch.stack([t.flatten() for t in torch.meshgrid(*_offsets(counts), indexing="ij")]).to(
        lower
    )  # [k, G']
    near = basis.points[..., None] + spacing[:, None, None, :, None] * around[:, None, None, None, :]
    near = near.clamp(-1, 1).movedim(1, -2).flatten(-2)  # [k, 2, N, (k+1)·G']
    at = centre[:, None, :, None] + half[:, None, :, None] * near
    at = torch.minimum(torch.maximum(at, lower[:, None, :, None]), upper[:, None, :, None])
    finer = gate.function(*at, **parameters)
    finer = torch.stack([-finer[0], finer[1]])
    basis = exchange(basis, near, finer, target, FINE_STEPS)
    slopes = basis.plane[:k] / half[:, None]
    return -slopes[:, 0], slopes[:, 1]


def _flat(corner: tuple[float, ...], counts: list[int]) -> int:
    index = 0
    for side, count in zip(corner, counts, strict=True):
        index = index * count + (count - 1 if side > 0 else 0)
    return index


def _offsets(counts: list[int]) -> list[Tensor]:
    """Multiples of the grid's spacing at which the second stage samples; an operand with two nodes needs none."""
    steps = torch.linspace(-0.5, 0.5, 5) if len(counts) > 1 else torch.linspace(-0.75, 0.75, 13)
    return [steps if count > 2 else torch.zeros(1) for count in counts]


def secant(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """One slope [k, N] for both planes: along each operand the mean of the secants between opposite faces' corners."""
    k = lower.shape[0]
    lower, upper = widened(lower, upper)
    sides = (
        torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * k).reshape(-1, k).T.to(lower)[..., None]
    )  # [k, 2^k, 1]
    at = torch.where(sides > 0, upper[:, None], lower[:, None])
    values = gate.function(*at, **parameters)
    slopes = ((2 * sides - 1) * values).sum(1) / (2 ** (k - 1) * (upper - lower))
    return slopes, slopes


def widened(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes of at least a small width, so that slopes are differences of more than rounding errors."""
    least = LEAST_WIDTH * (0.5 * (lower + upper)).abs().clamp(min=1.0)
    extra = (0.5 * (least - (upper - lower))).clamp(min=0.0)
    return lower - extra, upper + extra
