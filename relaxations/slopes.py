"""Slopes of planes.  Any slope is sound; these are good.

`minimum_volume` solves the linear program of `simplex` on a grid of the box, then once more on finer grids
around the points where the plane touches.  For one operand the program is an upper hull, solved by looking at
all pairs of nodes.  `secant` is the closed form: the mean slope between opposite faces of the box.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from relaxations.gate import Gate, Support
from relaxations.hull import hull
from relaxations.simplex import corners, exchange, start

LINE, LINE_STAGES = (-0.75, -0.45, -0.2, 0.2, 0.45, 0.75), (1.0, 0.25)
GRID, GRID_STAGES = (-1.0, 0.0, 1.0), (0.5, 0.2)
"""Places, in multiples of the grid's spacing, that are added around each point of contact, stage by stage."""
COARSE_STEPS, FINE_STEPS = {2: 5, 3: 8}, 6
"""Exchanges before and in every stage.  More gain nothing: worst cases over random boxes in
docs/relaxations.md."""
CUTS = {2: 0, 3: 2}
"""Exchanges at the end against the true point of contact, by the gate's support."""
LEAST_WIDTH = 1e-6
FEW = 5
"""Operands in which a gate is piecewise linear have at most so many nodes, all of its kinks among them."""
SHIFT = (1.7e-4, 1.1e-4, 0.7e-4)
"""Moves the target off the faces of grid simplices, where an exchange may leave the height as it is."""
LEAN: Mapping[int, tuple[float, ...]] = {1: (0.15,), 2: (0.02, 0.1), 3: (0.02, 0.1, 0.1)}
"""By arity, how far the target lies from the centre towards the corner where the gate is extreme, in
half-widths.

A lower plane matters where the objective is least, which is where this gate is low: its best height is wanted
a little towards the low corner, an upper plane's towards the high one.  It also decides between planes of
equal volume, of which a product has a whole segment: x·y is bounded from above by y̅x + x̲y and by y̲x + x̅y,
equal at the centre.  The values of a recurrent cell (second and third operands) run with the objective
more than their gates (first operand) do, hence they lean further.
"""


def minimum_volume(
    gate: Gate,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any],
    lean: Sequence[float] | None = None,
) -> tuple[Tensor, Tensor]:
    """(lower, upper) slopes [k, N] of nearly least volume over boxes [k, N]; `lean` shifts the point whose
    height is least (`LEAN` by default, zeros for the least volume itself; 0 ≤ lean < ½)."""
    k = gate.arity
    lower, upper = widened(gate, lower, upper, parameters)
    centre, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    target = lower.new_tensor([s + t for s, t in zip(SHIFT, LEAN[k] if lean is None else lean, strict=False)])
    # The lower plane is the upper one of −g.  Every operand in which the plane's own function falls is
    # mirrored, so that the target is on the positive side:  p = centre + reach·v  with v in [−1, 1].
    rising = _rising(gate, centre, half, parameters)
    reach = torch.stack([-rising * half, rising * half], 1)  # [k, 2, N]

    def seen(*at: Tensor) -> Tensor:
        """(−gate, gate) [2, N, ...] at operands [2 or 1, N, ...]."""
        value = gate.function(*at, **parameters)
        return torch.cat([-value, value]) if value.shape[0] == 1 else torch.stack([-value[0], value[1]])

    def touching(slopes: Tensor) -> Support:
        """Where ±gate is furthest above planes of the given slopes [k, 2, N]."""
        scale = lower.new_tensor([[-1.0], [1.0]])
        box = (side[:, None].expand_as(slopes) for side in (lower, upper))
        return gate.support(scale, slopes, *box, **parameters)

    def nodes(low: Tensor, high: Tensor) -> list[Tensor]:
        return [n.movedim(0, -1) for n in gate.nodes(low, high, **parameters)]

    if k == 1:
        slopes = _lines(seen, nodes, centre[0] + reach[0] * target, lower, upper)[None]
    else:
        slopes = _planes(seen, touching, nodes(lower, upper), centre, reach, target)
    slopes = finite(slopes)
    return -slopes[:, 0], slopes[:, 1]


def _lines(
    seen: Callable[..., Tensor],
    nodes: Callable[[Tensor, Tensor], list[Tensor]],
    target: Tensor,
    lower: Tensor,
    upper: Tensor,
) -> Tensor:
    """Slopes [2, N] for one operand; `target` [2, N]."""
    sides = (lower.expand_as(target), target), (target, upper.expand_as(target))
    at = [nodes(low[None], high[None])[0] for low, high in sides]  # 2 × [2, N, m]
    values = [seen(x) for x in at]
    found = hull(at, values, target)
    if max(x.shape[-1] for x in at) <= FEW:
        return found.slope
    spacing = [_spacing(x)[..., None] for x in at]
    for share in LINE_STAGES:
        grid = target.new_tensor(LINE) * share
        near = [
            torch.minimum(torch.maximum(contact[..., None] + step * grid, low[..., None]), high[..., None])
            for contact, step, (low, high) in zip(found.contacts, spacing, sides, strict=True)
        ]
        at = [torch.cat([x, y], -1) for x, y in zip(at, near, strict=True)]
        values = [torch.cat([v, seen(y)], -1) for v, y in zip(values, near, strict=True)]
        found = hull(at, values, target)
    return found.slope


def _planes(
    seen: Callable[..., Tensor],
    touching: Callable[[Tensor], Support],
    nodes: list[Tensor],
    centre: Tensor,
    reach: Tensor,
    target: Tensor,
) -> Tensor:
    """Slopes [k, 2, N] for k > 1 operands with nodes [N, m]; `touching` is the support for such slopes."""
    k, _, size = reach.shape
    counts = [n.shape[-1] for n in nodes]
    at = [
        n[None].reshape(1, size, *_axes(count, j, k))
        for j, (n, count) in enumerate(zip(nodes, counts, strict=True))
    ]
    values = seen(*at).expand(2, size, *counts).flatten(2)
    points = [
        ((n - centre[j, :, None]) / reach[j, ..., None]).reshape(2, size, *_axes(counts[j], j, k))
        for j, n in enumerate(nodes)
    ]
    points = torch.stack([x.expand(2, size, *counts).reshape(2 * size, -1) for x in points])
    extreme = [values.gather(2, _flat(c, counts, reach)).flatten() for c in corners(k)]
    values = values.flatten(0, 1)
    basis = exchange(start(torch.stack(extreme), target), points, values, COARSE_STEPS[k])

    if max(counts) > FEW:
        grid = _pattern(tuple(count > FEW for count in counts), target.device)  # [k, G]
        spacing = torch.stack([_spacing(n) for n in nodes])[:, None] / reach.abs()  # [k, 2, N]
        for share in GRID_STAGES:
            contacts = basis.points.reshape(k, k + 1, 2, size).movedim(1, 3)
            near = contacts[..., None] + (share * spacing)[..., None, None] * grid[:, None, None, None]
            near = near.clamp(-1, 1).flatten(3)  # [k, 2, N, (k+1)·G]
            finer = seen(*torch.addcmul(centre[:, None, :, None], reach[..., None], near))
            both = torch.cat([points, near.flatten(1, 2)], 2)
            basis = exchange(basis, both, torch.cat([values, finer.flatten(0, 1)], 1), FINE_STEPS)

    slopes = basis.slopes.reshape(k, 2, size) / reach
    if not CUTS[k]:
        return slopes
    best, least = slopes, torch.full_like(slopes[0], torch.inf)
    for cut in range(CUTS[k] + 1):
        found = touching(finite(slopes))
        height = found.value + (slopes * (centre[:, None] + reach * target[:, None, None])).sum(0)
        best = torch.where(height < least, slopes, best)
        least = torch.minimum(height, least)
        if cut < CUTS[k]:
            place = ((found.at - centre[:, None]) / reach).flatten(1)[..., None]
            basis = exchange(basis, place, seen(*found.at).reshape(-1, 1), 1)
            slopes = basis.slopes.reshape(k, 2, size) / reach
    return best


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
    return torch.where(slopes.isfinite(), slopes, 0.0)


def widened(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Boxes of at least a small width, so that slopes are differences of more than rounding errors."""
    least = LEAST_WIDTH * (0.5 * (lower + upper)).abs().clamp(min=1.0)
    extra = (0.5 * (least - (upper - lower))).clamp(min=0.0)
    if gate.inside is not None:
        extra = torch.where(gate.inside(lower - extra, upper + extra, **parameters), extra, 0.0)
    return lower - extra, upper + extra


def _rising(gate: Gate, centre: Tensor, half: Tensor, parameters: Mapping[str, Any]) -> Tensor:
    """+1 where the gate rises with an operand across the middle of the box, −1 where it falls [k, N]."""
    unit = torch.eye(gate.arity, dtype=half.dtype, device=half.device)[..., None] * half  # [k, k, N]
    ahead, behind = (gate.function(*(centre[:, None] + side * unit), **parameters) for side in (1.0, -1.0))
    return torch.where(ahead < behind, -1.0, 1.0).to(centre)


@cache
def _pattern(curved: tuple[bool, ...], device: torch.device) -> Tensor:
    """`GRID` in every operand in which the gate is curved [k, G]."""
    steps = [torch.tensor(GRID if bends else (0.0,), dtype=torch.float64, device=device) for bends in curved]
    return torch.stack([t.flatten() for t in torch.meshgrid(*steps, indexing="ij")])


def _spacing(nodes: Tensor) -> Tensor:
    """Distance of neighbours inside the grid [..., m]; 0 where the few nodes are all that counts."""
    if nodes.shape[-1] <= FEW:
        return torch.zeros_like(nodes[..., 0])
    return nodes.diff(dim=-1).median(-1).values


def _axes(count: int, axis: int, k: int) -> list[int]:
    """Shape of a vector along grid axis `axis` of k."""
    return [count if j == axis else 1 for j in range(k)]


def _flat(corner: tuple[float, ...], counts: list[int], reach: Tensor) -> Tensor:
    """Index [2, N, 1] in the flat grid of `corner`, mirrored by the sign of `reach` [k, 2, N]."""
    index = torch.zeros(reach.shape[1:], dtype=torch.int64, device=reach.device)
    for axis, (side, count) in enumerate(zip(corner, counts, strict=True)):
        index = index * count + torch.where(reach[axis] * side > 0, count - 1, 0)
    return index[..., None]
