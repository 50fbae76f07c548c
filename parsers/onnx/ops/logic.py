"""Comparisons, logic and selection. Truth is 1, falsehood 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from parsers.onnx.building.values import Const, Val, constant
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op


def known(*values: Val) -> list[np.ndarray] | None:
    """The numbers of all values, if all are known."""
    arrays = [v.array for v in values if isinstance(v, Const)]
    return arrays if len(arrays) == len(values) else None


def compare(op: Call, x: Val, y: Val, exact: Callable[..., np.ndarray], primitive: str) -> Val:
    """A comparison as numpy does it where both sides are known, else as a primitive."""
    arrays = known(x, y)
    if arrays is not None:
        return constant(exact(*arrays), "bool")
    return op.b.emit(primitive, x, y, dtype="bool")


def negate(op: Call, x: Val) -> Val:
    """1 − x"""
    if isinstance(x, Const):
        return constant(np.logical_not(x.array), "bool")
    return op.b.emit("sub", constant(np.asarray(1.0), "float64"), x, dtype="bool")


@onnx_op("Equal", newest=19)
def equal(op: Call) -> Val:
    return compare(op, op[0], op[1], np.equal, "equal")


@onnx_op("Less", newest=13)
def less(op: Call) -> Val:
    return compare(op, op[0], op[1], np.less, "less")


@onnx_op("Greater", newest=13)
def greater(op: Call) -> Val:
    return compare(op, op[1], op[0], np.less, "less")


@onnx_op("LessOrEqual", newest=16)
def less_or_equal(op: Call) -> Val:
    return negate(op, compare(op, op[1], op[0], np.less, "less"))


@onnx_op("GreaterOrEqual", newest=16)
def greater_or_equal(op: Call) -> Val:
    return negate(op, compare(op, op[0], op[1], np.less, "less"))


@onnx_op("Not", newest=1)
def not_(op: Call) -> Val:
    return negate(op, op[0])


@onnx_op("And", newest=7)
def and_(op: Call) -> Val:
    arrays = known(op[0], op[1])
    if arrays is not None:
        return constant(np.logical_and(*arrays), "bool")
    return op.b.emit("mul", op[0], op[1], dtype="bool")


@onnx_op("Or", newest=7)
def or_(op: Call) -> Val:
    """¬(¬x ∧ ¬y)"""
    arrays = known(op[0], op[1])
    if arrays is not None:
        return constant(np.logical_or(*arrays), "bool")
    return negate(op, op.b.emit("mul", negate(op, op[0]), negate(op, op[1]), dtype="bool"))


@onnx_op("Xor", newest=7)
def xor(op: Call) -> Val:
    arrays = known(op[0], op[1])
    if arrays is None:
        raise Unsupported("an exclusive or of computed values", "write it with And, Or and Not")
    return constant(np.logical_xor(*arrays), "bool")


@onnx_op("IsNaN", newest=20)
def is_nan(op: Call) -> Val:
    """False of everything computed: values are finite reals."""
    x = op[0]
    return constant(np.isnan(x.array) if isinstance(x, Const) else np.zeros(x.shape, dtype=bool), "bool")


@onnx_op("Where", newest=16)
def where(op: Call) -> Val:
    return op.b.emit("where", op[0], op[1], op[2])
