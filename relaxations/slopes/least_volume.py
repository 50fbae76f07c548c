"""Slopes of planes.  Any slope is sound; these are good.

`minimum_volume` solves the linear program of `simplex` on a grid of the box, then again on finer grids around
the points where the plane touches.  `secant` is the closed form: the mean slope between opposite faces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from relaxations.curves.curve import even_nodes
from relaxations.gate import Gate
from relaxations.polygons import polygon
from relaxations.polygons.polygon import Cut
from relaxations.slopes.simplex import corners, exchange, start

PATTERN: Mapping[int, tuple[float, ...]] = {
    1: (-1.5, -0.9, -0.4, 0.0, 0.4, 0.9, 1.5),
    2: (-1.0, 0.0, 1.0),
    3: (-1.0, 0.0, 1.0),
}
STAGES = (0.5, 0.2)
"""Places by arity, in multiples of a share of the grid's spacing, that are added around each point of
contact, share by share."""
COARSE_STEPS, FINE_STEPS = 8, 12
"""Exchanges at most before and in every stage.  More gain nothing: worst cases over random boxes in
docs/lab/gates.md."""
FAR = 8.0
"""How far below the gate, in its ranges over the grid, the first basis of a polygon lies."""
RIM = 3
"""Points on each side of a polygon."""
LEAST_WIDTH = 1e-6
FEW = 5
"""Operands in which a gate is piecewise linear have at most so many nodes, all of its kinks among them."""
SHIFT = (1.7e-4, 1.1e-4, 0.7e-4)
"""Moves the target off the faces of grid simplices, where an exchange may leave the height as it is."""
LEAN: Mapping[int, tuple[float, ...]] = {1: (0.15,), 2: (0.02, 0.3), 3: (0.02, 0.3, 0.3)}
"""By arity, how far the target lies from the centre towards the corner where the gate is extreme, in
half-widths.

A lower plane matters where the objective is least, which is where this gate is low: its best height is wanted
towards the low corner, an upper plane's towards the high one.  It also decides between planes of equal
volume, of which a product has a whole segment: x·y is bounded from above by y̅x + x̲y and by y̲x + x̅y, equal
at the centre.  The values of a recurrent cell (second and third operands) run with the objective more than
their gates (first operand) do, hence they lean further; the more so over polygons, where no planes are equal
and nothing but the lean prefers one way.  Measured in docs/lab/gates.md.
"""


def shift(k: int, lean: Sequence[float] | None) -> list[float]:
    """The target of k operands in half-widths, towards the corner where the gate is extreme."""
    return [s + t for s, t in zip(SHIFT, LEAN[k] if lean is None else lean, strict=False)]


def minimum_volume(
    gate: Gate,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any],
    lean: Sequence[float] | None = None,
    cut: Cut | None = None,
) -> tuple[Tensor, Tensor]:
    """(lower, upper) slopes [k, N] of nearly least volume over boxes [k, N], or the polygons `cut` out of
    them; `lean` shifts the point whose height is least (`LEAN` by default, zeros for the least volume itself;
    0 ≤ lean < ½)."""
    k, size = lower.shape
    lower, upper = widened(gate, lower, upper, parameters)
    centre, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    sign, eye, vertices = _constants(k, lower.device)

    def seen(*at: Tensor) -> Tensor:
        """(−gate, gate) [2·N, G] at operands [2 or 1, N, ...]."""
        return (gate.function(*at, **parameters).flatten(2) * sign).flatten(0, 1)

    # The lower plane is the upper one of −g.  Every operand in which the plane's own function falls is
    # mirrored, so that the target is on the positive side:  p = centre + reach·v  with v in [−1, 1].
    beside = torch.addcmul(centre[:, None], eye, half[:, None])
    ahead, behind = gate.function(*beside, **parameters).reshape(2, k, size)
    reach = torch.where(ahead < behind, -half, half)[:, None] * sign[..., 0]  # [k, 2, N]

    nodes = [n.T for n in gate.nodes(lower, upper, **parameters)]  # [N, m]
    if cut is not None:  # along its edges every gate may bend
        nodes = [
            torch.cat([n, even_nodes(l, u, 6)[1:-1].T], 1) if n.shape[1] <= FEW else n
            for n, l, u in zip(nodes, lower, upper, strict=True)
        ]
    counts = [n.shape[-1] for n in nodes]
    axes = [[count if i == j else 1 for i in range(k)] for j, count in enumerate(counts)]
    at = [n.reshape(1, size, *axis) for n, axis in zip(nodes, axes, strict=True)]
    if cut is not None:
        at = _inside(at, lower, upper, cut)
    grid = seen(*at)
    middle, scale = centre[:, None, :, None], reach[..., None]
    points = torch.stack(
        [
            ((a.flatten(2) - middle[j]) / scale[j]).reshape(2, *a.shape[1:]).expand(2, size, *counts)
            for j, a in enumerate(at)
        ]
    ).reshape(k, 2 * size, -1)
    extreme = seen(*torch.addcmul(middle, scale, vertices))
    target = lower.new_tensor(shift(k, lean))[:, None]
    if cut is not None:
        # the corners may be cut off: far below the gate, they leave the basis as soon as they can
        top, bottom = grid.amax(1, keepdim=True), grid.amin(1, keepdim=True)
        extreme = (bottom - FAR * (top - bottom)).expand_as(extreme)
        place = polygon.target(reach.sign() * target[..., None], lower, upper, cut)
        target = ((place - centre[:, None]) / reach).flatten(1)
        rim = polygon.outline(lower, upper, cut, RIM)[:, None]
        points = torch.cat([points, ((rim - middle) / scale).flatten(1, 2)], 2)
        grid = torch.cat([grid, seen(*rim)], 1)
    steps = COARSE_STEPS if cut is None else 2 * COARSE_STEPS
    basis = exchange(start(extreme.T, target), [(points, grid)], steps)

    curved = tuple(cut is not None or count > FEW for count in counts)
    if any(curved):
        pattern = _pattern(PATTERN[k], curved, lower.device)  # [k, 1, 1, G]
        spacing = torch.stack([_spacing(n) for n in nodes])[:, None] / reach.abs()
        for share in STAGES:
            contacts = basis.points.mT[..., None]  # [k, 2·N, k+1, 1]
            near = contacts + (share * spacing).flatten(1)[..., None, None] * pattern
            near = near.clamp_(-1, 1).reshape(k, 2, size, -1)
            places = torch.addcmul(middle, scale, near)
            if cut is not None:
                places = torch.stack(_inside(list(places), lower, upper, cut))
                near = (places - middle) / scale
            finer = seen(*places)
            basis = exchange(basis, [(points, grid), (near.flatten(1, 2), finer)], FINE_STEPS)

    slopes = finite(basis.slopes.reshape(k, 2, size) / reach)
    return -slopes[:, 0], slopes[:, 1]


def _inside(at: Sequence[Tensor], lower: Tensor, upper: Tensor, cut: Cut) -> list[Tensor]:
    """Places x and y [1 or 2, N, ...] in boxes [2, N], moved into the polygons."""
    x, y = (a.movedim(1, -1) for a in torch.broadcast_tensors(*at))
    moved = polygon.project(x.flatten(0, -2), y.flatten(0, -2), lower, upper, cut)
    return [t.reshape(x.shape).movedim(-1, 1).contiguous() for t in moved]


def secant(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """One slope [k, N] for both planes: along each operand the mean secant between corners of opposite
    faces."""
    k = lower.shape[0]
    lower, upper = widened(gate, lower, upper, parameters)
    bits = torch.cartesian_prod(*[lower.new_tensor([0.0, 1.0])] * k)
    sides = bits.reshape(-1, k).T[..., None]  # [k, 2^k, 1]
    at = torch.where(sides > 0, upper[:, None], lower[:, None])
    values = gate.function(*at, **parameters)
    slopes = finite(((2 * sides - 1) * values).sum(1) / (2 ** (k - 1) * (upper - lower)))
    return slopes, slopes


def finite(slopes: Tensor) -> Tensor:
    """0 where a point or an overflow left no slope: sound as any other."""
    return slopes.nan_to_num(0.0, 0.0, 0.0)


def widened(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Boxes of at least a small width, so that slopes are differences of more than rounding errors."""
    least = (0.5 * LEAST_WIDTH) * (lower + upper).abs().clamp_(min=2.0)
    extra = (0.5 * (least - (upper - lower))).clamp_(min=0.0)
    if gate.inside is not None:
        extra = torch.where(gate.inside(lower - extra, upper + extra, **parameters), extra, 0.0)
    return lower - extra, upper + extra


@cache
def _constants(k: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The signs of both problems [2, 1, 1], the unit vectors and their negatives [k, 2·k, 1], and the corners
    of the first basis [k, 1, 1, k+1]."""
    sign = torch.tensor([-1.0, 1.0], dtype=torch.float64, device=device)
    eye = torch.eye(k, dtype=torch.float64, device=device)
    vertices = torch.tensor(corners(k), dtype=torch.float64, device=device).T
    return sign[:, None, None], torch.cat([eye, -eye], 1)[..., None], vertices[:, None, None]


@cache
def _pattern(places: tuple[float, ...], curved: tuple[bool, ...], device: torch.device) -> Tensor:
    """`places` in every operand in which the gate is curved [k, 1, 1, G]."""
    steps = [torch.tensor(places if c else (0.0,), dtype=torch.float64, device=device) for c in curved]
    return torch.stack([t.flatten() for t in torch.meshgrid(*steps, indexing="ij")])[:, None, None]


def _spacing(nodes: Tensor) -> Tensor:
    """Distance of neighbours inside the grid [N, m]; 0 where the few nodes are all that counts."""
    count = nodes.shape[-1]
    if count <= FEW:
        return torch.zeros_like(nodes[:, 0])
    return (nodes[:, -2] - nodes[:, 1]) / (count - 3)
