"""The closed set of primitives, each with its numpy meaning.

One entry a primitive: the function *is* the definition. From it derive shape inference (`infer_shape`),
constant folding and the reader's self-check. `kind` says what a bound needs to know:

    linear       linear in its inputs jointly, coefficients 0 or 1: moves, copies and sums entries
    additive     linear in both inputs (add, sub, neg)
    bilinear     linear in each input by itself (mul, matmul); affine when all inputs but one are constant
    quotient     linear in the first input
    gate         elementwise nonlinear in one or two inputs
    composite    several units at once (softmax, max over an axis): lowered to gates before bounding
    discrete     comparisons, indices: evaluated, never bounded unless their inputs are fixed
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Primitive:
    """`function(*inputs, **attributes)` in numpy; `attributes` are the names it takes, all of them needed."""

    name: str
    kind: str
    function: Callable[..., Array]
    attributes: tuple[str, ...] = ()


PRIMITIVES: dict[str, Primitive] = {}


def primitive(kind: str, *attributes: str) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Register the decorated function under its own name (a trailing underscore is dropped)."""

    def register(function: Callable[..., Array]) -> Callable[..., Array]:
        name = function.__name__.rstrip("_")
        PRIMITIVES[name] = Primitive(name, kind, function, attributes)
        return function

    return register


def apply(op: str, inputs: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
    """Evaluate one primitive on numpy arrays (float64 in, float64 out)."""
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        return np.asarray(PRIMITIVES[op].function(*inputs, **attributes))


def infer_shape(op: str, inputs: Sequence[Array | Shape], attributes: Mapping[str, Any]) -> Shape:
    """Shape of the output: the primitive itself, run on zeros that take no memory."""
    shapes = [x.shape if isinstance(x, np.ndarray) else x for x in inputs]
    if op == "matmul":  # the one primitive whose product would cost time
        return _matmul_shape(*shapes)
    if PRIMITIVES[op].kind in ("additive", "bilinear", "quotient", "gate"):  # elementwise
        return shapes[0] if all(s == shapes[0] for s in shapes) else np.broadcast_shapes(*shapes)
    arrays = [x if isinstance(x, np.ndarray) else np.broadcast_to(np.zeros(()), x) for x in inputs]
    return apply(op, arrays, attributes).shape


def _matmul_shape(a: Shape, b: Shape) -> Shape:
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    if a[-1] != b[-2 if len(b) > 1 else 0]:
        raise ValueError(f"matmul of {a} and {b}")
    return np.broadcast_shapes(a[:-2], b[:-2]) + (rows if len(a) > 1 else ()) + columns


# --- linear: entries moved, copied, summed ---------------------------------------------------------


@primitive("linear", "shape")
def reshape(x: Array, shape: Shape) -> Array:
    return x.reshape(shape)


@primitive("linear", "perm")
def transpose(x: Array, perm: Shape) -> Array:
    return x.transpose(perm)


@primitive("linear", "axis", "start", "stop", "step")
def slice_(x: Array, axis: int, start: int, stop: int, step: int) -> Array:
    """0 ≤ start < stop ≤ size, step ≥ 1; a backward slice is a `take`."""
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


@primitive("linear", "indices", "axis")
def take(x: Array, indices: Array, axis: int) -> Array:
    """Constant, non-negative `indices` of any rank (a scalar drops the axis)."""
    return np.take(x, indices, axis=axis)


@primitive("linear", "axis")
def concat(*xs: Array, axis: int) -> Array:
    return np.concatenate(xs, axis=axis)


@primitive("linear", "shape")
def expand(x: Array, shape: Shape) -> Array:
    """Broadcast to `shape` (the full output shape)."""
    return np.broadcast_to(x, shape)


@primitive("linear", "pads")
def pad(x: Array, pads: tuple[tuple[int, int], ...]) -> Array:
    """Zeros around `x`: (before, after) for every axis."""
    return np.pad(x, pads)


@primitive("linear", "axes")
def sum_(x: Array, axes: Shape) -> Array:
    """Sum over `axes`, which disappear."""
    return x.sum(axis=axes)


# --- additive, bilinear, quotient -------------------------------------------------------------------


@primitive("additive")
def add(x: Array, y: Array) -> Array:
    return x + y


@primitive("additive")
def sub(x: Array, y: Array) -> Array:
    return x - y


@primitive("additive")
def neg(x: Array) -> Array:
    return -x


@primitive("bilinear")
def mul(x: Array, y: Array) -> Array:
    return x * y


@primitive("bilinear")
def matmul(x: Array, y: Array) -> Array:
    return np.matmul(x, y)


@primitive("quotient")
def div(x: Array, y: Array) -> Array:
    return x / y


# --- gates: elementwise ----------------------------------------------------------------------------


@primitive("gate")
def max_(x: Array, y: Array) -> Array:
    return np.maximum(x, y)


@primitive("gate")
def min_(x: Array, y: Array) -> Array:
    return np.minimum(x, y)


@primitive("gate")
def sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


@primitive("gate")
def tanh(x: Array) -> Array:
    return np.tanh(x)


@primitive("gate")
def relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


@primitive("gate", "alpha")
def leaky_relu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * x, x)


@primitive("gate", "alpha")
def thresholded_relu(x: Array, alpha: float) -> Array:
    return np.where(x > alpha, x, 0.0)


@primitive("gate", "alpha")
def elu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


@primitive("gate", "alpha", "gamma")
def selu(x: Array, alpha: float, gamma: float) -> Array:
    return gamma * np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


@primitive("gate", "alpha")
def celu(x: Array, alpha: float) -> Array:
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha)


@primitive("gate")
def softplus(x: Array) -> Array:
    return np.logaddexp(x, 0.0)


@primitive("gate")
def softsign(x: Array) -> Array:
    return x / (1.0 + np.abs(x))


@primitive("gate", "alpha", "beta")
def hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(alpha * x + beta, 0.0, 1.0)


@primitive("gate")
def hard_swish(x: Array) -> Array:
    return x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)


@primitive("gate")
def mish(x: Array) -> Array:
    return x * np.tanh(np.logaddexp(x, 0.0))


@primitive("gate")
def erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


@primitive("gate")
def exp(x: Array) -> Array:
    return np.exp(x)


@primitive("gate")
def log(x: Array) -> Array:
    return np.log(x)


@primitive("gate")
def sqrt(x: Array) -> Array:
    return np.sqrt(x)


@primitive("gate")
def reciprocal(x: Array) -> Array:
    return 1.0 / x


@primitive("gate", "exponent")
def pow_(x: Array, exponent: float) -> Array:
    return np.power(x, exponent)


@primitive("gate")
def abs_(x: Array) -> Array:
    return np.abs(x)


@primitive("gate")
def sin(x: Array) -> Array:
    return np.sin(x)


@primitive("gate")
def cos(x: Array) -> Array:
    return np.cos(x)


@primitive("gate", "low", "high")
def clip(x: Array, low: float, high: float) -> Array:
    return np.clip(x, low, high)


@primitive("gate")
def step(x: Array) -> Array:
    """1 where x > 0, else 0."""
    return (x > 0).astype(np.float64)


@primitive("gate")
def is_zero(x: Array) -> Array:
    """1 where x = 0, else 0."""
    return (x == 0).astype(np.float64)


@primitive("gate", "limit")
def trunc(x: Array, limit: float) -> Array:
    """x rounded towards zero: a cast to an integer type that holds numbers up to `limit`."""
    del limit
    return np.trunc(x)


# --- composite -------------------------------------------------------------------------------------


@primitive("composite", "axis")
def softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@primitive("composite", "axis")
def log_softmax(x: Array, axis: int) -> Array:
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


@primitive("composite", "axes")
def reduce_max(x: Array, axes: Shape) -> Array:
    """Maximum over `axes`, which disappear."""
    return x.max(axis=axes)


# --- discrete --------------------------------------------------------------------------------------


@primitive("discrete", "axis")
def lookup(table: Array, indices: Array, axis: int) -> Array:
    """Rows of a constant `table` at computed integer `indices` (an embedding of an integer input)."""
    return np.take(table, indices.astype(np.int64), axis=axis)


@primitive("discrete")
def where(condition: Array, x: Array, y: Array) -> Array:
    """`x` where `condition` is non-zero; a constant condition makes it linear in x and y."""
    return np.where(condition != 0, x, y)


@primitive("discrete")
def less(x: Array, y: Array) -> Array:
    return (x < y).astype(np.float64)


@primitive("discrete")
def equal(x: Array, y: Array) -> Array:
    return (x == y).astype(np.float64)
