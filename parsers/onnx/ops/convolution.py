"""Convolution and pooling, as gathered windows: pad, take, then a product, a sum or a maximum.

A window's entries are picked by one `take` over the flattened spatial axes (im2col), so that bounds
need no rule for convolutions: they see moves of entries and a matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from parsers.onnx.building.values import Val, constant
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op


@dataclass(frozen=True, slots=True)
class Windows:
    """Where windows lie on a padded input: `indices` (positions, kernel size) into its flat axes."""

    pads: tuple[tuple[int, int], ...]
    out: tuple[int, ...]
    indices: np.ndarray


def windows(op: Call, spatial: tuple[int, ...], kernel: list[int]) -> Windows:
    """Read strides, dilations and padding of a convolution or pooling node."""
    n = len(spatial)
    strides, dilations = op.get_attr("strides", [1] * n), op.get_attr("dilations", [1] * n)
    auto, ceil = op.get_attr("auto_pad", "NOTSET"), op.get_attr("ceil_mode", 0)
    given = op.get_attr("pads", [0] * (2 * n))
    pads, out = [], []
    for k in range(n):
        reach = (kernel[k] - 1) * dilations[k] + 1
        before, after = given[k], given[k + n]
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            need = max((-(-spatial[k] // strides[k]) - 1) * strides[k] + reach - spatial[k], 0)
            small, large = need // 2, need - need // 2
            before, after = (small, large) if auto == "SAME_UPPER" else (large, small)
        elif auto == "VALID":
            before = after = 0
        elif auto != "NOTSET":
            raise Unsupported(f"auto_pad '{auto}'", "use explicit pads")
        span = spatial[k] + before + after - reach
        size = (-(-span // strides[k]) if ceil else span // strides[k]) + 1
        if ceil and (size - 1) * strides[k] >= spatial[k] + before:
            size -= 1  # a window must start inside the input or its left padding
        if size < 1:
            raise Unsupported("the kernel is larger than the input", "feed a longer input")
        after = max(after, (size - 1) * strides[k] + reach - spatial[k] - before)
        pads.append((before, after))
        out.append(size)
    padded = [s + a + b for s, (a, b) in zip(spatial, pads, strict=True)]
    grid = [
        np.add.outer(np.arange(out[k]) * strides[k], np.arange(kernel[k]) * dilations[k]) for k in range(n)
    ]
    # position (o1, …, on) and kernel entry (k1, …, kn) → flat index
    flat = np.zeros((1, 1), dtype=np.int64)
    for k in range(n):
        step = flat[:, None, :, None] * padded[k] + grid[k][None, :, None, :]
        flat = step.reshape(flat.shape[0] * out[k], flat.shape[1] * kernel[k])
    return Windows(tuple(pads), tuple(out), flat)


def gathered(op: Call, x: Val, w: Windows) -> Val:
    """(N, C, positions, kernel size) from (N, C, …spatial)."""
    b = op.b
    x = b.pad(x, ((0, 0), (0, 0), *w.pads))
    return b.take(b.reshape(x, (*x.shape[:2], math.prod(x.shape[2:]))), w.indices, 2)


@onnx_op("Conv", newest=22)
def conv(op: Call) -> Val:
    return convolution(op, op[0], op[1], op.get(2))


def convolution(op: Call, x: Val, W: Val, bias: Val | None) -> Val:
    """y[n, m, o] = Σ_c,k x[n, c, o·stride + k·dilation] · W[m, c, k] + bias[m], by groups of channels."""
    b = op.b
    N, C = x.shape[:2]
    M, per_group, *kernel = W.shape
    groups = op.get_attr("group", 1)
    if op.get_attr("kernel_shape", list(kernel)) != list(kernel) or per_group * groups != C:
        raise Unsupported(f"kernel {W.shape} does not fit {x.shape}", "the model is not valid ONNX")
    w = windows(op, x.shape[2:], list(kernel))
    columns = gathered(op, x, w)
    P, K = w.indices.shape
    # (N, G, P, C/G · K) times (G, C/G · K, M/G)
    columns = b.reshape(columns, (N, groups, per_group, P, K))
    columns = b.reshape(b.transpose(columns, (0, 1, 3, 2, 4)), (N, groups, P, per_group * K))
    kernels = b.transpose(b.reshape(W, (groups, M // groups, per_group * K)), (0, 2, 1))
    y = b.reshape(b.transpose(b.matmul(columns, kernels), (0, 1, 3, 2)), (N, M, *w.out))
    return y if bias is None else b.add(y, b.reshape(bias, (1, M, *[1] * len(kernel))))


@onnx_op("FusedConv", newest=1, domain="com.microsoft")
def fused_conv(op: Call) -> Val:
    """A convolution, an optional sum and an activation: onnxruntime's own optimiser writes it."""
    b, y = op.b, convolution(op, op[0], op[1], op.get(2))
    if op.get(3) is not None:
        y = b.add(y, op[3])
    name, numbers = op.get_attr("activation", ""), op.get_attr("activation_params", [0.0][:0])
    if name in ("Relu", "Tanh", "Sigmoid"):
        return b.emit(name.lower(), y)
    if name == "LeakyRelu":
        return b.emit("leaky_relu", y, alpha=numbers[0])
    if name == "Clip":
        return b.emit("clip", y, low=numbers[0], high=numbers[1])
    raise Unsupported(f"activation '{name}'", "save the model before onnxruntime's optimisation")


@onnx_op("AveragePool", newest=22)
def average_pool(op: Call) -> Val:
    b, x = op.b, op[0]
    w = windows(op, x.shape[2:], op.require("kernel_shape", list))
    total = b.sum(gathered(op, x, w), (3,))
    if op.get_attr("count_include_pad", 0):
        if op.get_attr("ceil_mode", 0):
            raise Unsupported(
                "ceil_mode together with count_include_pad", "runtimes disagree on it; use floor"
            )
        counts = np.full(w.indices.shape[0], w.indices.shape[1])
    else:
        inside = np.pad(np.ones(x.shape[2:]), w.pads)
        counts = inside.reshape(-1)[w.indices].sum(axis=1)
    return b.reshape(b.div(total, constant(counts.astype(np.float64), x.dtype)), (*x.shape[:2], *w.out))


@onnx_op("MaxPool", newest=22)
def max_pool(op: Call) -> Val:
    """Padding never wins: a window repeats one of its own inner entries in the place of padding."""
    b, x = op.b, op[0]
    if op.wants(1):
        raise Unsupported("the indices are an output", "remove that output")
    op.get_attr("storage_order", 0)  # concerns the indices only
    w = windows(op, x.shape[2:], op.require("kernel_shape", list))
    inside = np.pad(np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:]), w.pads, constant_values=-1)
    entries = inside.reshape(-1)[w.indices]
    entries = np.where(entries < 0, entries.max(axis=1, keepdims=True), entries)
    picked = b.take(b.reshape(x, (*x.shape[:2], math.prod(x.shape[2:]))), entries, 2)
    return b.reshape(b.emit("reduce_max", picked, axes=(3,)), (*x.shape[:2], *w.out))


@onnx_op("GlobalAveragePool", newest=22)
def global_average_pool(op: Call) -> Val:
    b, x = op.b, op[0]
    axes = range(2, len(x.shape))
    mean = b.div(b.sum(x, axes), b.number(math.prod(x.shape[2:]), x))
    return b.reshape(mean, (*x.shape[:2], *[1] * len(axes)))


@onnx_op("GlobalMaxPool", newest=22)
def global_max_pool(op: Call) -> Val:
    b, x = op.b, op[0]
    top = b.emit("reduce_max", x, axes=tuple(range(2, len(x.shape))))
    return b.reshape(top, (*x.shape[:2], *[1] * (len(x.shape) - 2)))
