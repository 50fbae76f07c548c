"""Exact rationals to floating point with a known direction, for whole arrays at once.

A decimal such as 0.1 is no float. Which side a float lies on decides soundness, so nothing here relies on
the rounding mode of a library: every result is compared with the exact rational it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

Array = np.ndarray

DOUBLE = np.dtype(np.float64)


def nearest(exact: Sequence[Fraction], dtype: np.dtype) -> tuple[Array, Array]:
    """(x, s): x the values of float type `dtype` nearest to `exact`, held in float64; s = sign(x − exact).

    Beyond the type's range x is ±inf. Rounding to float64 first and to `dtype` after errs only where the
    float64 value lies exactly half-way between two neighbours; there s decides which one is nearer.
    """
    double = np.array([_double(q) for q in exact], np.float64).reshape(len(exact))
    side = np.array([_sign(x, q) for x, q in zip(double.tolist(), exact, strict=True)], np.int8)
    if dtype == DOUBLE:
        return double, side
    with np.errstate(over="ignore"):
        single = double.astype(dtype)
    toward = np.where(side > 0, -np.inf, np.inf).astype(dtype)  # the exact value lies below x where s > 0
    single = single.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        other = np.nextafter(single.astype(dtype), toward).astype(np.float64)
        half_way = (side != 0) & np.isfinite(other) & (np.abs(other - double) == np.abs(single - double))
    rounded = np.where(half_way, other, single)
    return rounded, np.where(rounded != double, np.sign(rounded - double), side).astype(np.int8)


def downward(exact: Sequence[Fraction], dtype: np.dtype) -> tuple[Array, Array]:
    """(x, s): the largest values of `dtype` that are ≤ `exact`, in float64; s = 0 where equal, else −1."""
    x, side = nearest(exact, dtype)
    return np.where(side > 0, following(x, dtype, -np.inf), x), -np.abs(side)


def upward(exact: Sequence[Fraction], dtype: np.dtype) -> tuple[Array, Array]:
    """(x, s): the smallest values of `dtype` that are ≥ `exact`, in float64; s = 0 where equal, else +1."""
    x, side = downward([-q for q in exact], dtype)
    return 0.0 - x, -side  # not −x: no negative zeros


def following(x: Array, dtype: np.dtype, toward: float) -> Array:
    """The next values of `dtype` after its values `x` in the direction of `toward`, in float64."""
    with np.errstate(over="ignore"):
        return np.nextafter(x.astype(dtype), dtype.type(toward)).astype(np.float64)


def _double(exact: Fraction) -> float:
    """The nearest float64 (CPython's division of integers is correctly rounded), ±inf beyond its range."""
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")


def _sign(x: float, exact: Fraction) -> int:
    if x in (float("inf"), float("-inf")):
        return 1 if x > 0 else -1
    numerator, denominator = x.as_integer_ratio()
    difference = numerator * exact.denominator - exact.numerator * denominator
    return (difference > 0) - (difference < 0)
