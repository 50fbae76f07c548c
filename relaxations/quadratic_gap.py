"""A quadratic lower bound of the relaxation gap: what planes lose at least, and sums of gates can win back.

A plane of a gate touches it at a few points, mostly where the region of the operands ends, and is far from it
in the middle.  With p̂ₖ = scaleₖ·pₖ + shiftₖ, about −1 and 1 at the ends of operand k,

    g(p) − lower plane(p) ≥ constant − Σₖ curvatureₖ·p̂ₖ²,    upper plane(p) − g(p) ≥ the same with its own,

for all p of the region.  One gate alone may well be where it touches; hundreds of gates that read the same
inputs are not all at once (`verifier.bounds.multi_neuron`).  Multi-neuron relaxations (PRIMA, Müller et al.,
POPL 2022) cut the hull of a few neurons by hyperplanes; here all of them stay single, and what they have in
common is left to the dual of a semidefinite program over these quadratic functions.  There Σ curvatureₖ·p̂ₖ²
is about a `PRICE`-th of Σ curvatureₖ: it is chosen for the greatest constant − PRICE·Σ curvature, on samples,
and any curvature ≥ 0 would be sound.

Proof of `constant`: the box is cut into cells.  Around the middle m of a cell, in places p̂, is p̂ₖ² ≥
2mₖ·p̂ₖ − mₖ², so that

    plane + constant − Σ curvatureₖ·p̂ₖ² ≤ plane + constant + Σ curvatureₖ·(mₖ² − 2mₖ·p̂ₖ),

which is another plane, whose offset over the cell is bounded by `offset_over` like that of any plane.
`constant` is the most that leaves all of these planes beyond the gate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relaxations.bounding_planes import Planes, offset_over
from relaxations.gate_box import GateBox

PRICE = 0.35
SAMPLES = 216  # in a box, about
CELLS = 64  # of a box, about
STEPS = 24  # of the ascent to the curvature
FADING = 0.8  # its k-th step is k^-FADING as long as the first
THIN = 1e-7  # half-widths below it, relative to the centre, have no gap
OUTSIDE = 1e-9  # a cell so far beyond a side of the octagon has no point of the region: rounding is far less


@dataclass(frozen=True)
class QuadraticGap:
    """Planes and gate are at least constant − Σₖ curvature[k]·p̂ₖ² apart over the region, p̂ₖ = scale[k]·pₖ +
    shift[k]: `scale`, `shift` [k, *S]; `constant` [2, *S] and `curvature` [2, k, *S] of the lower plane and
    of the upper one, float64, both 0 where there is nothing to be won."""

    scale: Tensor
    shift: Tensor
    constant: Tensor
    curvature: Tensor


@torch.no_grad()
def quadratic_gap(box: GateBox, planes: Planes) -> QuadraticGap:
    """The gaps below the gate of `box` and above it, for its `planes` over boxes [k, *S] or the part that
    the octagons leave of them."""
    lower, upper, octagon = box.lower, box.upper, box.octagon
    shape = lower.shape[1:]
    l, u = lower.double().flatten(1), upper.double().flatten(1)
    centre, half = (l + u) / 2, (u - l) / 2
    usable = (half > THIN * (1 + centre.abs())).all(0)
    half = torch.where(usable, half, 1.0)
    cut = None if octagon is None else octagon.trimmed(lower.double(), upper.double())
    frame = _Frame(GateBox(box.gate, l, u, box.parameters, cut), 1 / half, -centre / half)
    sides = [
        _Side(frame, True, planes.lower_slope, planes.lower_offset),
        _Side(frame, False, planes.upper_slope, planes.upper_offset),
    ]
    found = [side.gap(usable) for side in sides]
    return QuadraticGap(
        frame.scale.view(lower.shape),
        frame.shift.view(lower.shape),
        torch.stack([constant for constant, _ in found]).view(2, *shape),
        torch.stack([curvature for _, curvature in found]).view(2, *lower.shape),
    )


@dataclass(frozen=True)
class _Frame:
    """Boxes [k, N] and the places p̂ in them."""

    box: GateBox
    scale: Tensor
    shift: Tensor

    def points(self, count: int) -> Tensor:
        """count^k points [k, P, N] in every box."""
        lower, upper = self.box.lower, self.box.upper
        share = _grid(torch.linspace(0, 1, count, dtype=lower.dtype, device=lower.device), len(lower))
        return lower[:, None] + (upper - lower)[:, None] * share[..., None]

    def inside(self, points: Tensor) -> Tensor:
        """Which `points` [k, P, N] the octagon leaves [P, N], up to rounding."""
        return self._within(points, points)

    def _within(self, first: Tensor, last: Tensor) -> Tensor:
        """Which boxes [k, P, N] may have points that the octagon leaves."""
        cut = self.box.octagon
        if cut is None:
            return torch.ones_like(first[0], dtype=torch.bool)
        low, high = ((p - cut.centre[:, None]) / cut.half[:, None] for p in (first, last))
        most, least = high[:1] + high[1:], low[:1] + low[1:]
        right, left = high[:1] - low[1:], low[:1] - high[1:]
        a, b, c, d = (side[:, None] for side in cut.sides())
        slip = OUTSIDE
        return ((most >= a - slip) & (least <= b + slip) & (right >= c - slip) & (left <= d + slip)).all(0)

    def cells(self) -> tuple[GateBox, Tensor]:
        """Boxes [k, C, N] of cells, and which have points [C, N]."""
        lower, upper, cut = self.box.lower, self.box.upper, self.box.octagon
        k = len(lower)
        count = _each(CELLS, k)
        edges = torch.arange(count + 1, dtype=lower.dtype, device=lower.device) / count
        at = lower[..., None] + (upper - lower)[..., None] * edges  # [k, N, count + 1]
        at[..., -1] = upper
        index = _grid(torch.arange(count, device=at.device), k)  # [k, C]
        low = torch.stack([at[j][:, i].T for j, i in enumerate(index)])
        high = torch.stack([at[j][:, i + 1].T for j, i in enumerate(index)])
        if cut is not None:
            cut = cut.map(lambda t: t[:, None].expand(-1, low.shape[1], -1))
        return replace(self.box, lower=low, upper=high, octagon=cut), self._within(low, high)


@dataclass(frozen=True)
class _Side:
    """One side of a gate: `below` with its lower planes, or above with its upper ones; slopes [k, *S],
    offsets [*S]."""

    frame: _Frame
    below: bool
    slopes: Tensor
    offsets: Tensor

    def gap(self, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Constant [N] and curvature [k, N]."""
        slope, at_zero = self.slopes.double().flatten(1), self.offsets.double().flatten()
        curvature = torch.where(usable, self._curvature(slope, at_zero), 0.0)
        cells, there = self.frame.cells()
        low, high = cells.lower, cells.upper
        scale, shift = self.frame.scale[:, None], self.frame.shift[:, None]
        middle = scale * (low + high) / 2 + shift
        sign = 1.0 if self.below else -1.0
        turned = 2 * curvature[:, None] * middle * scale
        below = torch.full_like(middle[0], self.below, dtype=torch.bool)
        found = offset_over(cells, below, slope[:, None] - sign * turned)
        moved = curvature[:, None] * (middle * middle - 2 * middle * shift)
        constant = sign * (found - at_zero) - moved.sum(0)
        # slopes and what is added up err by a few u of their terms
        reach = torch.maximum(low.abs(), high.abs())
        size = (reach * (slope.abs()[:, None] + turned.abs())).sum(0) + found.abs() + at_zero.abs()
        size = size + (curvature[:, None] * middle.abs() * (middle.abs() + 2 * shift.abs())).sum(0)
        constant = constant - 8 * torch.finfo(size.dtype).eps * size
        constant = constant.nan_to_num(nan=-torch.inf).masked_fill(~there, torch.inf).amin(0)
        good = usable & (constant > PRICE * curvature.sum(0)) & torch.isfinite(constant)
        return torch.where(good, constant, 0.0), torch.where(good, curvature, 0.0)

    def _curvature(self, slope: Tensor, at_zero: Tensor) -> Tensor:
        """The curvature [k, N] with the greatest constant − PRICE·Σ curvature on samples, nearly: the
        function is concave, and grows with curvatureₖ where the lowest sample is at a p̂ₖ² above PRICE."""
        frame, gate = self.frame, self.frame.box.gate
        p = frame.points(_each(SAMPLES, gate.arity))
        apart = gate.function(*p, **frame.box.parameters) - (slope[:, None] * p).sum(0) - at_zero
        apart = (apart if self.below else -apart).clamp_min(0.0)
        place = (frame.scale[:, None] * p + frame.shift[:, None]).square()
        apart = apart.masked_fill(~frame.inside(p), torch.inf)
        scale = torch.where(torch.isfinite(apart), apart, 0.0).mean(0)
        curvature, best = scale.expand(len(p), -1), torch.zeros_like(slope)
        most = torch.zeros_like(at_zero)
        for k in range(STEPS):
            least, where = (apart + (place * curvature[:, None]).sum(0)).min(0)
            worth = least - PRICE * curvature.sum(0)
            better = (worth > most) & torch.isfinite(worth)
            best, most = torch.where(better, curvature, best), torch.where(better, worth, most)
            uphill = place.gather(1, where.expand(len(p), 1, -1))[:, 0] - PRICE
            curvature = (curvature + scale * uphill / (k + 1) ** FADING).clamp_min(0.0)
        return best


def _each(total: int, k: int) -> int:
    """How many along each of k operands make about `total`."""
    return max(2, round(total ** (1 / k)))


def _grid(line: Tensor, k: int) -> Tensor:
    """All combinations of k entries of `line` [k, len^k]."""
    return torch.stack([t.flatten() for t in torch.meshgrid(*[line] * k, indexing="ij")])
