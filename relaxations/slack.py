"""How far inside of its planes a gate lies: what planes throw away, and sums of many gates can win back.

A plane of a gate that bends away from it touches where the region of the operands ends, and is far from the
gate in the middle.  With w(p) in [−1, 1] across that region, in one of the directions û, v̂, û + v̂, û − v̂
of its frame,

    g(p) − lower plane(p) ≥ height·(1 − w(p)²) − loss,    upper plane(p) − g(p) ≥ the same with its own w,

for all p of the region.  One gate alone may well be where it touches, with w = ±1; hundreds of gates that
read the same inputs are not all at once (`verifier.joint`).

`height` and direction are chosen from samples, and any would be sound.  Proof of `loss`: the region is cut
into slabs around w = m.  By (w − m)² ≥ 0 is 1 − w² ≤ 1 + m² − 2m·w everywhere, a linear function, so that

    plane + height·(1 − w²) ≤ plane + height·(1 + m² − 2m·w),

which is another plane, whose offset over the slab is bounded by `offset` like that of any plane.  `loss` is
the most by which such an offset is missed on any slab.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relaxations.bounds import Planes, offset
from relaxations.gate import Gate
from relaxations.polygon import Diagonals, framed

GRID = 13  # samples of an operand
SLABS = 8
NEAR = 1e-3  # samples with a smaller 1 − w² say nothing of the height
SHARE = 0.98  # of the height that samples allow
MOST = 0.3  # of the height may be lost, or there is none
OVERLAP = 1e-7  # of slabs, in units of w: their ends are rounded by 1e-8 at most, see THIN
THIN = 1e-7  # half-widths below it, relative to the centre, have no slack


@dataclass(frozen=True)
class Slack:
    """plane and gate are at least height·(1 − w²) − loss apart, w(p) = Σₖ direction[k]·pₖ + shift, over the
    region: `direction` [k, *S], the others [*S], float64; `height` 0 where there is nothing to be won."""

    direction: Tensor
    shift: Tensor
    height: Tensor
    loss: Tensor


@torch.no_grad()
def slack(
    gate: Gate,
    planes: Planes,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any] | None = None,
    diagonals: Diagonals | None = None,
) -> tuple[Slack, Slack] | None:
    """The slack below the gate and above it, for its `planes` over boxes [k, *S] or the part that `diagonals`
    leave of them; None for a gate of more than two operands."""
    if gate.arity > 2:
        return None
    shape, parameters = lower.shape[1:], parameters or {}
    l, u = lower.double().flatten(1), upper.double().flatten(1)
    frame = _Frame.of(l, u, None if diagonals is None else diagonals.trimmed(lower.double(), upper.double()))
    found = []
    for below, slope, at_zero in (
        (True, planes.lower_slope, planes.lower_offset),
        (False, planes.upper_slope, planes.upper_offset),
    ):
        side = _Side(
            gate, parameters, below, slope.double().flatten(1), at_zero.double().flatten(), l, u, frame
        )
        one = side.slack()
        found.append(
            Slack(
                one.direction.view(lower.shape), *(t.view(shape) for t in (one.shift, one.height, one.loss))
            )
        )
    return found[0], found[1]


@dataclass(frozen=True)
class _Frame:
    """The frame of regions [k, N], and the `first` and the `last` value [m, N] there of each of m `ways` [m,
    k] to go across; `cut` where there are two operands; whether there is any width to speak of, `usable`
    [N]."""

    centre: Tensor
    half: Tensor
    ways: Tensor
    first: Tensor
    last: Tensor
    cut: Diagonals | None
    usable: Tensor

    @staticmethod
    def of(lower: Tensor, upper: Tensor, cut: Diagonals | None) -> _Frame:
        two = torch.full_like(lower[:1], 2.0)
        if len(lower) == 1:
            centre, half = (lower + upper) / 2, (upper - lower) / 2
            ways = lower.new_ones(1, 1)
        else:
            cut = cut or framed(lower, upper, -two, two, -two, two)
            centre, half = cut.centre, cut.half
            ways = lower.new_tensor([[1, 0], [0, 1], [1, 1], [1, -1]])
        usable = (upper - lower > 2 * THIN * (1 + centre.abs())).all(0) & (half > 0).all(0)
        half = torch.where(usable, half, 1.0)
        first, last = (lower - centre) / half, (upper - centre) / half
        if cut is not None:
            first = torch.cat([first, cut.sum_lower, cut.difference_lower])
            last = torch.cat([last, cut.sum_upper, cut.difference_upper])
        return _Frame(centre, half, ways, first, last, cut, usable & (last > first).all(0))

    def inside(self, places: Tensor) -> Tensor:
        """Of `places` [k, P, N] in the frame, those in the region [P, N], up to rounding."""
        along = torch.einsum("mk,kpn->mpn", self.ways, places)
        slip = 1e-9
        return ((along >= self.first[:, None] - slip) & (along <= self.last[:, None] + slip)).all(0)

    def slabs(
        self, way: Tensor, lower: Tensor, upper: Tensor, edges: Tensor
    ) -> tuple[Tensor, Tensor, Diagonals | None]:
        """Boxes [k, s, N] and cuts of the parts between `edges` [s + 1] of w ∈ [−1, 1], along `way` [N]."""
        middle, half = self._across(way)
        low = middle + half * (edges[:-1, None] - OVERLAP)
        high = middle + half * (edges[1:, None] + OVERLAP)
        count = len(edges) - 1
        l, u = (t[:, None].expand(-1, count, -1).clone() for t in (lower, upper))
        for k in range(len(lower)):
            here = way == k
            l[k] = torch.where(here, torch.maximum(l[k], self.centre[k] + self.half[k] * low), l[k])
            u[k] = torch.where(here, torch.minimum(u[k], self.centre[k] + self.half[k] * high), u[k])
        u = torch.maximum(u, l)
        if self.cut is None:
            return l, u, None
        sides = []
        for k, (first, last) in ((2, self.cut.sides()[:2]), (3, self.cut.sides()[2:])):
            here = way == k
            sides.append(torch.where(here, torch.maximum(first, low), first).unsqueeze(0))
            sides.append(torch.where(here, torch.minimum(last, high), last).unsqueeze(0))
        frames = (t[:, None].expand(-1, count, -1) for t in (self.centre, self.half))
        return l, u, Diagonals(*frames, *sides)

    def _across(self, way: Tensor) -> tuple[Tensor, Tensor]:
        """The middle of the region along `way` [N], and how far it reaches to both sides."""
        first, last = (t.gather(0, way[None])[0] for t in (self.first, self.last))
        return (first + last) / 2, (last - first) / 2

    def across(self, way: Tensor) -> tuple[Tensor, Tensor]:
        """Direction [k, N] and shift [N] of w along `way` [N]."""
        middle, half = self._across(way)
        direction = self.ways[way].T / self.half / half
        return direction, -(direction * self.centre).sum(0) - middle / half


@dataclass(frozen=True)
class _Side:
    """One side of a gate: `below` with its lower planes, or above with its upper ones."""

    gate: Gate
    parameters: Mapping[str, Any]
    below: bool
    slope: Tensor
    offset: Tensor
    lower: Tensor
    upper: Tensor
    frame: _Frame

    def slack(self) -> Slack:
        way, height = self._chosen()
        direction, shift = self.frame.across(way)
        edges = torch.linspace(-1, 1, SLABS + 1, dtype=height.dtype, device=height.device)
        middle = ((edges[:-1] + edges[1:]) / 2)[:, None]
        l, u, cut = self.frame.slabs(way, self.lower, self.upper, edges)
        sign = 1.0 if self.below else -1.0
        turned = sign * 2 * height * middle  # [s, N]
        slope = self.slope[:, None] - turned * direction[:, None]
        wanted = self.offset + sign * height * (1 + middle * middle) - turned * shift
        below = torch.full_like(wanted, self.below, dtype=torch.bool)
        there = offset(self.gate, below, slope, l, u, self.parameters, cut)
        # slope and `wanted` err by a few u of their terms
        reach = torch.maximum(self.lower.abs(), self.upper.abs())[:, None]
        size = (reach * (self.slope.abs()[:, None] + turned.abs() * direction.abs()[:, None])).sum(0)
        size = size + self.offset.abs() + 3 * height + turned.abs() * shift.abs() + there.abs()
        missed = sign * (wanted - there) + 8 * torch.finfo(size.dtype).eps * size
        loss = missed.nan_to_num(nan=torch.inf).amax(0).clamp_min(0.0)
        good = self.frame.usable & (loss <= MOST * height) & torch.isfinite(shift)
        zero = torch.zeros_like(loss)
        return Slack(
            torch.where(good, direction, 0.0),
            torch.where(good, shift, zero),
            torch.where(good, height, zero),
            torch.where(good, loss, zero),
        )

    def _chosen(self) -> tuple[Tensor, Tensor]:
        """The way across [N] with the greatest height, and that [N], by samples."""
        frame, arity = self.frame, self.gate.arity
        line = torch.linspace(-1, 1, GRID, dtype=self.lower.dtype, device=self.lower.device)
        share = torch.stack([t.flatten() for t in torch.meshgrid(*[line] * arity, indexing="ij")])  # [k, P]
        middle, half = (self.lower + self.upper) / 2, (self.upper - self.lower) / 2
        p = middle[:, None] + half[:, None] * share.unsqueeze(-1)
        places = (p - frame.centre[:, None]) / frame.half[:, None]
        apart = self.gate.function(*p, **self.parameters) - (self.slope[:, None] * p).sum(0) - self.offset
        apart = (apart if self.below else -apart).masked_fill(~frame.inside(places), torch.inf)
        along = torch.einsum("mk,kpn->mpn", frame.ways, places)
        w = (along - ((frame.first + frame.last) / 2)[:, None]) / ((frame.last - frame.first) / 2)[:, None]
        hump = 1 - w * w
        height = torch.where(hump > NEAR, apart / hump, torch.inf).amin(1)
        height = torch.where(torch.isfinite(height), height, 0.0).clamp_min(0.0)
        best, way = height.max(0)
        return way, SHARE * torch.where(frame.usable, best, 0.0)
