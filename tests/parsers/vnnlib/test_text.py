"""Decimals become floats with a known direction, boxes contain the decimal and its rounding."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parsers.query.rounding import downward, nearest, upward
from parsers.vnnlib.read import specification

SETTINGS = settings(derandomize=True, deadline=None, max_examples=200)
TYPES = [np.dtype(t) for t in ("float16", "float32", "float64")]

decimals = st.builds(
    lambda digits, exponent: Fraction(digits) * Fraction(10) ** exponent,
    st.integers(-(10**20), 10**20),
    st.integers(-60, 22),
)
MIDPOINT = Fraction(1) + Fraction(1, 2**24)  # half-way between two float32 values, exact in float64


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@SETTINGS
@given(decimals)
@example(Fraction(1, 10))
@example(Fraction(0))
@example(MIDPOINT)
@example(MIDPOINT + Fraction(1, 10**30))  # float64 rounds it to the midpoint: the nearest is above
@example(MIDPOINT - Fraction(1, 10**30))
@example(-MIDPOINT - Fraction(1, 10**30))
@example(Fraction(1, 10**46))
def test_rounding_is_exact(dtype: np.dtype, exact: Fraction) -> None:
    (x,), (side,) = nearest([exact], dtype)
    (low,), _ = downward([exact], dtype)
    (high,), _ = upward([exact], dtype)
    largest = Fraction(float(np.finfo(dtype).max))
    if abs(exact) > largest:
        assert Fraction(float(low)) == largest if exact > 0 else low == -np.inf
        assert Fraction(float(high)) == -largest if exact < 0 else high == np.inf
        return
    assert Fraction(float(low)) <= exact <= Fraction(float(high))
    assert low == high or np.nextafter(dtype.type(low), dtype.type(np.inf)) == high
    for end in (low, high):
        assert float(dtype.type(end)) == end
    assert x in (low, high) or not np.isfinite(x)
    if np.isfinite(x):
        assert abs(Fraction(float(x)) - exact) == min(
            abs(Fraction(float(end)) - exact) for end in (low, high)
        )
        difference = Fraction(float(x)) - exact
        assert side == (difference > 0) - (difference < 0)


HEADER = """(vnnlib-version <2.0>)
(declare-network N (declare-input X {type} []) (declare-output Y {type} []))
"""


@SETTINGS
@given(st.decimals(-1000, 1000, places=9), st.decimals(0, 10, places=9))
def test_boxes_contain_both_readings(lower, width) -> None:
    upper = lower + width
    text = HEADER.format(type="float32") + f"(assert (>= X {lower:f}))(assert (<= X {upper:f}))"
    (case,) = specification(text).cases
    box = case.boxes["X"]
    for decimal in (lower, upper):
        assert Fraction(float(box.lower)) <= Fraction(decimal) <= Fraction(float(box.upper))
        assert box.lower <= float(np.float32(float(decimal))) <= box.upper
    spacing = float(np.spacing(np.float32(max(abs(lower), abs(upper), 1))))
    assert box.upper - box.lower <= float(width) + 2 * spacing
    assert case.witnesses is not None
    for end in (case.witnesses["X"].lower, case.witnesses["X"].upper):
        assert float(np.float32(end)) == end
        assert box.lower <= end <= box.upper


def test_exact_bounds_stay_exact() -> None:
    text = HEADER.format(type="float32") + "(assert (>= X -0.375))(assert (<= X 0.5))"
    (case,) = specification(text).cases
    assert (float(case.boxes["X"].lower), float(case.boxes["X"].upper)) == (-0.375, 0.5)


@pytest.mark.parametrize(("type_", "possible"), [("float32", True), ("real", False), ("float64", True)])
def test_a_point_that_is_no_float(type_: str, possible: bool) -> None:
    """0.1 ≤ x ≤ 0.1: a typed literal is a float, over the reals no float32 is 0.1."""
    (case,) = specification(HEADER.format(type=type_) + "(assert (== X 0.1))").cases
    assert (case.witnesses is not None) == possible
    box = case.boxes["X"]
    assert box.lower < box.upper
    assert Fraction(float(box.lower)) < Fraction(1, 10) < Fraction(float(box.upper))


def test_strict_bounds_move_witnesses_only() -> None:
    (case,) = specification(HEADER.format(type="float32") + "(assert (> X 0.5))(assert (< X 1.0))").cases
    assert (float(case.boxes["X"].lower), float(case.boxes["X"].upper)) == (0.5, 1.0)
    assert case.witnesses is not None
    assert case.witnesses["X"].lower == np.nextafter(np.float32(0.5), np.float32(1))
    assert case.witnesses["X"].upper == np.nextafter(np.float32(1), np.float32(0))


@pytest.mark.parametrize(
    ("assertion", "expected"),
    [
        ("(assert (> X -3))(assert (< X 5))", (-2, 4)),
        ("(assert (>= X -300))(assert (<= X 5))", (-128, 5)),
        ("(assert (>= (* 2 X) 1))(assert (<= (* 2 X) 7))", (1, 3)),
    ],
)
def test_whole_numbers(assertion: str, expected: tuple[int, int]) -> None:
    (case,) = specification(HEADER.format(type="int8") + assertion).cases
    assert (float(case.boxes["X"].lower), float(case.boxes["X"].upper)) == expected


def test_bounds_beyond_the_type_are_cut() -> None:
    huge = "1" + "0" * 60 + ".0"
    (case,) = specification(
        HEADER.format(type="float32") + f"(assert (>= X 0.0))(assert (<= X {huge}))"
    ).cases
    assert float(case.boxes["X"].upper) == float(np.finfo(np.float32).max)
    assert not specification(HEADER.format(type="float32") + f"(assert (== X {huge}))").cases


def test_decimal_coefficients_become_whole_numbers() -> None:
    """0.1·Y + 0.25·X ≤ 0.3 is 2·Y + 5·X ≤ 6: no coefficient is rounded."""
    text = HEADER.format(type="real") + "(assert (== X 0.5))(assert (<= (+ (* 0.1 Y) (* 0.25 X)) 0.5))"
    (case,) = specification(text).cases
    (constraint,) = case.constraints
    assert (float(constraint.coefficients["Y"]), float(constraint.coefficients["X"])) == (2.0, 5.0)
    assert constraint.constant == -10.0
    assert constraint.coefficient_error == 0.0


def test_coefficients_with_too_many_digits_admit_it() -> None:
    text = HEADER.format(type="real") + "(assert (== X 0.5))(assert (<= (* 0.1234567890123456789 Y) X))"
    (case,) = specification(text).cases
    (constraint,) = case.constraints
    exact = Fraction("0.1234567890123456789")
    error = abs(Fraction(float(constraint.coefficients["Y"])) - exact) / exact
    assert 0 < error <= Fraction(constraint.coefficient_error)


@SETTINGS
@given(st.decimals(-100, 100, places=12))
def test_constants_only_weaken(decimal) -> None:
    text = HEADER.format(type="float32") + f"(assert (== X 0.5))(assert (<= Y {decimal:f}))"
    (case,) = specification(text).cases
    (constraint,) = case.constraints
    allowed = -Fraction(constraint.constant)
    assert allowed >= Fraction(decimal)
    assert allowed >= Fraction(float(np.float32(float(decimal))))
    assert allowed - Fraction(decimal) <= Fraction(float(np.spacing(np.float32(abs(decimal)))))
