"""Certified and attacked radii of networks whose true margins are known; what is reported was proved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from parsers.errors import UnsoundBound
from tests.support.networks.known_margins import Line, balls, samples
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.region import Region
from verifier.proof.results import MarginBounds
from verifier.robustness.certify import Decider
from verifier.robustness.classifier import Proved
from verifier.robustness.dataset import Sample
from verifier.robustness.outcome import RadiusBounds
from verifier.robustness.radius import Search, radii


def bounded(network: Decider, some: Sequence[Sample], **search: Any) -> list[RadiusBounds]:
    return [e for e in radii(network, some, balls(some), Search(**search)) if isinstance(e, RadiusBounds)]


@pytest.mark.parametrize("value", [0.004, 0.01, 0.3, 7.0])
def test_radius_is_found_from_both_sides(value: float) -> None:
    (found,) = bounded(Line(), samples(value), tolerance=0.001)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower <= value <= found.upper * (1 + 1e-9)
    assert found.lower >= value / 1.002
    assert found.upper <= value * 1.06


def test_radius_of_several_samples_at_once() -> None:
    found = list(bounded(Line(), samples(0.02, 5.0, -1.0, 0.7)))
    by_index = {d.index: d for d in found}
    assert by_index[2].misclassified
    assert (by_index[2].lower, by_index[2].upper) == (None, None)
    for index, value in ((0, 0.02), (1, 5.0), (3, 0.7)):
        lower = by_index[index].lower
        assert lower is not None
        assert value / 1.02 <= lower <= value


def test_radius_without_a_counterexample_is_open_above() -> None:
    (found,) = bounded(Line(able=False), samples(1.0))
    assert found.upper is None
    assert found.lower == pytest.approx(1.0, rel=0.02)


def test_nothing_proved_is_radius_zero() -> None:
    (found,) = bounded(Line(loss=1e9), samples(1.0))
    assert found.lower == 0.0
    assert found.method == "none"


def test_radius_stops_at_its_time_limit() -> None:
    begun = time.monotonic()
    (found,) = bounded(Line(seconds=0.05), samples(1.0), tolerance=1e-12, timeout=0.3)
    assert time.monotonic() - begun < 1.0
    assert found.lower is not None
    assert found.lower <= 1.0


class Patchy(Line):
    """Proves some balls and not others inside of them, and remembers which."""

    def __init__(self) -> None:
        super().__init__(able=False)
        self.proved: set[float] = set()

    def margins(self, region: Region, labels: Sequence[int], budget: Budget) -> Proved:
        found = super().margins(region, labels, budget).bounds
        assert region.ball is not None
        radius = region.ball.radius[:, 0]
        flips = torch.sin(1e4 * radius).unsqueeze(1) > 0
        margins = found.per_class.where(flips | found.per_class.isinf(), torch.tensor(-1.0).double())
        self.proved |= set(radius[margins.min(1).values > 0].tolist())
        return Proved(MarginBounds(margins, "patchy", True, ("",) * len(margins)))


def test_a_reported_radius_was_itself_proved() -> None:
    network = Patchy()
    for value in (0.01, 0.37, 2.0):
        (found,) = bounded(network, samples(value))
        assert found.lower in network.proved
        assert found.method == "patchy"


def test_a_counterexample_inside_a_certified_ball_is_an_alarm() -> None:
    with pytest.raises(UnsoundBound, match="certified ball"):
        list(bounded(Line(loss=-0.1), samples(1.0)))


class Deep(Line):
    """Loses the less the deeper it may go; margins of deeper methods end just above 0."""

    def __init__(self, loss: dict[Method, float]) -> None:
        super().__init__()
        self.of_method = loss
        self.tried: list[Method] = []

    def margins(self, region: Region, labels: Sequence[int], budget: Budget) -> Proved:
        self.tried.append(budget.method)
        assert (Method.alpha_crown in budget.skip) == (budget.method == Method.clip)
        found = super().margins(region, labels, budget).bounds
        margins = found.per_class - self.of_method[budget.method]
        if budget.method >= Method.alpha_crown:
            margins = margins.clamp(max=1e-5)
        return Proved(MarginBounds(margins, budget.method.value, True, found.why))


LOSS = {
    Method.crown: 0.2,
    Method.crown_octagon: 0.16,
    Method.alpha_crown: 0.12,
    Method.clip: 0.1,
    Method.bab: 0.0,
}


@pytest.mark.parametrize(
    ("method", "radius", "tolerance"),
    [
        (Method.crown, 0.90, 2e-4),
        (Method.crown_octagon, 0.92, 0.011),
        (Method.alpha_crown, 0.94, 0.011),
        (Method.clip, 0.95, 0.011),
        (Method.bab, 0.95, 0.011),  # which needs a time limit
    ],
)
def test_radii_go_as_deep_as_they_may(method: Method, radius: float, tolerance: float) -> None:
    network = Deep(LOSS)
    (found,) = bounded(network, samples(1.0), method=method)
    last = min(method, Method.clip)
    assert found.lower is not None
    assert radius * (1 - tolerance) <= found.lower <= radius
    assert found.method == last.value
    assert network.tried == sorted(network.tried)
    assert set(network.tried) == {d for d in (Method.crown, Method.crown_octagon, last) if d <= last}
    if method == last:  # and no deeper with a time limit
        (found,) = bounded(network, samples(1.0), method=method, timeout=30)
        assert found.method == last.value


def test_cheap_bounds_go_first_where_time_is_limited() -> None:
    network = Deep(LOSS)
    (found,) = bounded(network, samples(1.0), timeout=30)
    assert found.lower == pytest.approx(1.0, rel=2e-2)
    assert found.method == "bab"
    assert network.tried == sorted(network.tried)


def test_a_deeper_method_never_lowers_a_radius() -> None:
    poor = dict.fromkeys(LOSS, 1.0) | {Method.crown: 0.1}
    (found,) = bounded(Deep(poor), samples(1.0))
    assert found.lower == pytest.approx(0.95, rel=2e-4)
    assert found.method == "crown"
