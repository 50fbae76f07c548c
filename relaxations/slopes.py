"""Slopes of planes.  Any slope is sound; these are good.

`minimum_volume` solves the linear program of `simplex` on a grid of the box, then once more on finer grids
around the points where the plane touches.  `secant` is the closed form: the mean slope between opposite faces
of the box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from relaxations.gate import Gate
from relaxations.simplex import corners, exchange, start

COARSE_STEPS = 14
FINE_STEPS = 6
LEAST_WIDTH = 1e-6
FEW = 5
SHIFT = (1.7e-4, 1.1e-4, 0.7e-4)
LEAN: Mapping[int, tuple[float, ...]] = {1: (0.15,), 2: (0.02, 0.1), 3: (0.02, 0.1, 0.1)}
"""By arity, how far the target lies from the centre towards the corner where the gate is extreme, in half-widths.

A lower plane matters where the objective is least, which is where this gate is low: its best height is wanted
a little towards the low corner, an upper plane's towards the high one.  It also decides between planes of equal
volume, of which a product has a whole segment: x·y is bounded from above by y̅x + x̲y and by y̲x + x̅y, equal at
the centre.  The values of a recurrent cell (second and third operands) run with the objective more than their
gates (first operand) do, hence they lean further."""


def minimum_volume(
    gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any], lean: Sequence[float] | None = None
) -> tuple[Tensor, Tensor]:
    """(lower, upper) slopes [k, N] of nearly least volume over boxes [k, N]; `lean` shifts the point whose
    height is least (`LEAN` by default, zeros for the least volume itself)."""
    k, size = lower.shape
    lower, upper = widened(gate, lower, upper, parameters)
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

    # mirror every operand in which the plane's own function falls: then the target is on the positive side
    rising = _rising(gate, centre, parameters)
    sign = torch.stack([-rising, rising], 1)  # [k, 2, N]
    points = points * sign[..., None]
    shift = torch.tensor(SHIFT[:k], dtype=lower.dtype, device=lower.device)
    target = shift + shift.new_tensor(LEAN[k] if lean is None else tuple(lean))
    first = start(
        torch.stack([values.gather(-1, _flat(corner, counts, sign))[..., 0] for corner in corners(k)])
    )
    basis = exchange(first, points, values, target, COARSE_STEPS)

    # finer grids around the k + 1 points of contact of each plane
    spacing = torch.stack([_spacing(n) / h for n, h in zip(nodes, half, strict=True)])
    around = torch.stack([t.flatten() for t in torch.meshgrid(*_offsets(counts), indexing="ij")]).to(
        lower
    )  # [k, G']
    near = basis.points[..., None] + spacing[:, None, None, :, None] * around[:, None, None, None, :]
    near = near.clamp(-1, 1).movedim(1, -2).flatten(-2)  # [k, 2, N, (k+1)·G']
    at = centre[:, None, :, None] + half[:, None, :, None] * (near * sign[..., None])
    at = torch.minimum(torch.maximum(at, lower[:, None, :, None]), upper[:, None, :, None])
    finer = gate.function(*at, **parameters)
    finer = torch.stack([-finer[0], finer[1]])
    basis = exchange(basis, near, finer, target, FINE_STEPS)
    slopes = finite(sign * basis.plane[:k] / half[:, None])
    return -slopes[:, 0], slopes[:, 1]


def _spacing(nodes: Tensor) -> Tensor:
    """Distance of neighbours inside the grid; 0 where the gate is piecewise linear and the few nodes are its
    kinks."""
    return nodes[2] - nodes[1] if len(nodes) > FEW else torch.zeros_like(nodes[0])


def _rising(gate: Gate, centre: Tensor, parameters: Mapping[str, Any]) -> Tensor:
    """+1 where the gate rises with an operand at the centre of the box, −1 where it falls [k, N]."""
    with torch.enable_grad():
        at = centre.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(gate.function(*at, **parameters).sum(), at)
    return torch.where(slope < 0, -1.0, 1.0).to(centre)


def _flat(corner: tuple[float, ...], counts: list[int], sign: Tensor) -> Tensor:
    """Index [2, N, 1] in the grid of `corner`, mirrored by `sign` [k, 2, N]."""
    index = torch.zeros(sign.shape[1:], dtype=torch.int64, device=sign.device)
    for axis, (side, count) in enumerate(zip(corner, counts, strict=True)):
        index = index * count + torch.where(sign[axis] * side > 0, count - 1, 0)
    return index[..., None]


def _offsets(counts: list[int]) -> list[Tensor]:
    """Multiples of the grid's spacing at which the second stage samples; an operand with two nodes needs
    none."""
    steps = torch.linspace(-0.5, 0.5, 5) if len(counts) > 1 else torch.linspace(-0.75, 0.75, 13)
    return [steps if count > FEW else torch.zeros(1) for count in counts]


def secant(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """One slope [k, N] for both planes: along each operand the mean of the secants between opposite faces'
    corners."""
    k = lower.shape[0]
    lower, upper = widened(gate, lower, upper, parameters)
    sides = (
        torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * k).reshape(-1, k).T.to(lower)[..., None]
    )  # [k, 2^k, 1]
    at = torch.where(sides > 0, upper[:, None], lower[:, None])
    values = gate.function(*at, **parameters)
    slopes = ((2 * sides - 1) * values).sum(1) / (2 ** (k - 1) * (upper - lower))
    return finite(slopes), finite(slopes)


def finite(slopes: Tensor) -> Tensor:
    """0 where a point or an overflow left no slope: sound as any other."""
    return torch.where(slopes.isfinite(), slopes, 0.0)


def widened(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Boxes of at least a small width, so that slopes are differences of more than rounding errors."""
    least = LEAST_WIDTH * (0.5 * (lower + upper)).abs().clamp(min=1.0)
    extra = (0.5 * (least - (upper - lower))).clamp(min=0.0)
    if gate.inside is not None:
        extra = torch.where(gate.inside(lower - extra, upper + extra, **parameters), extra, 0.0)
    return lower - extra, upper + extra
