"""The least perturbation that changes a class (POPQORN, Ko et al. 2019), from both sides: a proved lower
bound, the certified radius, and an upper bound by PGD.

Where POPQORN bisects over one sample's radius, samples of one shape go together here, each at several radii a
round, because a batch costs much less than its instances one by one. A radius is certified when the margins'
bound over that very ball is positive; nothing is inferred from other radii. The cheap bounds go first; deeper
ones try the radii beyond, branching where time is limited.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from parsers.errors import UnsoundBound
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.norms import norm
from verifier.problem.region import Region
from verifier.robustness.certify import Decider, parts, predicted
from verifier.robustness.dataset import Sample
from verifier.robustness.outcome import Arrays, Outcome, Phase, RadiusBounds, Stats, Verdict
from verifier.robustness.perturbation import Balls
from verifier.robustness.threshold import PROBES, Threshold, Trial

TOGETHER = 16  # instances that are bounded together
COARSE = 0.01  # relative accuracy of a search beyond backward passes, whose every radius takes long
ROUND_SHARE = 0.25  # of the time that is left, for one round of radii with branching
CERTIFY_SHARE = 0.7  # of the time limit
ATTACK_TOLERANCE = 0.05

Ask = Callable[[list[int], Region, list[float]], list[Trial]]  # (instances, their regions, radii) → what held


@dataclass(frozen=True, slots=True)
class Search:
    """How radii are looked for: from `start`, to a relative `tolerance`; `timeout` in seconds a sample;
    methods up to `method`."""

    start: float = 0.01
    tolerance: float = 1e-4
    timeout: float | None = None
    method: Method = Method.bab

    @property
    def stages(self) -> list[Method]:
        """The methods searched with, one after the other: deeper ones try the cheaper ones themselves, and
        slow ones are for who has limited the time."""
        last = self.method
        if self.timeout is None:
            last = max(method for method in Method if method <= last and not method.about.slow)
        return sorted({min(stage, last) for stage in (Method.crown, Method.crown_octagon, last)})

    def accuracy(self, stage: Method) -> float:
        exact = stage <= Method.crown and self.timeout is None
        return self.tolerance if exact else max(self.tolerance, COARSE)


def radii(
    network: Decider, samples: Sequence[Sample], balls: Balls, search: Search = Search()
) -> Iterator[RadiusBounds | Phase]:
    """Bounds of the least perturbation in the `balls` around `samples` that changes their class.

    The lower bound is what backward passes prove, to a relative `tolerance`, raised by the methods up to
    `method`, to COARSE. With a `timeout` branching goes on until most of the time is spent; the attack takes
    the rest.
    """
    first = 0
    for part in parts(samples):
        yield from _together(network, part, balls.select(torch.arange(first, first + len(part))), search)
        first += len(part)


def _together(
    network: Decider, samples: Sequence[Sample], balls: Balls, search: Search
) -> Iterator[RadiusBounds | Phase]:
    begun = time.monotonic()
    outcomes = predicted(network, samples)
    seconds = (time.monotonic() - begun) / len(samples)
    for outcome in outcomes:
        if outcome.misclassified:
            yield _bounds(outcome, seconds, verdict=Verdict.misclassified)
    left = [k for k, outcome in enumerate(outcomes) if not outcome.misclassified]
    if not left:
        return
    right, balls = [outcomes[k] for k in left], balls.select(torch.tensor(left))
    allowed = math.inf if search.timeout is None else search.timeout * len(right)
    indices = tuple(o.index for o in right)
    certified = Certified(network, right, balls, begun + CERTIFY_SHARE * allowed)
    for stage in search.stages:
        yield Phase("radius", indices, certified.deadline)
        certified.run(stage, search.start, search.accuracy(stage))
    yield Phase("attack", indices, begun + allowed)
    falsified = Falsified(network, right, balls, certified.radius, begun + allowed)
    falsified.run(search.start)
    seconds = (time.monotonic() - begun) / len(right)
    for k, outcome in enumerate(right):
        lower, upper = certified.radius[k], falsified.radius[k]
        yield _bounds(
            outcome,
            seconds,
            verdict=_verdict(lower, upper),
            lower=lower,
            upper=upper if math.isfinite(upper) else None,
            method=certified.method[k],
            finished=certified.finished,
            reason="" if certified.finished else "the time was over",
            counterexample=falsified.inputs.get(k),
        )


def _bounds(outcome: Outcome, seconds: float, verdict: Verdict, **found: object) -> RadiusBounds:
    known = {"index": outcome.index, "label": outcome.label, "predicted": outcome.predicted}
    return RadiusBounds(**known, verdict=verdict, stats=Stats(seconds), **found)  # type: ignore[arg-type]


def _verdict(lower: float, upper: float) -> Verdict:
    if lower > 0:
        return Verdict.certified
    return Verdict.broken if math.isfinite(upper) else Verdict.unknown


@dataclass(slots=True)
class Certified:
    """The greatest `radius` at which the margin of each instance is proved positive, 0 for none, and the
    `method` that proved it; `finished` unless the deadline cut a search short."""

    network: Decider
    outcomes: Sequence[Outcome]
    balls: Balls
    deadline: float = math.inf
    radius: list[float] = field(init=False)
    method: list[str] = field(init=False)
    finished: bool = field(init=False, default=True)

    def __post_init__(self) -> None:
        self.radius = [0.0] * len(self.outcomes)
        self.method = ["none"] * len(self.outcomes)

    def run(self, method: Method, start: float, tolerance: float) -> None:
        """Search on from the radii known, with the methods up to `method`."""
        # a radius that clipping cannot prove takes long, and often none beyond the known one can be: so the
        # next one that counts comes first, by itself
        alone = method.about.aims and not method.about.endless
        stride = 1 + tolerance if alone else 1.05
        searches = [
            Threshold(held or start, tolerance, holds=held, stride=stride if held else 4.0)
            for held in self.radius
        ]
        # many radii are tried: slopes take long, and clipping proves what they do
        skip = frozenset({Method.alpha_crown} if alone and method is not Method.alpha_crown else ())
        budget = Budget(self.deadline, method, skip)

        def ask(chosen: list[int], region: Region, tried: list[float]) -> list[Trial]:
            return self._try(budget, chosen, region, tried)

        most = 1 if alone else PROBES
        self.finished &= _rounds(searches, self.balls, ask, self.deadline, most)

    def _try(self, budget: Budget, chosen: list[int], region: Region, tried: list[float]) -> list[Trial]:
        about = budget.method.about
        if about.endless:  # a radius that cannot be proved must not take all of the time
            budget = budget.share(ROUND_SHARE)
        found = self.network.margins(region, [self.outcomes[k].label for k in chosen], budget).bounds
        margins = found.lower.tolist()
        for k, radius, margin in zip(chosen, tried, margins, strict=True):
            if margin > 0 and radius > self.radius[k]:
                self.radius[k], self.method[k] = radius, found.method
        # deeper methods stop once a margin is positive: then it says nothing of where it would be 0
        return [Trial(r, m > 0, math.nan if about.aims else m) for r, m in zip(tried, margins, strict=True)]


@dataclass(slots=True)
class Falsified:
    """The least distance `radius` of a confirmed point of another class, +∞ where none was found, and the
    point, `inputs` by instance.

    The balls of the radii `certified` are attacked too. Raises `UnsoundBound` where that succeeds.
    """

    network: Decider
    outcomes: Sequence[Outcome]
    balls: Balls
    certified: Sequence[float]
    deadline: float
    radius: list[float] = field(init=False)
    inputs: dict[int, Arrays] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.radius = [math.inf] * len(self.outcomes)

    def run(self, start: float) -> None:
        searches = [
            Threshold(held or start, ATTACK_TOLERANCE, stride=2.0 if held else 4.0) for held in self.certified
        ]
        _rounds(searches, self.balls, self._try, self.deadline)

    def _try(self, chosen: list[int], region: Region, tried: list[float]) -> list[Trial]:
        found = self.network.attack(region, [self.outcomes[k].label for k in chosen], self.deadline)
        distances = _distance(region, found.points).tolist()
        trials = []
        for place, (k, radius, margin) in enumerate(zip(chosen, tried, found.margin, strict=True)):
            broken = found.broken.get(place)
            if broken is None:
                trials.append(Trial(radius, True, math.nan if margin is None else margin))
                continue
            distance = distances[place]
            if min(radius, distance * (1 + 1e-9)) <= self.certified[k]:
                raise UnsoundBound(f"sample {self.outcomes[k].index} has another class in the certified ball")
            reach = min(distance, radius)
            if reach < self.radius[k]:
                self.radius[k], self.inputs[k] = reach, broken.inputs
            trials.append(Trial(reach, False, broken.margin))
        # a confirmed point counts, an attack that fails further out does not
        return [
            Trial(self.radius[k], False) if t.holds and t.radius >= self.radius[k] else t
            for k, t in zip(chosen, trials, strict=True)
        ]


def _rounds(
    searches: Sequence[Threshold], balls: Balls, ask: Ask, deadline: float, most: int = PROBES
) -> bool:
    """Ask about the probes of all unfinished searches together, `most` at most of each, until none is left
    (True) or the deadline has passed (False)."""
    left = list(range(len(searches)))
    while time.monotonic() < deadline:
        count = max(1, min(most, TOGETHER // len(left)))
        probes = {k: tried for k in left if (tried := searches[k].probes(count))}
        left = list(probes)
        if not left:
            return True
        chosen = [k for k, tried in probes.items() for _ in tried]
        radii_ = [r for tried in probes.values() for r in tried]
        region = balls.select(torch.tensor(chosen)).of(torch.tensor(radii_, dtype=torch.float64))
        trials = ask(chosen, region, radii_)
        for k in left:
            searches[k].learn([t for j, t in zip(chosen, trials, strict=True) if j == k])
    return False


def _distance(region: Region, points: Tensor) -> Tensor:
    """How far `points` [B, n] are from the centres, rounded up: the greatest distance over the balls [B]."""
    ball = region.ball
    assert ball is not None
    offset = ball.gather((points.to(ball.center) - ball.center).abs())
    return norm(offset, ball.p).amax(dim=-1).cpu() * (1 + 1e-12)
