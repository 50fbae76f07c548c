"""Decide samples: predict, attack (PGD, Madry et al. 2018), bound; each sample as soon as it can be told.

wrong before anything moves          → misclassified
a confirmed point of another class   → broken
proved margin > 0                    → certified
otherwise                            → unknown
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import torch

from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.region import Region
from verifier.robustness.classifier import Attacked, Proved
from verifier.robustness.dataset import Sample
from verifier.robustness.outcome import Outcome, Phase, Stats, Verdict

TOGETHER = 16  # samples of one shape that share every backward pass
ATTACK_SHARE = 0.3  # of the time limit


class Decider(Protocol):
    """What is needed of a network; `verifier.robustness.classifier.Classifier` is one."""

    def predict(self, samples: Sequence[Sample]) -> list[int]: ...

    def attack(self, region: Region, labels: Sequence[int], deadline: float) -> Attacked: ...

    def margins(self, region: Region, labels: Sequence[int], budget: Budget) -> Proved: ...


def certify(
    network: Decider,
    samples: Sequence[Sample],
    region: Region,
    *,
    timeout: float | None = None,
    method: Method = Method.bab,
) -> Iterator[Outcome | Phase]:
    """Outcomes of `samples` over their instances of `region`, in the order in which they are decided, and
    between them what is being done.

    `timeout` is in seconds a sample: samples that are decided together share the sum. Bounds go up to
    `method`.
    """
    for part in torch.arange(len(samples)).split(TOGETHER):
        some = [samples[k] for k in part.tolist()]
        yield from _together(network, some, region.select(part), timeout, method)


def parts(samples: Sequence[Sample], size: int = TOGETHER) -> Iterator[Sequence[Sample]]:
    """`samples` in portions that are decided together."""
    for first in range(0, len(samples), size):
        yield samples[first : first + size]


def _together(
    network: Decider,
    samples: Sequence[Sample],
    region: Region,
    timeout: float | None,
    method: Method,
) -> Iterator[Outcome | Phase]:
    begun = time.monotonic()
    outcomes = _timed(predicted(network, samples), begun)
    yield from (outcome for outcome in outcomes if outcome.misclassified)

    outcomes, region = _undecided(outcomes, region)
    if not outcomes:
        return
    begun = time.monotonic()
    allowed = math.inf if timeout is None else timeout * len(outcomes)
    budget = Budget(begun + allowed, method)
    yield _phase("attack", outcomes, begun + ATTACK_SHARE * allowed)
    outcomes = _timed(_attacked(network, outcomes, region, begun + ATTACK_SHARE * allowed), begun)
    yield from (outcome for outcome in outcomes if outcome.verdict is Verdict.broken)

    outcomes, region = _undecided(outcomes, region)
    if not outcomes:
        return
    begun = time.monotonic()
    yield _phase("prove", outcomes, budget.deadline)
    yield from _timed(_proved(network, outcomes, region, budget), begun)


def predicted(network: Decider, samples: Sequence[Sample]) -> list[Outcome]:
    """What is known of samples before anything moves: `misclassified`, or nothing yet."""
    return [
        Outcome(
            index=sample.index,
            label=sample.label,
            predicted=found,
            verdict=Verdict.unknown if found == sample.label else Verdict.misclassified,
        )
        for sample, found in zip(samples, network.predict(samples), strict=True)
    ]


def _attacked(
    network: Decider, outcomes: Sequence[Outcome], region: Region, deadline: float
) -> list[Outcome]:
    attacked = network.attack(region, [o.label for o in outcomes], deadline)
    found = [replace(o, upper=margin) for o, margin in zip(outcomes, attacked.margin, strict=True)]
    for k, point in attacked.broken.items():
        found[k] = replace(found[k], verdict=Verdict.broken, method="pgd", counterexample=point.inputs)
    return found


def _proved(network: Decider, outcomes: Sequence[Outcome], region: Region, budget: Budget) -> list[Outcome]:
    proved = network.margins(region, [o.label for o in outcomes], budget)
    bounds, found = proved.bounds, []
    for k, (outcome, lower, why) in enumerate(zip(outcomes, bounds.lower.tolist(), bounds.why, strict=True)):
        if k in proved.broken:
            point = proved.broken[k]
            found.append(
                replace(
                    outcome,
                    verdict=Verdict.broken,
                    upper=point.margin,
                    method="guided-pgd",
                    counterexample=point.inputs,
                )
            )
            continue
        certified = lower > 0
        found.append(
            replace(
                outcome,
                verdict=Verdict.certified if certified else Verdict.unknown,
                lower=lower,
                method=bounds.method,
                finished=certified or bounds.finished,
                reason=why,
            )
        )
    return found


def _undecided(outcomes: Sequence[Outcome], region: Region) -> tuple[list[Outcome], Region]:
    """What is still `unknown`, and its instances of `region`."""
    left = [k for k, outcome in enumerate(outcomes) if outcome.verdict is Verdict.unknown]
    return [outcomes[k] for k in left], region.select(torch.tensor(left, dtype=torch.int64))


def _timed(outcomes: Sequence[Outcome], begun: float) -> list[Outcome]:
    """`outcomes` with the time since `begun`, which they share, added to theirs."""
    each = (time.monotonic() - begun) / len(outcomes)
    return [replace(o, stats=Stats(o.seconds + each)) for o in outcomes]


def _phase(name: str, outcomes: Sequence[Outcome], deadline: float) -> Phase:
    return Phase(name, tuple(outcome.index for outcome in outcomes), deadline)
