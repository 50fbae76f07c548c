"""Rewrites applied while a node is emitted: identities that cost nothing to see and save a bound's width.

Each rule looks at one primitive and its operands and returns a simpler value, or None. All are
identities over the reals. A rule never changes a shape or drops an input that matters.
"""

from __future__ import annotations

import numpy as np

from parsers.onnx.building.builder import Attributes, Builder, Rule
from parsers.onnx.building.rules import RuleTable
from parsers.onnx.building.values import Const, Val, constant
from parsers.primitives import PRIMITIVES

ALGEBRA = RuleTable()
rule = ALGEBRA.rule


def is_all(value: Val, number: float) -> bool:
    """Is `value` a constant with every entry equal to `number`?"""
    return isinstance(value, Const) and value.array.size > 0 and bool(np.all(value.array == number))


def _kept(x: Val, *others: Val) -> Val | None:
    """`x`, when broadcasting with `others` leaves its shape alone."""
    return x if np.broadcast_shapes(x.shape, *(o.shape for o in others)) == x.shape else None


# --- neutral elements -------------------------------------------------------------------------------


def without_neutral(op: str, neutral: float, commutative: bool) -> Rule:
    """x + 0 = x − 0 = x · 1 = x / 1 = x"""

    def simpler(_b: Builder, inputs: tuple[Val, ...], _attributes: Attributes) -> Val | None:
        x, y = inputs
        if is_all(y, neutral):
            return _kept(x, y)
        return _kept(y, x) if commutative and is_all(x, neutral) else None

    return rule(op)(simpler)


for _op, _row in PRIMITIVES.items():
    if _row.neutral is not None:
        without_neutral(_op, _row.neutral, _row.commutative)


@rule("mul")
def mul_zero(_b: Builder, inputs: tuple[Val, ...], _attributes: Attributes) -> Val | None:
    """x · 0 = 0: values are finite reals."""
    if not any(is_all(x, 0) for x in inputs):
        return None
    return constant(np.zeros(np.broadcast_shapes(*(x.shape for x in inputs))), inputs[0].dtype)


@rule("matmul")
def matmul_zero(_b: Builder, inputs: tuple[Val, ...], _attributes: Attributes) -> Val | None:
    if not any(is_all(x, 0) for x in inputs):
        return None
    x, y = (np.broadcast_to(np.zeros(()), v.shape) for v in inputs)
    return constant(np.zeros(np.matmul(x, y).shape), inputs[0].dtype)


@rule("neg")
def neg_neg(b: Builder, inputs: tuple[Val, ...], _attributes: Attributes) -> Val | None:
    node = b.producer(inputs[0])
    return b.operands(node)[0] if node is not None and node.op == "neg" else None


# --- moves that move nothing --------------------------------------------------------------------------


@rule("reshape", "expand")
def same_shape(_b: Builder, inputs: tuple[Val, ...], attributes: Attributes) -> Val | None:
    return inputs[0] if inputs[0].shape == attributes["shape"] else None


@rule("reshape")
def reshape_twice(b: Builder, inputs: tuple[Val, ...], attributes: Attributes) -> Val | None:
    node = b.producer(inputs[0])
    if node is None or node.op != "reshape":
        return None
    return b.emit("reshape", b.operands(node)[0], **attributes)


@rule("transpose")
def transpose_nothing(b: Builder, inputs: tuple[Val, ...], attributes: Attributes) -> Val | None:
    perm = attributes["perm"]
    if perm == tuple(range(len(perm))):
        return inputs[0]
    node = b.producer(inputs[0])
    if node is None or node.op != "transpose":
        return None
    first = node.attributes["perm"]
    return b.transpose(b.operands(node)[0], [first[k] for k in perm])


@rule("slice")
def slice_all(_b: Builder, inputs: tuple[Val, ...], attributes: Attributes) -> Val | None:
    size = inputs[0].shape[attributes["axis"]]
    whole = attributes["start"] == 0 and attributes["stop"] == size and attributes["step"] == 1
    return inputs[0] if whole else None


@rule("take")
def take_all(b: Builder, inputs: tuple[Val, ...], attributes: Attributes) -> Val | None:
    """All entries of an axis in order; or two picks along one axis as one."""
    indices, axis = np.asarray(attributes["indices"]), attributes["axis"]
    if indices.ndim == 1 and np.array_equal(indices, np.arange(inputs[0].shape[axis])):
        return inputs[0]
    node = b.producer(inputs[0])
    if node is None or node.op not in ("take", "slice") or node.attributes["axis"] != axis:
        return None
    if node.op == "slice":
        start, step = node.attributes["start"], node.attributes["step"]
        return b.take(b.operands(node)[0], start + step * indices, axis)
    first = np.asarray(node.attributes["indices"])
    return b.take(b.operands(node)[0], first[indices], axis) if first.ndim == 1 else None


@rule("concat")
def concat_one(b: Builder, inputs: tuple[Val, ...], attributes: Attributes) -> Val | None:
    axis = attributes["axis"]
    parts = [x for x in inputs if x.shape[axis] > 0]
    if len(parts) == len(inputs):
        return inputs[0] if len(inputs) == 1 else None
    return b.concat(parts, axis)


@rule("pad")
def pad_nothing(_b: Builder, inputs: tuple[Val, ...], attributes: Attributes) -> Val | None:
    pads = attributes["pads"]
    return inputs[0] if all(p == (0, 0) for p in pads) else None


@rule("sum", "reduce_max")
def reduce_nothing(_b: Builder, inputs: tuple[Val, ...], attributes: Attributes) -> Val | None:
    return inputs[0] if attributes["axes"] == () else None
