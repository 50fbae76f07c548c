"""The search for the radius where a margin turns negative: where it ends, and in how many rounds."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifier.robustness.threshold import OFFSETS, Threshold, Trial

SMOOTH: dict[str, Callable[[float], float]] = {
    "straight": lambda r: 1 - r / 0.0234,
    "concave": lambda r: 0.3 - 2 * r - 80 * r**2.3,
    "saturating": lambda r: 0.5 - math.tanh(9 * r),
    "exponential": lambda r: 0.2 - math.expm1(30 * r),
}
ODD: dict[str, Callable[[float], float]] = {
    "step": lambda r: 1.0 if r < 0.0567 else -1.0,
    "overflowing": lambda r: 0.1 - r if r < 0.05 else -math.inf,
    "unknown where it holds": lambda r: math.nan if r < 0.031 else 0.031 - r,
    "unknown": lambda r: math.nan if r < 0.031 else -math.inf,
    "flat": lambda r: 1e-9 if r < 0.07 else 0.07 - r,
}


def search(
    margin: Callable[[float], float], count: int, tolerance: float = 1e-4, **options: float
) -> tuple[Threshold, int]:
    """NaN holds: a margin that is proved positive without being known."""
    threshold = Threshold(options.pop("start", 0.01), tolerance, **options)
    tried: dict[float, bool] = {}
    rounds = 0
    while probes := threshold.probes(count):
        assert len(probes) <= count
        assert all(threshold.holds < r < threshold.fails for r in probes)
        values = [margin(r) for r in probes]
        trials = [Trial(r, not m <= 0, m) for r, m in zip(probes, values, strict=True)]
        tried |= {t.radius: t.holds for t in trials}
        threshold.learn(trials)
        rounds += 1
        assert rounds < 100
    assert threshold.holds in (0.0, options.get("holds", 0.0)) or tried[threshold.holds]
    assert math.isinf(threshold.fails) or not tried[threshold.fails]
    return threshold, rounds


@pytest.mark.parametrize("start", [1e-4, 0.01, 1.0])
@pytest.mark.parametrize("count", OFFSETS)
@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_margins_take_few_rounds(name: str, count: int, start: float) -> None:
    found, rounds = search(SMOOTH[name], count, start=start)
    assert found.fails <= found.holds * (1 + 1e-4)
    assert rounds <= {1: 11, 2: 9, 3: 7, 4: 6}[count]  # bisection takes at least 14


@pytest.mark.parametrize("count", OFFSETS)
@pytest.mark.parametrize("name", ODD)
def test_odd_margins_end_too(name: str, count: int) -> None:
    found, rounds = search(ODD[name], count)
    assert found.fails <= found.holds * (1 + 1e-4)
    assert rounds <= 36


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 3), st.floats(0, 1)), min_size=1, max_size=6),
    st.sampled_from(sorted(OFFSETS)),
    st.floats(1e-3, 10),
)
def test_any_falling_staircase(steps: list[tuple[float, float]], count: int, start: float) -> None:
    def margin(r: float) -> float:
        return 0.5 - sum(height for place, height in steps if r >= place) - 1e-3 * r

    found, rounds = search(margin, count, start=start)
    assert found.fails <= found.holds * (1 + 1e-4)
    assert rounds <= 60


def test_a_radius_known_to_hold_is_the_first_end() -> None:
    found, rounds = search(SMOOTH["concave"], 4, holds=0.066, stride=1.2)
    assert found.holds == pytest.approx(0.06785, rel=2e-4)
    assert rounds <= 4


def test_nothing_holds_and_everything_holds() -> None:
    nothing, _ = search(lambda _: -1.0, 4)
    assert nothing.holds == 0.0
    everything, _ = search(lambda _: 1.0, 4)
    assert everything.holds > 1e4
    assert math.isinf(everything.fails)


def test_a_radius_that_holds_outweighs_a_smaller_one_that_failed() -> None:
    threshold = Threshold(0.01, 1e-4)
    threshold.learn([Trial(0.01, True), Trial(0.02, False), Trial(0.03, True), Trial(0.04, False)])
    assert (threshold.holds, threshold.fails) == (0.03, 0.04)
