"""The least distortion that changes a class, from both sides: a proved lower bound, an attacked upper bound.

Balls of one centre are nested, so what is certified at ε is certified below ε, and a point that is confirmed
at distance d bounds the distortion by d. Both searches bracket in steps of `STRIDE` and then bisect the
logarithm; all samples of one shape go together, each at its own radius.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from verifier.certify import Decider, parts
from verifier.dataset import Sample
from verifier.dual import norm
from verifier.outcome import Distortion
from verifier.region import Region

STRIDE = 4.0
ROUNDS = 12  # steps of the bracketing: radii between start / 4¹² and start · 4¹² are found
ATTACK_SHARE = 0.3  # of the time limit
ATTACK_TOLERANCE = 0.05

RegionOf = Callable[[Sequence[Sample], Tensor], Region]


def radii(
    network: Decider,
    samples: Sequence[Sample],
    region_of: RegionOf,
    *,
    start: float = 0.01,
    tolerance: float = 0.01,
    timeout: float | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[Distortion]:
    """Bounds of the least distortion of `samples`.

    `region_of(samples, radius)` makes their regions, `radius` [B]. The search for the lower bound ends where
    it is known to `tolerance`, relatively, or after `timeout` seconds a sample with the best so far.
    """
    for part in parts(samples):
        begun = time.monotonic()
        predicted = network.predict(part)
        seconds = (time.monotonic() - begun) / len(part)
        right = []
        for sample, other in zip(part, predicted, strict=True):
            if sample.label == other:
                right.append(sample)
            else:
                yield Distortion(sample.index, sample.label, other, None, None, seconds, "none")
        if not right:
            continue
        budget = math.inf if timeout is None else timeout * len(right)
        upper = _attacked(network, right, region_of, start, begun + ATTACK_SHARE * budget)
        lower, methods = _certified(
            network, right, region_of, start, upper, tolerance, begun + budget, progress
        )
        seconds = (time.monotonic() - begun) / len(right)
        for sample, low, high, method in zip(right, lower.tolist(), upper.tolist(), methods, strict=True):
            found = high if math.isfinite(high) else None
            yield Distortion(sample.index, sample.label, sample.label, low, found, seconds, method)


def _attacked(
    network: Decider, samples: Sequence[Sample], region_of: RegionOf, start: float, deadline: float
) -> Tensor:
    """The least distance of a confirmed point of another class, +∞ where none was found."""
    search = _Search(len(samples), start, ATTACK_TOLERANCE)
    while (open_ := search.open()) and time.monotonic() < deadline:
        some, tried = [samples[k] for k in open_], search.radius[open_]
        region = region_of(some, tried)
        found = network.attack(region, [s.label for s in some], deadline)
        broken = torch.tensor(found.broken)
        reach = torch.where(broken, torch.minimum(_distance(region, found.points), tried), tried)
        search.step(open_, ~broken, reach)
    return search.fails


def _certified(
    network: Decider,
    samples: Sequence[Sample],
    region_of: RegionOf,
    start: float,
    upper: Tensor,
    tolerance: float,
    deadline: float,
    progress: Callable[[], None],
) -> tuple[Tensor, list[str]]:
    """The greatest radius at which the margin is proved positive, 0 where there is none, and the method."""
    search = _Search(len(samples), start, tolerance, upper)
    methods = ["none"] * len(samples)
    while (open_ := search.open()) and time.monotonic() < deadline:
        some, tried = [samples[k] for k in open_], search.radius[open_]
        bounds = network.margins(region_of(some, tried), [s.label for s in some], deadline, progress)
        proved = (bounds.lower > 0).cpu()
        for k, success in zip(open_, proved.tolist(), strict=True):
            methods[k] = bounds.method if success else methods[k]
        search.step(open_, proved, tried)
    return search.holds, methods


class _Search:
    """Brackets [B] of thresholds: `holds` the greatest radius that held, `fails` the least that did not."""

    def __init__(self, count: int, start: float, tolerance: float, ceiling: Tensor | None = None) -> None:
        self.holds = torch.zeros(count, dtype=torch.float64)
        self.fails = (
            torch.full((count,), torch.inf, dtype=torch.float64) if ceiling is None else ceiling.clone()
        )
        self.radius = torch.full((count,), start, dtype=torch.float64)
        self.radius = torch.where(self.radius < self.fails, self.radius, self.fails / STRIDE)
        self._tolerance = tolerance
        self._least, self._greatest = start * STRIDE**-ROUNDS, start * STRIDE**ROUNDS

    def open(self) -> list[int]:
        """Those whose next radius is worth a try."""
        narrow = self.fails <= self.holds * (1 + self._tolerance)
        out_of_range = (self.radius < self._least) | (self.radius > self._greatest)
        return torch.nonzero(~(narrow | out_of_range)).flatten().tolist()

    def step(self, tried: list[int], held: Tensor, reach: Tensor) -> None:
        """Take in that the radii `reach` held or did not, and choose the next ones."""
        holds, fails = self.holds[tried], self.fails[tried]
        holds = torch.where(held, torch.maximum(holds, reach), holds)
        fails = torch.where(held, fails, torch.minimum(fails, reach))
        middle = (holds * fails).sqrt()
        middle = torch.where(torch.isinf(fails), holds * STRIDE, middle)
        self.radius[tried] = torch.where(holds == 0, fails / STRIDE, middle)
        self.holds[tried], self.fails[tried] = holds, fails


def _distance(region: Region, points: Tensor) -> Tensor:
    """How far `points` [B, n] are from the centres, rounded up: the greatest distance over the balls [B]."""
    ball = region.ball
    assert ball is not None
    offset = ball.gather((points.to(ball.center) - ball.center).abs())
    return norm(offset, ball.p).amax(dim=-1).cpu() * (1 + 1e-12)
