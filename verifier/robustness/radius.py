"""The least distortion that changes a class, from both sides: a proved lower bound, an attacked upper bound.

A radius is certified when the margins' bound over that very ball is positive; nothing is inferred from other
radii. Samples of one shape go together, each at several radii a round, because a batch costs much less than
its instances one by one. The cheap bounds go first; deeper ones try the radii beyond, branching where time is
limited.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from parsers.errors import UnsoundBound
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.norms import norm
from verifier.problem.region import Region
from verifier.proof.results import MarginBounds
from verifier.robustness.certify import parts
from verifier.robustness.classifier import Attacked
from verifier.robustness.dataset import Sample
from verifier.robustness.outcome import Distortion
from verifier.robustness.threshold import PROBES, Threshold, Trial

TOGETHER = 16  # instances that are bounded together
COARSE = 0.01  # relative accuracy of a search beyond backward sweeps, whose every radius takes long
ROUND_SHARE = 0.25  # of the time that is left, for one round of radii with branching
CERTIFY_SHARE = 0.7  # of the time limit
ATTACK_TOLERANCE = 0.05

RegionOf = Callable[[Sequence[Sample], Tensor], Region]
Ask = Callable[[list[int], Region, list[float]], list[Trial]]  # (samples, their regions, radii) → what held


class Bounder(Protocol):
    """What is needed of a network; `verifier.robustness.classifier.Classifier` is one."""

    def predict(self, samples: Sequence[Sample]) -> list[int]: ...

    def attack(self, region: Region, labels: Sequence[int], deadline: float) -> Attacked: ...

    def margins(self, region: Region, labels: Sequence[int], budget: Budget) -> MarginBounds: ...


def radii(
    network: Bounder,
    samples: Sequence[Sample],
    region_of: RegionOf,
    *,
    start: float = 0.01,
    tolerance: float = 1e-4,
    timeout: float | None = None,
    method: Method = Method.bab,
) -> Iterator[Distortion]:
    """Bounds of the least distortion of `samples`.

    `region_of(samples, radius)` makes their regions, `radius` [B]. The lower bound is what backward sweeps
    prove, to a relative `tolerance`, raised by the methods up to `method`, to COARSE. With a `timeout`, in
    seconds a sample, branching goes on until most of the time is spent; the attack takes the rest.
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
        search = Certified(network, right, region_of, begun + CERTIFY_SHARE * budget)
        for stage in _stages(method, timeout is not None):
            exact = stage <= Method.crown and timeout is None
            search.run(stage, start, tolerance if exact else max(tolerance, COARSE))
        upper = _attacked(network, right, region_of, start, search.radius, begun + budget)
        seconds = (time.monotonic() - begun) / len(right)
        for sample, low, high, by in zip(right, search.radius, upper, search.method, strict=True):
            found = high if math.isfinite(high) else None
            yield Distortion(sample.index, sample.label, sample.label, low, found, seconds, by)


def _stages(last: Method, limited: bool) -> list[Method]:
    """What is searched with, one after the other: deeper methods try the cheaper ones themselves, and slow
    ones are for who has `limited` the time."""
    if not limited:
        last = max(method for method in Method if method <= last and not method.about.slow)
    return sorted({min(stage, last) for stage in (Method.crown, Method.crown_octagon, last)})


class Certified:
    """The greatest `radius` at which the margin of each sample is proved positive, 0 for none, and the
    `method` that proved it."""

    def __init__(
        self,
        network: Bounder,
        samples: Sequence[Sample],
        region_of: RegionOf,
        deadline: float = math.inf,
    ) -> None:
        self.radius = [0.0] * len(samples)
        self.method = ["none"] * len(samples)
        self._network, self._samples, self._region_of = network, samples, region_of
        self._deadline = deadline

    def run(self, method: Method, start: float, tolerance: float) -> None:
        """Search on from the radii known, with the methods up to `method`."""

        def ask(chosen: list[int], region: Region, tried: list[float]) -> list[Trial]:
            labels = [self._samples[k].label for k in chosen]
            # many radii are tried: slopes take long, and clipping proves what they do
            skip = {Method.alpha_crown} if alone and method is not Method.alpha_crown else ()
            budget = Budget(self._deadline, method, frozenset(skip))
            if method.about.endless:  # a radius that cannot be proved must not take all of the time
                budget = budget.share(ROUND_SHARE)
            found = self._network.margins(region, labels, budget)
            margins = found.lower.tolist()
            for k, radius, margin in zip(chosen, tried, margins, strict=True):
                if margin > 0 and radius > self.radius[k]:
                    self.radius[k], self.method[k] = radius, found.method
            # deeper methods stop once a margin is positive: then it says nothing of where it would be 0
            return [
                Trial(r, m > 0, math.nan if method.about.aims else m)
                for r, m in zip(tried, margins, strict=True)
            ]

        # a radius that clipping cannot prove takes long, and often none beyond the known one can be: so the
        # next one that counts comes first, by itself
        alone = method.about.aims and not method.about.endless
        stride = 1 + tolerance if alone else 1.05
        searches = [
            Threshold(held or start, tolerance, holds=held, stride=stride if held else 4.0)
            for held in self.radius
        ]
        most = 1 if alone else PROBES
        _rounds(searches, self._samples, self._region_of, ask, self._deadline, most)


def _attacked(
    network: Bounder,
    samples: Sequence[Sample],
    region_of: RegionOf,
    start: float,
    certified: Sequence[float],
    deadline: float,
) -> list[float]:
    """The least distance of a confirmed point of another class, +∞ where none was found.

    The certified balls are attacked too. Raises `UnsoundBound` where that succeeds.
    """
    upper = [math.inf] * len(samples)

    def ask(chosen: list[int], region: Region, tried: list[float]) -> list[Trial]:
        found = network.attack(region, [samples[k].label for k in chosen], deadline)
        distances = _distance(region, found.points).tolist()
        trials = []
        for k, radius, distance, broken, margin in zip(
            chosen, tried, distances, found.broken, found.margin, strict=True
        ):
            if broken and min(radius, distance * (1 + 1e-9)) <= certified[k]:
                raise UnsoundBound(f"sample {samples[k].index} has another class in its certified ball")
            reach = min(distance, radius) if broken else radius
            upper[k] = min(upper[k], reach) if broken else upper[k]
            trials.append(Trial(reach, not broken, math.nan if margin is None else margin))
        # a confirmed point counts, an attack that fails further out does not
        return [
            Trial(upper[k], False) if t.holds and t.radius >= upper[k] else t
            for k, t in zip(chosen, trials, strict=True)
        ]

    searches = [Threshold(held or start, ATTACK_TOLERANCE, stride=2.0 if held else 4.0) for held in certified]
    _rounds(searches, samples, region_of, ask, deadline)
    return upper


def _rounds(
    searches: Sequence[Threshold],
    samples: Sequence[Sample],
    region_of: RegionOf,
    ask: Ask,
    deadline: float,
    most: int = PROBES,
) -> None:
    """Ask about the probes of all open searches together, `most` at most of each, until none is open or the
    deadline has passed."""
    open_ = list(range(len(searches)))
    while open_ and time.monotonic() < deadline:
        count = max(1, min(most, TOGETHER // len(open_)))
        probes = {k: tried for k in open_ if (tried := searches[k].probes(count))}
        open_ = list(probes)
        if not open_:
            return
        chosen = [k for k, tried in probes.items() for _ in tried]
        radii_ = [r for tried in probes.values() for r in tried]
        region = region_of([samples[k] for k in chosen], torch.tensor(radii_, dtype=torch.float64))
        trials = ask(chosen, region, radii_)
        for k in open_:
            searches[k].learn([t for j, t in zip(chosen, trials, strict=True) if j == k])


def _distance(region: Region, points: Tensor) -> Tensor:
    """How far `points` [B, n] are from the centres, rounded up: the greatest distance over the balls [B]."""
    ball = region.ball
    assert ball is not None
    offset = ball.gather((points.to(ball.center) - ball.center).abs())
    return norm(offset, ball.p).amax(dim=-1).cpu() * (1 + 1e-12)
