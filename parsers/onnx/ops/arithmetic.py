"""Elementwise arithmetic, over the reals."""

from __future__ import annotations

from functools import reduce

import numpy as np

from parsers.onnx.building.values import Const, Val, constant, is_float
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op


@onnx_op("Add", newest=14)
def add(op: Call) -> Val:
    return op.b.add(op[0], op[1])


@onnx_op("Sub", newest=14)
def sub(op: Call) -> Val:
    return op.b.sub(op[0], op[1])


@onnx_op("Mul", newest=14)
def mul(op: Call) -> Val:
    return op.b.mul(op[0], op[1])


@onnx_op("Div", newest=14)
def div(op: Call) -> Val:
    if not is_float(op[0].dtype):
        x, y = op.known(0, "a dividend of integers"), op.known(1, "a divisor of integers")
        return constant(np.trunc(x / y), op[0].dtype)  # towards zero, as the standard says
    return op.b.div(op[0], op[1])


@onnx_op("Mod", newest=28)
def mod(op: Call) -> Val:
    x, y = op.known(0, "a dividend"), op.known(1, "a divisor")
    fmod = op.get_attr("fmod", 0)
    return constant(np.fmod(x, y) if fmod else np.mod(x, y), op[0].dtype)


@onnx_op("Neg", newest=13)
def neg(op: Call) -> Val:
    return op.b.neg(op[0])


@onnx_op("Sum", newest=13)
def sum_(op: Call) -> Val:
    return reduce(op.b.add, op.tensors())


@onnx_op("Mean", newest=13)
def mean(op: Call) -> Val:
    xs = op.tensors()
    return op.b.div(reduce(op.b.add, xs), op.b.number(len(xs), xs[0]))


@onnx_op("Max", newest=13)
def max_(op: Call) -> Val:
    return reduce(lambda x, y: op.b.emit("max", x, y), op.tensors())


@onnx_op("Min", newest=13)
def min_(op: Call) -> Val:
    return reduce(lambda x, y: op.b.emit("min", x, y), op.tensors())


@onnx_op("Pow", newest=15)
def pow_(op: Call) -> Val:
    base, exponent = op[0], op[1]
    shape = np.broadcast_shapes(base.shape, exponent.shape)
    whole = isinstance(exponent, Const) and np.all(exponent.array >= 0) and np.all(exponent.array % 1 == 0)
    if not is_float(base.dtype) and not whole:
        raise Unsupported("a power of integers that is rounded to integers", "cast the base to a float type")
    if isinstance(exponent, Const):
        return _to_constant_powers(op, op.b.expand(base, shape), np.broadcast_to(exponent.array, shape))
    if isinstance(base, Const) and np.all(base.array > 0):
        # bʸ = exp(y·ln b); the logarithm's rounding is one more of the product's, which the engine covers
        logarithm = constant(np.log(np.asarray(base.array, np.float64)), base.dtype)
        return op.b.emit("exp", op.b.mul(op.b.expand(exponent, shape), logarithm))
    raise Unsupported(
        "neither is the exponent constant nor the base a positive constant", "write the power as Exp and Log"
    )


def _to_constant_powers(op: Call, x: Val, exponents: np.ndarray) -> Val:
    """x to `exponents`, entry by entry: entries of one exponent together, then back to their places."""
    values = np.unique(exponents)
    if values.size == 1:
        value = float(values[0])
        return x if value == 1.0 else op.b.emit("pow", x, exponent=value)
    flat = op.b.emit("reshape", x, shape=(exponents.size,))
    places = [np.flatnonzero(exponents.reshape(-1) == value) for value in values]
    parts = [op.b.emit("take", flat, indices=where, axis=0) for where in places]
    powers = [op.b.emit("pow", part, exponent=float(v)) for part, v in zip(parts, values, strict=True)]
    joined = op.b.emit("concat", *powers, axis=0)
    back = np.argsort(np.concatenate(places))
    return op.b.emit("reshape", op.b.emit("take", joined, indices=back, axis=0), shape=exponents.shape)


@onnx_op("Clip", newest=13)
def clip(op: Call) -> Val:
    """Bounds are attributes up to opset 6, inputs from opset 11 on; either may be absent."""
    if op.opset < 11:
        low, high = op.get_attr("min", -np.inf), op.get_attr("max", np.inf)
    else:
        low = -np.inf if op.get(1) is None else float(op.known(1, "the lower limit").reshape(()))
        high = np.inf if op.get(2) is None else float(op.known(2, "the upper limit").reshape(()))
    return clipped(op, op[0], float(low), float(high))


def clipped(op: Call, x: Val, low: float, high: float) -> Val:
    """min(max(x, low), high) with limits as wide as float32 dropped."""
    limit = float(np.finfo(np.float32).max)
    if low <= -limit and high >= limit:
        return x
    if low == 0.0 and high >= limit:
        return op.b.emit("relu", x)
    if low <= -limit:
        return op.b.emit("min", x, op.b.number(high, x))
    if high >= limit:
        return op.b.emit("max", x, op.b.number(low, x))
    return op.b.emit("clip", x, low=low, high=high)


@onnx_op("Floor", newest=13)
def floor(op: Call) -> Val:
    return constant(np.floor(op.known(0, "what is rounded")), op[0].dtype)


@onnx_op("Ceil", newest=13)
def ceil(op: Call) -> Val:
    return constant(np.ceil(op.known(0, "what is rounded")), op[0].dtype)


@onnx_op("CumSum", newest=14)
def cum_sum(op: Call) -> Val:
    """A product with a triangle of ones."""
    x = op[0]
    rank = len(x.shape)
    axis = op.axis(int(op.known(1, "the axis").reshape(())), rank)
    n = x.shape[axis]
    ones = np.triu(np.ones((n, n)), 1 if op.get_attr("exclusive", 0) else 0)
    if op.get_attr("reverse", 0):
        ones = ones[::-1, ::-1]
    perm = [k for k in range(rank) if k != axis] + [axis]
    if isinstance(x, Const) and not is_float(x.dtype):
        return constant(
            np.moveaxis(np.moveaxis(x.array, axis, -1) @ ones.astype(np.int64), -1, axis), x.dtype
        )
    product = op.b.matmul(op.b.transpose(x, perm), constant(ones, x.dtype))
    return op.b.transpose(product, np.argsort(perm))
