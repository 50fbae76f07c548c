"""The radius at which a margin turns negative, from few evaluations of the margin.

Where a margin's bound crosses zero it is a smooth, falling function of the radius. So once the crossing is
bracketed, inverse interpolation (Neville's scheme: the radius as a polynomial of the margin, at margin zero)
finds it to several digits a round, and the difference of the scheme's last two orders tells how far to
trust it. The next radii lie that far to both sides, so the bracket shrinks from both ends; where that fails
to halve it (nearly), it is cut into equal parts next: a margin may be odd, and costs two bisections at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

RANGE = 4.0**12  # radii between start / RANGE and start · RANGE are found
OFFSETS = {1: (0.0,), 2: (-1.0, 1.0), 3: (-1.0, 0.0, 1.0), 4: (-1.0, -0.1, 0.1, 1.0)}
PROBES = max(OFFSETS)  # most radii of one sample that a round tries


@dataclass(frozen=True, slots=True)
class Trial:
    """`radius` did `hold` or not; `margin` there, NaN where it is not known."""

    radius: float
    holds: bool
    margin: float = math.nan


class Threshold:
    """Brackets one threshold: `holds` the greatest radius that held, `fails` the least above it that did not.

    Ends with fails ≤ holds·(1 + `tolerance`), or outside of the radii around `start` that are searched.
    `stride` is the factor by which the first steps look for a bracket; a radius `holds` may be known already.
    """

    def __init__(self, start: float, tolerance: float, *, holds: float = 0.0, stride: float = 4.0) -> None:
        self.holds = holds
        self.fails = math.inf
        self._start = start
        self._tolerance = tolerance
        self._stride = stride
        self._known: list[tuple[float, float]] = []
        self._widths: list[float] = []

    def learn(self, trials: Sequence[Trial]) -> None:
        """Take in a round. A radius that held counts, whatever was found below it."""
        self.holds = max([self.holds, *(t.radius for t in trials if t.holds)])
        failed = [self.fails, *(t.radius for t in trials if not t.holds)]
        self.fails = min((r for r in failed if r > self.holds), default=math.inf)
        self._known += [(t.radius, t.margin) for t in trials if math.isfinite(t.margin)]
        self._widths.append(self.fails - self.holds)

    def probes(self, count: int) -> list[float]:
        """Up to `count` ≤ PROBES radii to try next, in order; none when the search has ended."""
        low, high = self.holds, self.fails
        if high <= low * (1 + self._tolerance):
            return []
        if low == 0 or math.isinf(high):
            return [r for r in self._steps(count) if self._start / RANGE <= r <= self._start * RANGE]
        if len(self._widths) > 1 and self._widths[-1] > 0.6 * self._widths[-2]:
            return [low + (high - low) * (k + 1) / (count + 1) for k in range(count)]
        middle, spread = self._estimate()
        near, far = low * (1 + self._tolerance / 2), high * (1 - self._tolerance / 2)
        if count == 1:
            middle += -spread if middle - low > high - middle else spread
        return sorted({min(max(middle + share * spread, near), far) for share in OFFSETS[count]})

    def _steps(self, count: int) -> list[float]:
        """Radii that look for a bracket, a `stride` apart, the stride growing from round to round."""
        stride = self._stride
        powers = [stride**k for k in range(1, count + 1)]
        if self.holds > 0:
            self._stride = min(stride * stride, 16.0)
            return [self.holds * power for power in powers]
        if math.isfinite(self.fails):
            self._stride = min(stride * stride, 16.0)
            return sorted(self.fails / power for power in powers)
        return [self._start * power / stride ** min(count, 2) for power in powers]

    def _estimate(self) -> tuple[float, float]:
        """Where the margin is zero, inside the bracket, and how far off that may be."""
        low, high = self.holds, self.fails
        middle, spread = (low * high) ** 0.5 if high > 4 * low else (low + high) / 2, (high - low) / 4
        points = self._around()
        if len(points) >= 2:
            *_, before, last = _inverse(points)
            if low < last < high:
                middle = last
                spread = 2 * abs(last - before) if len(points) > 2 else min(last - low, high - last) / 2
        return middle, min(max(spread, 0.49 * self._tolerance * middle), (high - low) / 4)

    def _around(self) -> list[tuple[float, float]]:
        """Known margins nearest to the crossing, at most two on each side, as long as they fall."""
        known = sorted(set(self._known))
        below = [p for p in known if p[0] <= self.holds][-2:]
        above = [p for p in known if p[0] >= self.fails][:2]
        chosen = below + above
        falling = all(left[1] > right[1] for left, right in pairwise(chosen))
        return chosen if falling else below[-1:] + above[:1]


def _inverse(points: Sequence[tuple[float, float]]) -> list[float]:
    """Radius at margin zero by polynomials through the first 1, 2, … points, nearest to zero first."""
    ordered = sorted(points, key=lambda point: abs(point[1]))
    estimates: list[float] = []
    column: list[float] = []
    for k, (radius, margin) in enumerate(ordered):
        column.append(radius)
        for j in range(k - 1, -1, -1):
            other = ordered[j][1]
            # P over j … k at zero, from P over j+1 … k and P over j … k−1
            column[j] = (other * column[j + 1] - margin * column[j]) / (other - margin)
        estimates.append(column[0])
    return estimates
