"""Slopes of nearly least volume, POPQORN's aim (Ko et al. 2019); any slope is sound, these are good.

`minimum_volume` solves the linear program of `simplex` on a grid of the box, then again on finer grids around
the points where the plane touches, where POPQORN goes by gradient descent on the offsets.  PROVER (Ryou et
al. 2021) also solves linear programs over points of the gate; here the points are refined by stages, and
offsets come from `offsets`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from relaxations.curves.curve import even_nodes
from relaxations.gate_box import GateBox
from relaxations.octagon import Cut
from relaxations.polygons import polygon
from relaxations.slopes.simplex import Basis, corners, exchange, start

ALONG, AROUND = (-1.5, -0.9, -0.4, 0.0, 0.4, 0.9, 1.5), (-1.0, 0.0, 1.0)
PATTERN: Mapping[int, tuple[float, ...]] = {1: ALONG, 2: AROUND, 3: AROUND}
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
TANGENT: Mapping[int, tuple[float, ...]] = {1: (0.15,), 2: (0.02, 0.3), 3: (0.02, 0.3, 0.3)}
"""By arity, how far the target lies from the centre towards the corner where the gate is extreme, in
half-widths.

A lower plane matters where the objective is least, which is where this gate is low: its best height is wanted
towards the low corner, an upper plane's towards the high one.  It also decides between planes of equal
volume, of which a product has a whole segment: x·y is bounded from above by y̅x + x̲y and by y̲x + x̅y, equal
at the centre.  The values of a recurrent cell (second and third operands) run with the objective more than
their gates (first operand) do, hence their tangent points are shifted further; the more so over polygons,
where no planes are equal and nothing but this prefers one way.  Measured in docs/lab/gates.md.
"""


def target(k: int, tangent: Sequence[float] | None) -> list[float]:
    """The point of k operands at which a plane's height is least, in half-widths from the centre towards the
    corner where the gate is extreme; `TANGENT` by default."""
    return [s + t for s, t in zip(SHIFT[:k], TANGENT[k] if tangent is None else tangent, strict=True)]


def minimum_volume(box: GateBox, target: Sequence[float], cut: Cut | None = None) -> tuple[Tensor, Tensor]:
    """(lower, upper) slopes [k, N] of nearly least volume over boxes [k, N], or the polygons `cut` out of
    them; `target` [k] is the point whose height is least, in half-widths from the centre (`target`)."""
    both = _Both.of(box)
    nodes = _nodes(both.box, cut)
    points, values = _grid(both, nodes, cut)
    if cut is None:
        basis = exchange(both.first_basis(target), [(points, values)], COARSE_STEPS)
    else:
        first = _polygon_basis(both, target, values, cut)
        rim = polygon.outline(both.box.lower, both.box.upper, cut, RIM)[:, None]
        points = torch.cat([points, both.coordinates(rim).flatten(1, 2)], 2)
        values = torch.cat([values, both.values(*rim)], 1)
        basis = exchange(first, [(points, values)], 2 * COARSE_STEPS)

    k, size = box.lower.shape
    curved = tuple(cut is not None or n.shape[-1] > FEW for n in nodes)
    if any(curved):
        pattern = _pattern(PATTERN[k], curved, box.lower.device)  # [k, 1, 1, G]
        spacing = torch.stack([_spacing(n) for n in nodes])[:, None] / both.reach.abs()
        for share in STAGES:
            contacts = basis.points.mT[..., None]  # [k, 2·N, k+1, 1]
            near = contacts + (share * spacing).flatten(1)[..., None, None] * pattern
            near = near.clamp_(-1, 1).reshape(k, 2, size, -1)
            places = both.places(near)
            if cut is not None:
                places = torch.stack(_inside(list(places), both.box, cut))
                near = both.coordinates(places)
            finer = near.flatten(1, 2), both.values(*places)
            basis = exchange(basis, [(points, values), finer], FINE_STEPS)

    slopes = finite(basis.slopes.reshape(k, 2, size) / both.reach)
    return -slopes[:, 0], slopes[:, 1]


@dataclass(frozen=True, eq=False)
class _Both:
    """The two problems of N boxes [k, N], widened: the lower plane is the upper one of −g.  Every operand in
    which a plane's own function falls is mirrored, so that the target is on the positive side:  p = centre +
    reach·v  with v in [−1, 1], `reach` [k, 2, N]."""

    box: GateBox
    centre: Tensor
    sign: Tensor
    reach: Tensor

    @staticmethod
    def of(box: GateBox) -> _Both:
        k, size = box.lower.shape
        box = widened(box)
        centre, half = 0.5 * (box.lower + box.upper), 0.5 * (box.upper - box.lower)
        sign, eye, _ = _constants(k, centre.device)
        beside = torch.addcmul(centre[:, None], eye, half[:, None])
        ahead, behind = box.gate.function(*beside, **box.parameters).reshape(2, k, size)
        reach = torch.where(ahead < behind, -half, half)[:, None] * sign[..., 0]
        return _Both(box, centre, sign, reach)

    def values(self, *at: Tensor) -> Tensor:
        """(−gate, gate) [2·N, G] at operands [2 or 1, N, ...]."""
        found = self.box.gate.function(*at, **self.box.parameters)
        return (found.flatten(2) * self.sign).flatten(0, 1)

    def places(self, v: Tensor) -> Tensor:
        return torch.addcmul(self.centre[:, None, :, None], self.reach[..., None], v)

    def coordinates(self, places: Tensor) -> Tensor:
        """v of places [k, 2 or 1, N, G]."""
        return (places - self.centre[:, None, :, None]) / self.reach[..., None]

    def first_basis(self, target: Sequence[float]) -> Basis:
        """Of corners of the boxes."""
        *_, vertices = _constants(len(self.centre), self.centre.device)
        return start(self.values(*self.places(vertices)).T, self.centre.new_tensor(target)[:, None])


def _nodes(box: GateBox, cut: Cut | None) -> list[Tensor]:
    """Values of every operand [N, m] that make the grid."""
    lower, upper = box.lower, box.upper
    nodes = [n.T for n in box.gate.nodes(lower, upper, **box.parameters)]
    if cut is None:
        return nodes
    return [  # along the edges of a polygon every gate may bend
        torch.cat([n, even_nodes(l, u, 6)[1:-1].T], 1) if n.shape[1] <= FEW else n
        for n, l, u in zip(nodes, lower, upper, strict=True)
    ]


def _grid(both: _Both, nodes: Sequence[Tensor], cut: Cut | None) -> tuple[Tensor, Tensor]:
    """The points v [k, 2·N, G] of the grid, moved into the polygons, and the values [2·N, G] there."""
    k, size = both.box.lower.shape
    counts = [n.shape[-1] for n in nodes]
    axes = [[count if i == j else 1 for i in range(k)] for j, count in enumerate(counts)]
    at = [n.reshape(1, size, *axis) for n, axis in zip(nodes, axes, strict=True)]
    if cut is not None:
        at = _inside(at, both.box, cut)
    values = both.values(*at)
    middle, scale = both.centre[:, None, :, None], both.reach[..., None]
    points = torch.stack(
        [
            ((a.flatten(2) - middle[j]) / scale[j]).reshape(2, *a.shape[1:]).expand(2, size, *counts)
            for j, a in enumerate(at)
        ]
    ).reshape(k, 2 * size, -1)
    return points, values


def _polygon_basis(both: _Both, target: Sequence[float], values: Tensor, cut: Cut) -> Basis:
    """Corners may be cut off: far below the gate, they leave the basis as soon as they can."""
    lower, upper, reach = both.box.lower, both.box.upper, both.reach
    top, bottom = values.amax(1, keepdim=True), values.amin(1, keepdim=True)
    extreme = (bottom - FAR * (top - bottom)).expand(-1, len(lower) + 1)
    shift = reach.sign() * lower.new_tensor(target)[:, None, None]
    place = polygon.target(shift, lower, upper, cut)
    return start(extreme.T, ((place - both.centre[:, None]) / reach).flatten(1))


def _inside(at: Sequence[Tensor], box: GateBox, cut: Cut) -> list[Tensor]:
    """Places x and y [1 or 2, N, ...] in boxes [2, N], moved into the polygons."""
    x, y = (a.movedim(1, -1) for a in torch.broadcast_tensors(*at))
    moved = polygon.project(x.flatten(0, -2), y.flatten(0, -2), box.lower, box.upper, cut)
    return [t.reshape(x.shape).movedim(-1, 1).contiguous() for t in moved]


def finite(slopes: Tensor) -> Tensor:
    """0 where a point or an overflow left no slope: sound as any other."""
    return slopes.nan_to_num(0.0, 0.0, 0.0)


def widened(box: GateBox) -> GateBox:
    """Boxes of at least a small width, so that slopes are differences of more than rounding errors."""
    lower, upper, inside = box.lower, box.upper, box.gate.inside
    least = (0.5 * LEAST_WIDTH) * (lower + upper).abs().clamp_(min=2.0)
    extra = (0.5 * (least - (upper - lower))).clamp_(min=0.0)
    if inside is not None:
        extra = torch.where(inside(lower - extra, upper + extra, **box.parameters), extra, 0.0)
    return replace(box, lower=lower - extra, upper=upper + extra)


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
