"""Certified and attacked radii of networks whose true margins are known; what is reported was proved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tests.support.known_margins import Line, balls, samples
from verifier.problem.budget import Budget, Depth
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
    (found,) = bounded(Line(slack=1e9), samples(1.0))
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
    with pytest.raises(AssertionError, match="certified ball"):
        list(bounded(Line(slack=-0.1), samples(1.0)))


class Deep(Line):
    """Loses the less the deeper it may go; margins of deeper methods end just above 0."""

    def __init__(self, loss: dict[Depth, float]) -> None:
        super().__init__()
        self.loss = loss
        self.depths: list[Depth] = []

    def margins(self, region: Region, labels: Sequence[int], budget: Budget) -> Proved:
        self.depths.append(budget.depth)
        assert budget.slopes == (budget.depth != Depth.clipping)
        found = super().margins(region, labels, budget).bounds
        margins = found.per_class - self.loss[budget.depth]
        if budget.depth >= Depth.slopes:
            margins = margins.clamp(max=1e-5)
        return Proved(MarginBounds(margins, budget.depth.name, True, found.why))


LOSS = {
    Depth.backward: 0.2,
    Depth.corners: 0.16,
    Depth.slopes: 0.12,
    Depth.clipping: 0.1,
    Depth.branching: 0.0,
}


@pytest.mark.parametrize(
    ("depth", "radius", "tolerance"),
    [
        (Depth.backward, 0.90, 2e-4),
        (Depth.corners, 0.92, 0.011),
        (Depth.slopes, 0.94, 0.011),
        (Depth.clipping, 0.95, 0.011),
        (Depth.branching, 0.95, 0.011),  # which needs a time limit
    ],
)
def test_radii_go_as_deep_as_they_may(depth: Depth, radius: float, tolerance: float) -> None:
    network = Deep(LOSS)
    (found,) = bounded(network, samples(1.0), depth=depth)
    last = min(depth, Depth.clipping)
    assert found.lower is not None
    assert radius * (1 - tolerance) <= found.lower <= radius
    assert found.method == last.name
    assert network.depths == sorted(network.depths)
    assert set(network.depths) == {d for d in (Depth.backward, Depth.corners, last) if d <= last}
    if depth == last:  # and no deeper with a time limit
        (found,) = bounded(network, samples(1.0), depth=depth, timeout=30)
        assert found.method == last.name


def test_cheap_bounds_go_first_where_time_is_limited() -> None:
    network = Deep(LOSS)
    (found,) = bounded(network, samples(1.0), timeout=30)
    assert found.lower == pytest.approx(1.0, rel=2e-2)
    assert found.method == "branching"
    assert network.depths == sorted(network.depths)


def test_a_deeper_method_never_lowers_a_radius() -> None:
    poor = dict.fromkeys(LOSS, 1.0) | {Depth.backward: 0.1}
    (found,) = bounded(Deep(poor), samples(1.0))
    assert found.lower == pytest.approx(0.95, rel=2e-4)
    assert found.method == "backward"
