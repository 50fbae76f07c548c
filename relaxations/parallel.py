"""Two parallel planes around a gate, nearly as close as any, for zonotopes (cf. Cert-RNN: Du et al. 2021).

With slope s and offsets o̲(s) = min g(p) − s·p, o̅(s) = max g(p) − s·p over the region, the gap o̅ − o̲ is
convex in s.  It falls along the way from where the lower plane touches to where the upper one does, which is
minus a subgradient, and the derivative of `offsets`.  Any slope is sound, as its offsets are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations.bounding_planes import offsets_over
from relaxations.gate_box import GateBox

SHARES = (0.5, 1.0)  # of the way from the given slope to the gate's own at the centre, tried first
PACE = tuple(0.3 * 0.8**k for k in range(12))  # of the descent from there
NARROW = 1e-9  # half-widths below it count as it
NEAR = 1e-3  # half-widths that a difference goes to both sides


@dataclass(frozen=True)
class Parallel:
    """lower_offset ≤ g(p) − Σₖ slope[k]·pₖ ≤ upper_offset for all p of the region: `slope` [k, *S], offsets
    [*S]."""

    slope: Tensor
    lower_offset: Tensor
    upper_offset: Tensor


def parallel(box: GateBox, slope: Tensor) -> Parallel:
    """Parallel planes around the gate of `box` over its boxes [k, *S], that are no farther apart than those
    of `slope` [k, *S]. Errors and proof as for `relaxations.offsets`."""
    half = ((box.upper - box.lower) / 2).clamp_min(NARROW)
    own = _gradient(box).nan_to_num(0.0, 0.0, 0.0)
    best = _Tried.of(box, slope)
    for share in SHARES:
        way = slope + share * (own - slope)
        best = best.or_else(_Tried.of(box, way))
    for pace in PACE:
        way = best.closer / half
        length = pace * best.gap / way.square().sum(0).clamp_min(NARROW)
        moved = best.slope + length * way / half
        best = best.or_else(_Tried.of(box, moved))
    return Parallel(best.slope, best.low, best.high)


@dataclass(frozen=True)
class _Tried:
    """A slope [k, *S], its offsets [*S], and the way [k, *S] to change it so that they come closer."""

    slope: Tensor
    low: Tensor
    high: Tensor
    closer: Tensor

    @property
    def gap(self) -> Tensor:
        return self.high - self.low

    @staticmethod
    def of(box: GateBox, slope: Tensor) -> _Tried:
        with torch.enable_grad():
            leaf = slope.detach().clone().requires_grad_(True)
            low, high = offsets_over(box, leaf, leaf)
            (closer,) = torch.autograd.grad((low - high).sum(), leaf)
        return _Tried(leaf.detach(), low.detach(), high.detach(), closer)

    def or_else(self, other: _Tried) -> _Tried:
        """The closer planes of both."""
        better = other.gap < self.gap
        return _Tried(
            torch.where(better, other.slope, self.slope),
            torch.where(better, other.low, self.low),
            torch.where(better, other.high, self.high),
            torch.where(better, other.closer, self.closer),
        )


def _gradient(box: GateBox) -> Tensor:
    """The slope [k, *S] of the gate around the centre of its box, by differences; NaN at points."""
    centre, half = (box.lower + box.upper) / 2, (box.upper - box.lower) / 2
    found = []
    for k, step in enumerate(NEAR * half):
        moved = torch.zeros_like(half)
        moved[k] = step
        ahead, behind = (box.gate.function(*at, **box.parameters) for at in (centre + moved, centre - moved))
        found.append((ahead - behind) / (2 * step))
    return torch.stack(found)
