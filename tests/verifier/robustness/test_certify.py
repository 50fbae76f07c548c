"""Orchestration of `certify` on networks whose true margins are known."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import pytest
import torch

from tests.support.networks.known_margins import Line, ball, samples
from verifier.problem.budget import Budget
from verifier.problem.region import Region
from verifier.proof.results import MarginBounds
from verifier.robustness.certify import TOGETHER, certify
from verifier.robustness.outcome import Accuracies, Verdict


def test_the_four_verdicts() -> None:
    network = Line(slack=0.1)
    found = {o.index: o for o in certify(network, samples(1.0, -1.0, 0.2, 0.52), lambda s: ball(s, 0.5))}
    assert [found[k].verdict.value for k in range(4)] == ["certified", "misclassified", "broken", "unknown"]
    assert found[0].margin_lower == pytest.approx(0.9)
    assert found[0].margin_upper == pytest.approx(1.0)
    assert (found[1].margin_lower, found[1].margin_upper, found[1].predicted) == (None, None, 1)
    assert found[2].margin_lower is None
    assert found[2].margin_upper == pytest.approx(-0.6)
    assert found[3].margin_lower == pytest.approx(-0.06)
    totals = Accuracies.of(list(found.values()))
    assert (totals.total, totals.correct, totals.attacked, totals.certified) == (4, 3, 2, 1)


def test_a_weak_attack_never_makes_a_certificate() -> None:
    (found,) = certify(Line(able=False), samples(0.2), lambda s: ball(s, 0.5))
    assert found.verdict is Verdict.unknown


def test_a_margin_of_zero_is_not_certified() -> None:
    class Tie(Line):
        def margins(self, region: Region, labels: Sequence[int], budget: Budget) -> MarginBounds:
            del region, labels, budget
            return MarginBounds(torch.tensor([[math.inf, 0.0]]), "exact", True, ("a tie",))

    (found,) = certify(Tie(), samples(1.0), lambda s: ball(s, 0.5))
    assert found.verdict is Verdict.unknown
    assert found.as_json()["why"] == "a tie"


def test_more_samples_than_go_together() -> None:
    count = 2 * TOGETHER + 3
    found = list(certify(Line(), samples(*[1.0] * count), lambda s: ball(s, 0.5)))
    assert sorted(o.index for o in found) == list(range(count))
    assert all(o.verdict is Verdict.certified for o in found)


def test_the_time_limit_counts_for_each_sample() -> None:
    network = Line()
    now = time.monotonic()
    list(certify(network, samples(1.0, 1.0, -1.0), lambda s: ball(s, 0.5), timeout=10.0))
    attack, bounds = (deadline - now for deadline in network.deadlines)
    assert attack == pytest.approx(6.0, abs=0.5)  # 0.3 of two samples' time
    assert bounds == pytest.approx(20.0, abs=0.5)


def test_outcomes_come_as_they_are_decided() -> None:
    network = Line()
    stream = certify(network, samples(*[1.0] * (TOGETHER + 1)), lambda s: ball(s, 0.5))
    assert next(stream).index == 0
    assert len(network.deadlines) == 2  # one attack, one proof: the second part is still to come
