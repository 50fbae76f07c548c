"""Decide samples: predict, attack, bound; each sample as soon as it can be told.

wrong before anything moves          → misclassified
a confirmed point of another class   → broken
proved margin > 0                    → certified
otherwise                            → unknown
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch

from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.region import Region
from verifier.proof.results import MarginBounds
from verifier.robustness.classifier import Attacked
from verifier.robustness.dataset import Sample
from verifier.robustness.outcome import Outcome, Verdict

TOGETHER = 16  # samples of one shape that share every sweep
ATTACK_SHARE = 0.3  # of the time limit


class Decider(Protocol):
    """What is needed of a network; `verifier.robustness.classifier.Classifier` is one."""

    def predict(self, samples: Sequence[Sample]) -> list[int]: ...

    def attack(self, region: Region, labels: Sequence[int], deadline: float) -> Attacked: ...

    def margins(self, region: Region, labels: Sequence[int], budget: Budget) -> MarginBounds: ...


def certify(
    network: Decider,
    samples: Sequence[Sample],
    region_of: Callable[[Sequence[Sample]], Region],
    *,
    timeout: float | None = None,
    method: Method = Method.bab,
) -> Iterator[Outcome]:
    """Outcomes of `samples` in the order in which they are decided; `region_of` makes the regions of some.

    `timeout` is in seconds a sample: samples that are decided together share the sum. Bounds go up to
    `method`.
    """
    for part in parts(samples):
        yield from _together(network, part, region_of, timeout, method)


def parts(samples: Sequence[Sample], size: int = TOGETHER) -> Iterator[Sequence[Sample]]:
    """`samples` in portions that are decided together."""
    for first in range(0, len(samples), size):
        yield samples[first : first + size]


def _together(
    network: Decider,
    samples: Sequence[Sample],
    region_of: Callable[[Sequence[Sample]], Region],
    timeout: float | None,
    method: Method,
) -> Iterator[Outcome]:
    begun = time.monotonic()
    predicted = dict(zip(samples, network.predict(samples), strict=True))
    seconds = (time.monotonic() - begun) / len(samples)

    def outcome(
        sample: Sample,
        verdict: Verdict,
        lower: float | None,
        upper: float | None,
        method: str,
        why: str = "",
    ) -> Outcome:
        known = (sample.index, sample.label, predicted[sample])
        return Outcome(*known, verdict, lower, upper, seconds, method, why)

    for sample in samples:
        if predicted[sample] != sample.label:
            yield outcome(sample, Verdict.misclassified, None, None, "none")
    right = [sample for sample in samples if predicted[sample] == sample.label]
    if not right:
        return

    begun = time.monotonic()
    allowed = math.inf if timeout is None else timeout * len(right)
    region = region_of(right)
    attacked = network.attack(region, [s.label for s in right], begun + ATTACK_SHARE * allowed)
    seconds += (time.monotonic() - begun) / len(right)
    for sample, broken, upper in zip(right, attacked.broken, attacked.margin, strict=True):
        if broken:
            yield outcome(sample, Verdict.broken, None, upper, "pgd")
    open_ = [k for k, broken in enumerate(attacked.broken) if not broken]
    if not open_:
        return

    budget = Budget(begun + allowed, method)
    begun = time.monotonic()
    region = region.select(torch.tensor(open_))
    bounds = network.margins(region, [right[k].label for k in open_], budget)
    seconds += (time.monotonic() - begun) / len(open_)
    for place, (k, lower, why) in enumerate(zip(open_, bounds.lower.tolist(), bounds.why, strict=True)):
        if place in bounds.broken:
            yield outcome(right[k], Verdict.broken, None, bounds.broken[place], "guided-pgd")
            continue
        verdict = Verdict.certified if lower > 0 else Verdict.unknown
        yield outcome(right[k], verdict, lower, attacked.margin[k], bounds.method, why)
