"""Operators that pick, join and pad entries."""

from __future__ import annotations

import numpy as np

from parsers.onnx.building.values import Const, Sequence, Val, constant, is_float
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op


@onnx_op("Concat", newest=13)
def concat(op: Call) -> Val:
    xs = op.tensors()
    return op.b.concat(xs, op.axis(op.require("axis", int), len(xs[0].shape)))


@onnx_op("Slice", newest=13)
def slice_(op: Call) -> Val:
    """`starts:ends:steps` on `axes`: attributes up to opset 9, inputs from opset 10 on."""
    x = op[0]
    if op.opset < 10:
        starts, ends = op.require("starts", list), op.require("ends", list)
        axes, steps = op.get_attr("axes", list(range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = op.integers(1, "starts"), op.integers(2, "ends")
        axes = list(range(len(starts))) if op.get(3) is None else op.integers(3, "axes")
        steps = [1] * len(starts) if op.get(4) is None else op.integers(4, "steps")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = op.axis(axis, len(x.shape))
        x = sliced(op, x, axis, start, end, step)
    return x


def sliced(op: Call, x: Val, axis: int, start: int, end: int, step: int) -> Val:
    chosen = range(x.shape[axis])[start:end:step]  # clamps as the standard does
    if isinstance(x, Const) or not len(chosen) or step < 0:
        return op.b.take(x, np.asarray(chosen, dtype=np.int64), axis)
    return op.b.slice(x, axis, chosen.start, min(chosen[-1] + 1, x.shape[axis]), step)


@onnx_op("Split", newest=18)
def split(op: Call) -> tuple[Val, ...]:
    x = op[0]
    axis = op.axis(op.get_attr("axis", 0), len(x.shape))
    size = x.shape[axis]
    if op.opset < 13:
        sizes = op.get_attr("split", [])
    else:
        sizes = [] if op.get(1) is None else op.integers(1, "the sizes")
    if not sizes:  # equal parts, the last one smaller where it does not divide
        parts = op.get_attr("num_outputs", op.outputs)
        part = -(-size // parts)
        sizes = [part] * (parts - 1) + [size - part * (parts - 1)]
    if sum(sizes) != size:
        raise Unsupported(f"sizes {sizes} do not add up to {size}", "the model is not valid ONNX")
    return tuple(pieces(op, x, axis, sizes))


def pieces(op: Call, x: Val, axis: int, sizes: list[int]) -> list[Val]:
    ends = np.cumsum(sizes)
    return [op.b.slice(x, axis, end - n, end) for end, n in zip(ends, sizes, strict=True)]


@onnx_op("SplitToSequence", newest=24)
def split_to_sequence(op: Call) -> Sequence:
    x = op[0]
    axis = op.axis(op.get_attr("axis", 0), len(x.shape))
    keep = op.get_attr("keepdims", 1)
    size = x.shape[axis]
    if op.get(1) is None:
        parts = pieces(op, x, axis, [1] * size)
        if not keep:
            parts = [op.b.reshape(p, p.shape[:axis] + p.shape[axis + 1 :]) for p in parts]
        return Sequence(tuple(parts))
    sizes = op.integers(1, "the sizes")
    if op[1].shape == ():
        full, rest = divmod(size, sizes[0])
        sizes = [sizes[0]] * full + ([rest] if rest else [])
    return Sequence(tuple(pieces(op, x, axis, sizes)))


@onnx_op("ConcatFromSequence", newest=11)
def concat_from_sequence(op: Call) -> Val:
    items, axis = list(op.sequence(0).items), op.require("axis", int)
    if op.get_attr("new_axis", 0):
        axis = op.axis(axis, len(items[0].shape) + 1)
        items = [op.b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in items]
    return op.b.concat(items, op.axis(axis, len(items[0].shape)))


@onnx_op("Gather", newest=13)
def gather(op: Call) -> Val:
    """Rows at constant indices; or rows of a constant table at computed integers (an embedding)."""
    x, indices = op[0], op[1]
    axis = op.axis(op.get_attr("axis", 0), len(x.shape))
    size = x.shape[axis]
    if isinstance(indices, Const):
        if np.any(indices.array < -size) or np.any(indices.array >= size):
            raise Unsupported(
                f"an index is outside an axis of size {size}", "bind the dimension to its real size"
            )
        return op.b.take(x, np.where(indices.array < 0, indices.array + size, indices.array), axis)
    if isinstance(x, Const) and not is_float(indices.dtype):
        return op.b.emit("lookup", x, indices, dtype=x.dtype, axis=axis)
    raise Unsupported("computed indices pick entries of a computed tensor", "fix the index input to a value")


@onnx_op("GatherElements", newest=13)
def gather_elements(op: Call) -> Val:
    x, indices = op[0], op.known(1, "the index")
    axis = op.axis(op.get_attr("axis", 0), len(x.shape))
    wrapped = np.where(indices < 0, indices + x.shape[axis], indices)
    grid = [wrapped if k == axis else places for k, places in enumerate(np.indices(indices.shape))]
    flat = op.b.reshape(x, (int(np.prod(x.shape)),))
    return op.b.take(flat, np.ravel_multi_index(tuple(grid), x.shape), 0)


@onnx_op("GatherND", newest=13)
def gather_nd(op: Call) -> Val:
    x, indices = op[0], op.known(1, "the index")
    if op.get_attr("batch_dims", 0):
        raise Unsupported("batch_dims is not 0", "export with Gather")
    depth = indices.shape[-1]
    wrapped = tuple(
        np.where(indices[..., k] < 0, indices[..., k] + x.shape[k], indices[..., k]) for k in range(depth)
    )
    flat = op.b.reshape(x, (int(np.prod(x.shape[:depth])), *x.shape[depth:]))
    return op.b.take(flat, np.ravel_multi_index(wrapped, x.shape[:depth]), 0)


@onnx_op("Pad", newest=25)
def pad(op: Call) -> Val:
    """Constant, edge, reflect or wrap padding; negative pads crop."""
    x = op[0]
    rank, mode = len(x.shape), op.get_attr("mode", "constant")
    value = 0.0
    axes = list(range(rank))
    if op.opset < 11:
        amounts, value = op.require("pads", list), op.get_attr("value", 0.0)
    else:
        amounts = op.integers(1, "the pads")
        value = 0.0 if op.get(2) is None else float(op.known(2, "the padding value").reshape(()))
        axes = axes if op.get(3) is None else [op.axis(a, rank) for a in op.integers(3, "axes")]
    pads = [(0, 0)] * rank
    for k, axis in enumerate(axes):
        pads[axis] = (int(amounts[k]), int(amounts[k + len(axes)]))
    for axis, (before, after) in enumerate(pads):  # a negative pad removes entries
        if before < 0 or after < 0:
            x = op.b.slice(x, axis, max(-before, 0), x.shape[axis] - max(-after, 0))
    pads = [(max(p, 0), max(q, 0)) for p, q in pads]
    if mode == "constant":
        padded = op.b.pad(x, pads)
        if value == 0.0 or padded is x:
            return padded
        border = np.pad(np.zeros(x.shape), pads, constant_values=value)
        return op.b.add(padded, constant(border, x.dtype))
    if mode not in ("edge", "reflect", "wrap"):
        raise Unsupported(f"mode '{mode}'", "use constant, edge, reflect or wrap")
    for axis, amount in enumerate(pads):
        if amount != (0, 0):
            x = op.b.take(x, np.pad(np.arange(x.shape[axis]), amount, mode=mode), axis)
    return x


@onnx_op("ReverseSequence", newest=28)
def reverse_sequence(op: Call) -> Val:
    """The first `sequence_lens[i]` time steps of batch element i, backwards; the rest stays."""
    x, lens = op[0], op.integers(1, "sequence_lens")
    time, batch = op.get_attr("time_axis", 0), op.get_attr("batch_axis", 1)
    steps = x.shape[time]
    if len(lens) != x.shape[batch] or any(not 0 <= n <= steps for n in lens):
        raise Unsupported(f"sequence_lens {lens} for {x.shape}", "give 0 … time steps for each batch element")
    orders = [np.concatenate([np.arange(n)[::-1], np.arange(n, steps)]) for n in lens]
    if len(set(lens)) == 1:
        return op.b.take(x, orders[0], time)
    lanes = [op.b.take(op.b.slice(x, batch, k, k + 1), order, time) for k, order in enumerate(orders)]
    return op.b.concat(lanes, batch)
