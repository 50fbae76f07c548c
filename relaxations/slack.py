"""How far inside of its planes a gate lies: what planes throw away, and sums of many gates can win back.

A plane of a gate touches it at a few points, mostly where the region of the operands ends, and is far from it
in the middle.  With p̂ₖ = scaleₖ·pₖ + shiftₖ, about −1 and 1 at the ends of operand k,

    g(p) − lower plane(p) ≥ height − Σₖ bendₖ·p̂ₖ²,    upper plane(p) − g(p) ≥ the same with its own numbers,

for all p of the region.  One gate alone may well be where it touches; hundreds of gates that read the same
inputs are not all at once (`verifier.bounds.multi_neuron`), so that Σ bendₖ·p̂ₖ² is about a `PRICE`-th of Σ
bendₖ for them: `bend` is chosen for the greatest height − PRICE·Σ bend, on samples, and any bend ≥ 0 would be
sound.

Proof of `height`: the box is cut into cells.  Around the middle m of a cell, in places p̂, is p̂ₖ² ≥ 2mₖ·p̂ₖ
− mₖ², so that

    plane + height − Σ bendₖ·p̂ₖ² ≤ plane + height + Σ bendₖ·(mₖ² − 2mₖ·p̂ₖ),

which is another plane, whose offset over the cell is bounded by `offset` like that of any plane.  `height` is
the most that leaves all of these planes beyond the gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relaxations.bounding_planes import Planes, offset
from relaxations.gate import Gate
from relaxations.octagon import Diagonals

PRICE = 0.35
SAMPLES = 216  # in a box, about
CELLS = 64  # of a box, about
STEPS = 24  # of the ascent to `bend`
FADING = 0.8  # its k-th step is k^-FADING as long as the first
THIN = 1e-7  # half-widths below it, relative to the centre, have no slack
OUTSIDE = 1e-9  # a cell that lies so far beyond a diagonal has no point of the region


@dataclass(frozen=True)
class Slack:
    """Planes and gate are at least height − Σₖ bend[k]·p̂ₖ² apart over the region, p̂ₖ = scale[k]·pₖ +
    shift[k]: `scale`, `shift` [k, *S]; `height` [2, *S] and `bend` [2, k, *S] of the lower plane and of the
    upper one, float64, both 0 where there is nothing to be won."""

    scale: Tensor
    shift: Tensor
    height: Tensor
    bend: Tensor


@torch.no_grad()
def slack(
    gate: Gate,
    planes: Planes,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any] | None = None,
    diagonals: Diagonals | None = None,
) -> Slack:
    """The slack below the gate and above it, for its `planes` over boxes [k, *S] or the part that `diagonals`
    leave of them."""
    shape, parameters = lower.shape[1:], parameters or {}
    l, u = lower.double().flatten(1), upper.double().flatten(1)
    centre, half = (l + u) / 2, (u - l) / 2
    usable = (half > THIN * (1 + centre.abs())).all(0)
    half = torch.where(usable, half, 1.0)
    cut = None if diagonals is None else diagonals.trimmed(lower.double(), upper.double())
    frame = _Frame(l, u, 1 / half, -centre / half, cut)
    sides = [
        _Side(gate, parameters, frame, True, planes.lower_slope, planes.lower_offset),
        _Side(gate, parameters, frame, False, planes.upper_slope, planes.upper_offset),
    ]
    found = [side.slack(usable) for side in sides]
    return Slack(
        frame.scale.view(lower.shape),
        frame.shift.view(lower.shape),
        torch.stack([height for height, _ in found]).view(2, *shape),
        torch.stack([bend for _, bend in found]).view(2, *lower.shape),
    )


@dataclass(frozen=True)
class _Frame:
    """Boxes [k, N], the places p̂ in them, and diagonals that cut them."""

    lower: Tensor
    upper: Tensor
    scale: Tensor
    shift: Tensor
    cut: Diagonals | None

    def points(self, count: int) -> Tensor:
        """count^k points [k, P, N] in every box."""
        share = _grid(
            torch.linspace(0, 1, count, dtype=self.lower.dtype, device=self.lower.device), len(self.lower)
        )
        return self.lower[:, None] + (self.upper - self.lower)[:, None] * share[..., None]

    def inside(self, points: Tensor) -> Tensor:
        """Which `points` [k, P, N] the diagonals leave [P, N], up to rounding."""
        if self.cut is None:
            return torch.ones_like(points[0], dtype=torch.bool)
        return self._within(points, points)

    def _within(self, first: Tensor, last: Tensor) -> Tensor:
        """Which boxes [k, P, N] may have points that the diagonals leave."""
        assert self.cut is not None
        low, high = ((p - self.cut.centre[:, None]) / self.cut.half[:, None] for p in (first, last))
        most, least = high[:1] + high[1:], low[:1] + low[1:]
        right, left = high[:1] - low[1:], low[:1] - high[1:]
        a, b, c, d = (side[:, None] for side in self.cut.sides())
        slip = OUTSIDE
        return ((most >= a - slip) & (least <= b + slip) & (right >= c - slip) & (left <= d + slip)).all(0)

    def cells(self) -> tuple[Tensor, Tensor, Diagonals | None, Tensor]:
        """Boxes [k, C, N] of cells, their diagonals, and which have points [C, N]."""
        k = len(self.lower)
        count = _each(CELLS, k)
        edges = torch.arange(count + 1, dtype=self.lower.dtype, device=self.lower.device) / count
        width = self.upper - self.lower
        at = self.lower[..., None] + width[..., None] * edges  # [k, N, count + 1]
        at[..., -1] = self.upper
        index = _grid(torch.arange(count, device=at.device), k)  # [k, C]
        low = torch.stack([at[j][:, i].T for j, i in enumerate(index)])
        high = torch.stack([at[j][:, i + 1].T for j, i in enumerate(index)])
        if self.cut is None:
            return low, high, None, torch.ones_like(low[0], dtype=torch.bool)
        cut = self.cut.map(lambda t: t[:, None].expand(-1, low.shape[1], -1))
        return low, high, cut, self._within(low, high)


@dataclass(frozen=True)
class _Side:
    """One side of a gate: `below` with its lower planes, or above with its upper ones; slopes [k, *S],
    offsets [*S]."""

    gate: Gate
    parameters: Mapping[str, Any]
    frame: _Frame
    below: bool
    slopes: Tensor
    offsets: Tensor

    def slack(self, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Height [N] and bend [k, N]."""
        slope, at_zero = self.slopes.double().flatten(1), self.offsets.double().flatten()
        bend = torch.where(usable, self._bend(slope, at_zero), 0.0)
        low, high, cut, there = self.frame.cells()
        scale, shift = self.frame.scale[:, None], self.frame.shift[:, None]
        middle = scale * (low + high) / 2 + shift
        sign = 1.0 if self.below else -1.0
        turned = 2 * bend[:, None] * middle * scale
        below = torch.full_like(middle[0], self.below, dtype=torch.bool)
        found = offset(self.gate, below, slope[:, None] - sign * turned, low, high, self.parameters, cut)
        moved = bend[:, None] * (middle * middle - 2 * middle * shift)
        height = sign * (found - at_zero) - moved.sum(0)
        # slopes and what is added up err by a few u of their terms
        reach = torch.maximum(low.abs(), high.abs())
        size = (reach * (slope.abs()[:, None] + turned.abs())).sum(0) + found.abs() + at_zero.abs()
        size = size + (bend[:, None] * middle.abs() * (middle.abs() + 2 * shift.abs())).sum(0)
        height = height - 8 * torch.finfo(size.dtype).eps * size
        height = height.nan_to_num(nan=-torch.inf).masked_fill(~there, torch.inf).amin(0)
        good = usable & (height > PRICE * bend.sum(0)) & torch.isfinite(height)
        return torch.where(good, height, 0.0), torch.where(good, bend, 0.0)

    def _bend(self, slope: Tensor, at_zero: Tensor) -> Tensor:
        """The bend [k, N] with the greatest height − PRICE·Σ bend on samples, nearly: the function is
        concave, and grows with bendₖ where the lowest sample is at a p̂ₖ² above PRICE."""
        frame = self.frame
        p = frame.points(_each(SAMPLES, self.gate.arity))
        apart = self.gate.function(*p, **self.parameters) - (slope[:, None] * p).sum(0) - at_zero
        apart = (apart if self.below else -apart).clamp_min(0.0)
        place = (frame.scale[:, None] * p + frame.shift[:, None]).square()
        apart = apart.masked_fill(~frame.inside(p), torch.inf)
        scale = torch.where(torch.isfinite(apart), apart, 0.0).mean(0)
        bend, best, most = scale.expand(len(p), -1), torch.zeros_like(slope), torch.zeros_like(at_zero)
        for k in range(STEPS):
            least, where = (apart + (place * bend[:, None]).sum(0)).min(0)
            worth = least - PRICE * bend.sum(0)
            better = (worth > most) & torch.isfinite(worth)
            best, most = torch.where(better, bend, best), torch.where(better, worth, most)
            uphill = place.gather(1, where.expand(len(p), 1, -1))[:, 0] - PRICE
            bend = (bend + scale * uphill / (k + 1) ** FADING).clamp_min(0.0)
        return best


def _each(total: int, k: int) -> int:
    """How many along each of k operands make about `total`."""
    return max(2, round(total ** (1 / k)))


def _grid(line: Tensor, k: int) -> Tensor:
    """All combinations of k entries of `line` [k, len^k]."""
    return torch.stack([t.flatten() for t in torch.meshgrid(*[line] * k, indexing="ij")])
