"""Orchestration of `certify` on networks whose true margins are known."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import pytest
import torch

from tests.support.networks.known_margins import Line, balls, samples
from verifier.problem.budget import Budget
from verifier.problem.region import Region
from verifier.proof.results import MarginBounds
from verifier.robustness.certify import TOGETHER, Decider, certify
from verifier.robustness.classifier import Proved
from verifier.robustness.dataset import Sample
from verifier.robustness.outcome import Accuracies, Outcome, Verdict


def decided(
    network: Decider, some: Sequence[Sample], eps: float = 0.5, timeout: float | None = None
) -> Iterator[Outcome]:
    stream = certify(network, some, balls(some).of(eps), timeout=timeout)
    return (event for event in stream if isinstance(event, Outcome))


def test_the_four_verdicts() -> None:
    network = Line(loss=0.1)
    found = {o.index: o for o in decided(network, samples(1.0, -1.0, 0.2, 0.52))}
    assert [found[k].verdict.value for k in range(4)] == ["certified", "misclassified", "broken", "unknown"]
    assert found[0].lower == pytest.approx(0.9)
    assert found[0].upper == pytest.approx(1.0)
    assert (found[1].lower, found[1].upper, found[1].predicted) == (None, None, 1)
    assert found[2].lower is None
    assert found[2].upper == pytest.approx(-0.6)
    assert found[3].lower == pytest.approx(-0.06)
    totals = Accuracies.of(list(found.values()))
    assert (totals.total, totals.correct, totals.robust, totals.certified) == (4, 3, 2, 1)


def test_a_weak_attack_never_makes_a_certificate() -> None:
    (found,) = decided(Line(able=False), samples(0.2))
    assert found.verdict is Verdict.unknown


def test_a_margin_of_zero_is_not_certified() -> None:
    class Tie(Line):
        def margins(self, region: Region, labels: Sequence[int], budget: Budget) -> Proved:
            del region, labels, budget
            return Proved(MarginBounds(torch.tensor([[math.inf, 0.0]]), "exact", True, ("a tie",)))

    (found,) = decided(Tie(), samples(1.0))
    assert found.verdict is Verdict.unknown
    assert found.as_json()["reason"] == "a tie"


def test_more_samples_than_go_together() -> None:
    count = 2 * TOGETHER + 3
    found = list(decided(Line(), samples(*[1.0] * count)))
    assert sorted(o.index for o in found) == list(range(count))
    assert all(o.verdict is Verdict.certified for o in found)


def test_the_time_limit_counts_for_each_sample() -> None:
    network = Line()
    now = time.monotonic()
    list(decided(network, samples(1.0, 1.0, -1.0), timeout=10.0))
    attack, bounds = (deadline - now for deadline in network.deadlines)
    assert attack == pytest.approx(6.0, abs=0.5)  # 0.3 of two samples' time
    assert bounds == pytest.approx(20.0, abs=0.5)


def test_outcomes_come_as_they_are_decided() -> None:
    network = Line()
    stream = decided(network, samples(*[1.0] * (TOGETHER + 1)))
    assert next(stream).index == 0
    assert len(network.deadlines) == 2  # one attack, one proof: the second part is still to come
