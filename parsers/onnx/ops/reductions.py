"""Reductions over axes."""

from __future__ import annotations

import numpy as np

from parsers.onnx.building.values import Const, Val, constant, is_float
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op


def reduced_axes(op: Call, as_input_since: int) -> list[int]:
    """Axes to reduce: attribute or input by opset; none means all, or none with `noop_with_empty_axes`."""
    rank = len(op[0].shape)
    if op.opset < as_input_since:
        axes = op.get_attr("axes", [])
        empty_is_all = True
    else:
        axes = [] if op.get(1) is None else op.integers(1, "axes")
        empty_is_all = not op.get_attr("noop_with_empty_axes", 0)
    if not axes:
        return list(range(rank)) if empty_is_all else []
    return sorted({op.axis(a, rank) for a in axes})


def keep(op: Call, x: Val, shape: tuple[int, ...], axes: list[int]) -> Val:
    """Put reduced axes back as ones where `keepdims` asks for them."""
    if not op.get_attr("keepdims", 1):
        return x
    return op.b.reshape(x, [1 if k in axes else n for k, n in enumerate(shape)])


def count(x: Val, axes: list[int]) -> int:
    return int(np.prod([x.shape[a] for a in axes]))


@onnx_op("ReduceSum", newest=13)
def reduce_sum(op: Call) -> Val:
    axes = reduced_axes(op, 13)
    return keep(op, op.b.sum(op[0], axes), op[0].shape, axes)


@onnx_op("ReduceMean", newest=18)
def reduce_mean(op: Call) -> Val:
    x, axes = op[0], reduced_axes(op, 18)
    mean = op.b.div(op.b.sum(x, axes), op.b.number(count(x, axes), x))
    return keep(op, mean, x.shape, axes)


@onnx_op("ReduceMax", newest=20)
def reduce_max(op: Call) -> Val:
    axes = reduced_axes(op, 18)
    return keep(op, op.b.emit("reduce_max", op[0], axes=tuple(axes)), op[0].shape, axes)


@onnx_op("ReduceMin", newest=20)
def reduce_min(op: Call) -> Val:
    """−max(−x)"""
    axes = reduced_axes(op, 18)
    return keep(op, op.b.neg(op.b.emit("reduce_max", op.b.neg(op[0]), axes=tuple(axes))), op[0].shape, axes)


@onnx_op("ReduceSumSquare", newest=18)
def reduce_sum_square(op: Call) -> Val:
    axes = reduced_axes(op, 18)
    return keep(op, op.b.sum(op.b.emit("pow", op[0], exponent=2.0), axes), op[0].shape, axes)


@onnx_op("ReduceL2", newest=18)
def reduce_l2(op: Call) -> Val:
    axes = reduced_axes(op, 18)
    total = op.b.sum(op.b.emit("pow", op[0], exponent=2.0), axes)
    return keep(op, op.b.emit("sqrt", total), op[0].shape, axes)


@onnx_op("ReduceL1", newest=18)
def reduce_l1(op: Call) -> Val:
    axes = reduced_axes(op, 18)
    return keep(op, op.b.sum(op.b.emit("abs", op[0]), axes), op[0].shape, axes)


@onnx_op("ReduceProd", newest=18)
def reduce_prod(op: Call) -> Val:
    axes = reduced_axes(op, 18)
    array = op.known(0, "what is multiplied together")
    return keep(op, constant(np.prod(array, axis=tuple(axes)), op[0].dtype), op[0].shape, axes)


@onnx_op("ArgMax", newest=13)
@onnx_op("ArgMin", newest=13)
def arg_extreme(op: Call) -> Val:
    x = op[0]
    if not isinstance(x, Const):
        raise Unsupported(
            "the index of an extreme is not a real function", "take the scores before it as output"
        )
    axis = op.axis(op.get_attr("axis", 0), len(x.shape))
    array = x.array if op.node.op_type == "ArgMax" else -x.array
    if op.get_attr("select_last_index", 0):
        found = array.shape[axis] - 1 - np.flip(array, axis).argmax(axis)
    else:
        found = array.argmax(axis)
    return keep(op, constant(found, "int64"), x.shape, [axis])


@onnx_op("Softmax", newest=13)
@onnx_op("LogSoftmax", newest=13)
def softmax(op: Call) -> Val:
    """Over one axis from opset 13 on; before, over all axes from `axis` on, flattened together."""
    x = op[0]
    primitive = "softmax" if op.node.op_type == "Softmax" else "log_softmax"
    rank = len(x.shape)
    if not is_float(x.dtype):
        raise Unsupported(f"of {x.dtype}", "")
    if op.opset >= 13:
        return op.b.emit(primitive, x, axis=op.axis(op.get_attr("axis", -1), rank))
    axis = op.axis(op.get_attr("axis", 1), rank)
    if axis == rank - 1:
        return op.b.emit(primitive, x, axis=axis)
    rows, columns = int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))
    flat = op.b.emit(primitive, op.b.reshape(x, (rows, columns)), axis=1)
    return op.b.reshape(flat, x.shape)
