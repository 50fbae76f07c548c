"""Orchestration of `certify` and `radii` on networks whose true margins are known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from verifier.certify import TOGETHER, certify
from verifier.dataset import Sample
from verifier.network import Attacked
from verifier.outcome import Accuracies, Verdict
from verifier.radius import radii
from verifier.region import Region, ball_region
from verifier.verify import MarginBounds


class Line:
    """Two classes with scores (x, −x) for one number x: the margin of class 0 over a ball is 2·(x − ε).

    The proof loses `slack` of it; the attack finds the end of the ball only if it is `able`.
    """

    def __init__(self, slack: float = 0.0, able: bool = True, seconds: float = 0.0) -> None:
        self.slack, self.able, self.seconds = slack, able, seconds
        self.deadlines: list[float | None] = []

    def predict(self, samples: Sequence[Sample]) -> list[int]:
        return [0 if s.inputs["x"][0] > 0 else 1 for s in samples]

    def attack(self, region: Region, labels: Sequence[int], deadline: float | None) -> Attacked:
        self.deadlines.append(deadline)
        sign = 1.0 - 2.0 * torch.tensor(labels, dtype=torch.float64).unsqueeze(1)
        ends = torch.where(sign > 0, region.lower, region.upper)
        ends = ends if self.able else region.middle
        margin = (2 * sign * ends).squeeze(1)
        return Attacked((margin < 0).tolist(), margin.tolist(), ends)

    def margins(
        self, region: Region, labels: Sequence[int], deadline: float | None, progress: Callable[[], None]
    ) -> MarginBounds:
        del progress
        self.deadlines.append(deadline)
        time.sleep(self.seconds)
        sign = 1.0 - 2.0 * torch.tensor(labels, dtype=torch.float64).unsqueeze(1)
        worst = torch.where(sign > 0, region.lower, -region.upper)
        per_class = torch.full((len(labels), 2), math.inf, dtype=torch.float64)
        others = 1 - torch.tensor(labels).unsqueeze(1)
        return MarginBounds(per_class.scatter(1, others, 2 * worst - self.slack), "exact", True)


def samples(*values: float, label: int = 0) -> list[Sample]:
    return [Sample(i, label, {"x": np.array([v])}) for i, v in enumerate(values)]


def ball(some: Sequence[Sample], eps: float | Tensor) -> Region:
    return ball_region(torch.tensor(np.stack([s.inputs["x"] for s in some])), eps, math.inf)


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
        def margins(
            self, region: Region, labels: Sequence[int], deadline: float | None, progress: Callable[[], None]
        ) -> MarginBounds:
            del region, labels, deadline, progress
            return MarginBounds(torch.tensor([[math.inf, 0.0]]), "exact", True)

    (found,) = certify(Tie(), samples(1.0), lambda s: ball(s, 0.5))
    assert found.verdict is Verdict.unknown


def test_more_samples_than_go_together() -> None:
    count = 2 * TOGETHER + 3
    found = list(certify(Line(), samples(*[1.0] * count), lambda s: ball(s, 0.5)))
    assert sorted(o.index for o in found) == list(range(count))
    assert all(o.verdict is Verdict.certified for o in found)


def test_the_time_limit_counts_for_each_sample() -> None:
    network = Line()
    now = time.monotonic()
    list(certify(network, samples(1.0, 1.0, -1.0), lambda s: ball(s, 0.5), timeout=10.0))
    attack, bounds = (deadline - now for deadline in network.deadlines if deadline is not None)
    assert attack == pytest.approx(6.0, abs=0.5)  # 0.3 of two samples' time
    assert bounds == pytest.approx(20.0, abs=0.5)


def test_outcomes_come_as_they_are_decided() -> None:
    network = Line()
    stream = certify(network, samples(*[1.0] * (TOGETHER + 1)), lambda s: ball(s, 0.5))
    assert next(stream).index == 0
    assert len(network.deadlines) == 2  # one attack, one proof: the second part is still to come


@pytest.mark.parametrize("value", [0.004, 0.01, 0.3, 7.0])
def test_radius_is_found_from_both_sides(value: float) -> None:
    (found,) = radii(Line(), samples(value), ball, tolerance=0.001)
    assert found.radius_lower is not None
    assert found.radius_upper is not None
    assert found.radius_lower <= value <= found.radius_upper * (1 + 1e-9)
    assert found.radius_lower >= value / 1.002
    assert found.radius_upper <= value * 1.06


def test_radius_of_several_samples_at_once() -> None:
    found = list(radii(Line(), samples(0.02, 5.0, -1.0, 0.7), ball))
    by_index = {d.index: d for d in found}
    assert by_index[2].misclassified
    assert (by_index[2].radius_lower, by_index[2].radius_upper) == (None, None)
    for index, value in ((0, 0.02), (1, 5.0), (3, 0.7)):
        lower = by_index[index].radius_lower
        assert lower is not None
        assert value / 1.02 <= lower <= value


def test_radius_without_a_counterexample_is_open_above() -> None:
    (found,) = radii(Line(able=False), samples(1.0), ball)
    assert found.radius_upper is None
    assert found.radius_lower == pytest.approx(1.0, rel=0.02)


def test_nothing_proved_is_radius_zero() -> None:
    (found,) = radii(Line(slack=1e9), samples(1.0), ball)
    assert found.radius_lower == 0.0
    assert found.method == "none"


def test_radius_stops_at_its_time_limit() -> None:
    begun = time.monotonic()
    (found,) = radii(Line(seconds=0.05), samples(1.0), ball, tolerance=1e-12, timeout=0.3)
    assert time.monotonic() - begun < 1.0
    assert found.radius_lower is not None
    assert found.radius_lower <= 1.0
