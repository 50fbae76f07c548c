"""The closed set of primitives, each with its numpy meaning.

One entry a primitive: the function *is* the definition. From it derive shape inference (`infer_shape`),
constant folding and the reader's self-check. `kind` says what a bound needs to know:

    linear       linear in its inputs together, coefficients 0 or 1: moves, copies and sums entries
    additive     linear in both inputs (add, sub, neg)
    bilinear     linear in each input by itself (mul, matmul); affine when all inputs but one are constant
    quotient     linear in the first input
    gate         elementwise nonlinear in one or two inputs
    composite    several units at once (softmax, max over an axis): lowered to gates before bounding
    selection    linear in the second and third input where the first is constant, else lowered to gates
    discrete     comparisons, lowered to gates; rows of a table at computed indices, evaluated only

Whatever else is true of one primitive and not of another stands on its row, and is asked for there: no other
file lists primitives by name to say what they have in common.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
Shape = tuple[int, ...]


ELEMENTWISE = ("additive", "bilinear", "quotient", "gate")


@dataclass(frozen=True, slots=True)
class Primitive:
    """One row of the table `PRIMITIVES`: `function(*inputs, **attributes)` in numpy.

    `attributes`   the names that the function takes, all of them needed.
    `moves`        every entry of the result is an entry of an input, or 0, whatever the entries are.
    `commutative`  op(x, y) = op(y, x).
    `neutral`      the number n with op(x, n) = x, where there is one.
    `keeps_order`  along the attribute `axis` a larger entry stays the larger one.
    `symbol`       how equations write it.
    """

    name: str
    kind: str
    function: Callable[..., Array]
    attributes: tuple[str, ...] = ()
    moves: bool = False
    commutative: bool = False
    neutral: float | None = None
    keeps_order: bool = False
    symbol: str = ""

    @property
    def elementwise(self) -> bool:
        """Does an entry of the result depend on one entry of each input, the one in its place?

        Of selections and comparisons that is true too, but nobody asks it of them: they are lowered first.
        """
        return self.kind in ELEMENTWISE and self.name != "matmul"


PRIMITIVES: dict[str, Primitive] = {}


def row(name: str, kind: str, function: Callable[..., Array], *attributes: str, **properties: Any) -> None:
    """Add a row to the table; `properties` are the remaining fields of `Primitive`."""
    PRIMITIVES[name] = Primitive(name, kind, function, attributes, **{"symbol": name, **properties})


def primitive(
    kind: str, *attributes: str, **properties: Any
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Add the decorated function to the table under its own name (a trailing underscore is dropped)."""

    def register(function: Callable[..., Array]) -> Callable[..., Array]:
        row(function.__name__.rstrip("_"), kind, function, *attributes, **properties)
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
    if PRIMITIVES[op].elementwise:
        return shapes[0] if all(s == shapes[0] for s in shapes) else np.broadcast_shapes(*shapes)
    arrays = [x if isinstance(x, np.ndarray) else np.broadcast_to(np.zeros(()), x) for x in inputs]
    return apply(op, arrays, attributes).shape


def _matmul_shape(a: Shape, b: Shape) -> Shape:
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    if a[-1] != b[-2 if len(b) > 1 else 0]:
        raise ValueError(f"matmul of {a} and {b}")
    return np.broadcast_shapes(a[:-2], b[:-2]) + (rows if len(a) > 1 else ()) + columns


# --- linear: entries moved, copied, summed ---------------------------------------------------------


@primitive("linear", "shape", moves=True)
def reshape(x: Array, shape: Shape) -> Array:
    return x.reshape(shape)


@primitive("linear", "perm", moves=True)
def transpose(x: Array, perm: Shape) -> Array:
    return x.transpose(perm)


@primitive("linear", "axis", "start", "stop", "step", moves=True)
def slice_(x: Array, axis: int, start: int, stop: int, step: int) -> Array:
    """0 ≤ start < stop ≤ size, step ≥ 1; a backward slice is a `take`."""
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


@primitive("linear", "indices", "axis", moves=True)
def take(x: Array, indices: Array, axis: int) -> Array:
    """Constant, non-negative `indices` of any rank (a scalar drops the axis)."""
    return np.take(x, indices, axis=axis)


@primitive("linear", "axis", moves=True)
def concat(*xs: Array, axis: int) -> Array:
    return np.concatenate(xs, axis=axis)


@primitive("linear", "shape", moves=True)
def expand(x: Array, shape: Shape) -> Array:
    """Broadcast to `shape` (the full output shape)."""
    return np.broadcast_to(x, shape)


@primitive("linear", "pads", moves=True)
def pad(x: Array, pads: tuple[tuple[int, int], ...]) -> Array:
    """Zeros around `x`: (before, after) for every axis."""
    return np.pad(x, pads)


@primitive("linear", "axes", symbol="Σ")
def sum_(x: Array, axes: Shape) -> Array:
    """Sum over `axes`, which disappear."""
    return x.sum(axis=axes)


# --- additive, bilinear, quotient -------------------------------------------------------------------

row("add", "additive", np.add, commutative=True, neutral=0.0, symbol="+")
row("sub", "additive", np.subtract, neutral=0.0, symbol="−")
row("neg", "additive", np.negative, symbol="−")
row("mul", "bilinear", np.multiply, commutative=True, neutral=1.0, symbol="⊙")
row("matmul", "bilinear", np.matmul, symbol="·")
row("div", "quotient", np.divide, neutral=1.0, symbol="/")


# --- gates: elementwise ----------------------------------------------------------------------------

row("max", "gate", np.maximum, commutative=True)
row("min", "gate", np.minimum, commutative=True)
row("tanh", "gate", np.tanh)
row("exp", "gate", np.exp)
row("log", "gate", np.log)
row("sqrt", "gate", np.sqrt)
row("abs", "gate", np.abs)
row("sin", "gate", np.sin)
row("cos", "gate", np.cos)


@primitive("gate", symbol="σ")
def sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


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
def reciprocal(x: Array) -> Array:
    return 1.0 / x


@primitive("gate", "exponent")
def pow_(x: Array, exponent: float) -> Array:
    return np.power(x, exponent)


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


@primitive("composite", "axis", keeps_order=True)
def softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@primitive("composite", "axis", keeps_order=True)
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


@primitive("selection")
def where(condition: Array, x: Array, y: Array) -> Array:
    """`x` where `condition` is non-zero; a constant condition makes it linear in x and y."""
    return np.where(condition != 0, x, y)


@primitive("discrete")
def less(x: Array, y: Array) -> Array:
    return (x < y).astype(np.float64)


@primitive("discrete", commutative=True)
def equal(x: Array, y: Array) -> Array:
    return (x == y).astype(np.float64)
