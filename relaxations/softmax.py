"""Planes of softmax and log-softmax, jointly in all logits.

Let t = x_j − log Σ exp x_k, concave in x, so that log p_j = t and p_j = eᵗ.  Let C(x) be a sum of chords
above Σ exp x_k, C⁰ its value at the centre x⁰, and s = Σ exp(x_k − x_j) ≤ S(x), a sum of chords too.

    log p_j  ≤  the tangent of t at x⁰
             ≥  x_j − log C(x)  ≥  x_j − log C⁰ − (C(x) − C⁰)/C⁰       since log is concave, for any C⁰ > 0

    p_j  ≥  e^τ (1 + t − τ)  for any τ, with the lower plane of t
         ≥  1/s  ≥  2/S⁰ − S(x)/S⁰²                                     since 1/s is convex and falls
         ≤  α + m·t  over the range of t, with the tangent of t         since eᵗ is convex and rises
         ≤  β − γ·s  over the range of s, with the tangent of s

Those in t and those in s are the two families of Wei et al., *Convex bounds on the softmax function with
applications to robustness verification* (AISTATS 2023), made linear; those in s are what planes of exp and
of the reciprocal give one by one.  Of two planes the closer one at the centre is taken.  Chords are sound
for any slope by their offsets at both ends, exp minus a line being convex.
"""

from __future__ import annotations

import torch
from torch import Tensor

from relaxations.bounding_planes import Planes
from relaxations.curves.curve import largest
from relaxations.errors import InvalidBox
from relaxations.rounding import UNIT, margin


def softmax(lower: Tensor, upper: Tensor) -> Planes:
    """A lower and an upper plane of every softmax(x)_j over boxes [n, *S] of the n logits: slopes [n, n, *S],
    of output j in logit k at [k, j], and offsets [n, *S], in float64.

    Raises `InvalidBox` for lower > upper, NaN and infinite sides.  Where an exponential overflows, the planes
    are 0 and 1.
    """
    with torch.no_grad():
        box = _Logits(lower, upper)
        low_slope, low, low_size = box.log_lower()
        # e^τ with τ the lower plane's height at the centre
        height = box.at_centre(low_slope, low)
        scale = torch.exp(height)
        logarithmic = scale * low_slope, scale * (1 + low - height), scale * (low_size + height.abs() + 1)
        below = box.closer(logarithmic, box.reciprocal_lower(), 1.0)
        up_slope, up, up_size = box.log_upper()
        ends = torch.stack(box.range())
        least, greatest = torch.exp(ends)
        gap = ends[1] - ends[0]
        slope = torch.where(gap > 0, (greatest - least) / gap, greatest)
        slope = slope.nan_to_num(0.0, 0.0, 0.0).clamp(min=0.0)  # it multiplies an upper bound of t
        alpha = torch.maximum(least - slope * ends[0], greatest - slope * ends[1])
        size = slope * (up_size + ends.abs().amax(0)) + greatest
        logarithmic = slope * up_slope, alpha + slope * up, size
        above = box.closer(logarithmic, box.reciprocal_upper(), -1.0)
        return Planes(*below, *above)


def log_softmax(lower: Tensor, upper: Tensor) -> Planes:
    """As `softmax`, of log softmax(x)_j.  Where an exponential overflows the lower plane is −∞."""
    with torch.no_grad():
        box = _Logits(lower, upper)
        slope, offset, size = box.log_lower()
        finite = (slope * box.reach).isfinite().all(0) & (offset - box.margin(size)).isfinite()
        below = torch.where(finite, slope, 0.0), torch.where(finite, offset - box.margin(size), -torch.inf)
        slope, offset, size = box.log_upper()
        return Planes(*below, slope, offset + box.margin(size))


Plane = tuple[Tensor, Tensor, Tensor]
"""Slopes [n, n, *S], offset [n, *S], and the size of what was summed, for the margin."""


class _Logits:
    """The logits as seen from output j: y = x − x⁰_j in [low, high], [n, n, *S], k first."""

    def __init__(self, lower: Tensor, upper: Tensor) -> None:
        width = upper - lower
        if lower.shape != upper.shape or not bool(((width >= 0) & (width < torch.inf)).all()):
            raise InvalidBox("softmax needs finite lower ≤ upper of one shape [n, *S]")
        lower, upper = lower.detach().double(), upper.detach().double()
        self.count = len(lower)
        self.reference = 0.5 * (lower + upper)
        slack = (4 * UNIT) * (largest(lower, upper)[:, None] + self.reference.abs())
        self.low = lower[:, None] - self.reference - slack
        self.high = upper[:, None] - self.reference + slack
        self.centre = self.reference[:, None] - self.reference
        self.reach = torch.maximum(largest(lower, upper)[:, None], self.reference.abs()) + 1.0
        index = torch.eye(self.count, dtype=torch.float64, device=lower.device)
        self.own = index.reshape(self.count, self.count, *[1] * (lower.dim() - 1))

    def margin(self, size: Tensor) -> Tensor:
        """Sums of n terms, each a product of few: n/64 more of the margin of `rounding`."""
        return margin(size) * (1 + self.count / 64)

    def placed(self, slope: Tensor, offset: Tensor) -> Plane:
        """A plane in y, as one in x, with the size of its terms."""
        size = offset.abs() + (slope.abs() * (2 * self.reach + self.high - self.low)).sum(0)
        return slope, offset - (slope * self.reference).sum(0), size

    def at_centre(self, slope: Tensor, offset: Tensor) -> Tensor:
        return (slope * self.reference[:, None]).sum(0) + offset

    def chords(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Slope and offset of a line above exp on [low, high], and the size of its terms."""
        least, most = torch.exp(low), torch.exp(high)
        gap = high - low
        slope = torch.where(gap > 1e-9, (most - least) / gap, most)
        offset = torch.maximum(least - slope * low, most - slope * high)
        return slope, offset, most + slope * largest(low, high)

    def range(self) -> tuple[Tensor, Tensor]:
        """Least and greatest t [n, *S], with their margins: t rises with x_j and falls with the others."""
        own = self.own > 0
        ends = []
        for j, others in ((self.low, self.high), (self.high, self.low)):
            y = torch.where(own, j, others)
            ends.append((y * self.own).sum(0) - torch.logsumexp(y, 0))
        low, high = ends
        return low - self.margin(1 + low.abs()), (high + self.margin(1 + high.abs())).clamp(max=0.0)

    def log_lower(self) -> Plane:
        slope, offset, size = self.chords(self.low, self.high)
        level = (slope * self.centre + offset).sum(0)
        found = self.placed(self.own - slope / level, 1 - torch.log(level) - offset.sum(0) / level)
        return found[0], found[1], found[2] + 1 + torch.log(level).abs() + size.sum(0) / level

    def log_upper(self) -> Plane:
        total = torch.logsumexp(self.centre, 0)
        slope = self.own - torch.exp(self.centre - total)
        found = self.placed(slope, -total - (slope * self.centre).sum(0))
        # the slope's own error over the box
        return found[0], found[1], found[2] + 1 + total.abs() + (self.high - self.low).sum(0)

    def differences(self) -> tuple[Tensor, Tensor]:
        """The box of d = x_k − x_j, 0 for k = j."""
        j_low, j_high = (self.own * self.low).sum(0), (self.own * self.high).sum(0)
        other = 1 - self.own
        return other * (self.low - j_high), other * (self.high - j_low)

    def reciprocal_lower(self) -> Plane:
        slope, offset, size = self.chords(*self.differences())
        level = (slope * self.centre + offset).sum(0)
        slope = -slope / level**2
        found = self.placed(slope - self.own * slope.sum(0), 2 / level - offset.sum(0) / level**2)
        return found[0], found[1], found[2] + 1 / level + size.sum(0) / level**2

    def reciprocal_upper(self) -> Plane:
        low, high = self.differences()
        inward = 1 - (self.count + 64) * 4 * UNIT
        s_low, s_high = torch.exp(low).sum(0) * inward, torch.exp(high).sum(0) / inward
        gamma = 1 / (s_low * s_high)
        beta = torch.maximum(1 / s_low + gamma * s_low, 1 / s_high + gamma * s_high)
        touch = torch.exp(self.centre)
        rest = (touch * (1 - self.centre)).sum(0)
        slope = -gamma * touch
        found = self.placed(slope - self.own * slope.sum(0), beta - gamma * rest)
        return found[0], found[1], found[2] + beta + gamma * (touch * (1 + self.centre.abs())).sum(0)

    def closer(self, first: Plane, second: Plane, sign: float) -> tuple[Tensor, Tensor]:
        """Of two lower planes (sign 1) or upper planes (−1) and the trivial one the closest at the centre,
        with its margin."""
        trivial = 0.0 if sign > 0 else 1.0
        slope, offset = torch.zeros_like(first[0]), torch.full_like(first[1], trivial)
        best = offset
        for a, c, size in (first, second):
            c = c - sign * self.margin(size)
            height = self.at_centre(a, c)
            fits = (a * self.reach).isfinite().all(0) & height.isfinite()
            better = fits & (sign * height > sign * best)
            slope, offset = torch.where(better, a, slope), torch.where(better, c, offset)
            best = torch.where(better, height, best)
        return slope, offset
