"""Operators that move entries without changing them: reshape, transpose, expand, squeeze, tile."""

from __future__ import annotations

import numpy as np

from parsers.onnx.building.values import Val
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op


@onnx_op("Reshape", newest=25)
def reshape(op: Call) -> Val:
    """0 copies a dimension (unless `allowzero`), one -1 is worked out."""
    x, wanted = op[0], op.integers(1, "the new shape")
    if not op.get_attr("allowzero", 0):
        wanted = [x.shape[k] if n == 0 else n for k, n in enumerate(wanted)]
    if wanted.count(-1) == 1:
        rest = int(np.prod([n for n in wanted if n != -1]))
        wanted[wanted.index(-1)] = int(np.prod(x.shape)) // max(rest, 1)
    if int(np.prod(wanted)) != int(np.prod(x.shape)):
        raise Unsupported(
            f"{x.shape} does not fit into {tuple(wanted)}",
            "the export fixed a dimension that is bound otherwise",
        )
    return op.b.reshape(x, wanted)


@onnx_op("Flatten", newest=25)
def flatten(op: Call) -> Val:
    x, axis = op[0], op.get_attr("axis", 1)
    axis = axis + len(x.shape) if axis < 0 else axis
    return op.b.reshape(x, (int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))))


@onnx_op("Transpose", newest=25)
def transpose(op: Call) -> Val:
    x = op[0]
    return op.b.transpose(x, op.get_attr("perm", list(range(len(x.shape)))[::-1]))


def axes_of(op: Call, default: list[int]) -> list[int]:
    """`axes`: an attribute up to opset 12, an input from opset 13 on."""
    if op.opset < 13:
        return op.get_attr("axes", default)
    return default if op.get(1) is None else op.integers(1, "axes")


@onnx_op("Squeeze", newest=25)
def squeeze(op: Call) -> Val:
    x = op[0]
    axes = {op.axis(a, len(x.shape)) for a in axes_of(op, [k for k, n in enumerate(x.shape) if n == 1])}
    if any(x.shape[a] != 1 for a in axes):
        raise Unsupported(f"axes {sorted(axes)} of {x.shape} are not of size 1", "bind the dimension to 1")
    return op.b.reshape(x, [n for k, n in enumerate(x.shape) if k not in axes])


@onnx_op("Unsqueeze", newest=25)
def unsqueeze(op: Call) -> Val:
    x, axes = op[0], axes_of(op, [])
    rank = len(x.shape) + len(axes)
    places = {op.axis(a, rank) for a in axes}
    rest = iter(x.shape)
    return op.b.reshape(x, [1 if k in places else next(rest) for k in range(rank)])


@onnx_op("Expand", newest=13)
def expand(op: Call) -> Val:
    x = op[0]
    return op.b.expand(x, np.broadcast_shapes(x.shape, tuple(op.integers(1, "the shape"))))


@onnx_op("Tile", newest=13)
def tile(op: Call) -> Val:
    """A `take` of indices that wrap around, axis by axis."""
    x = op[0]
    for axis, times in enumerate(op.integers(1, "the repeats")):
        if times != 1:
            x = op.b.take(x, np.tile(np.arange(x.shape[axis]), times), axis)
    return x


@onnx_op("Dropout", newest=22)
def dropout(op: Call) -> Val:
    """The identity: a network is certified as it runs, not as it trains."""
    if op.has("ratio"):
        op.get_attr("ratio", 0.5)
    if op.has("seed"):
        op.get_attr("seed", 0)
    op.get(1)
    if op.get(2) is not None and bool(op.known(2, "training_mode").reshape(())):
        raise Unsupported("training_mode is true", "export the model in eval mode")
    if op.wants(1):
        raise Unsupported("the mask is an output", "export the model in eval mode")
    return op[0]
