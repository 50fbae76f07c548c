"""Normalisation: by stored statistics (affine) or by the statistics of the value itself.

A quotient c_i / d with d = √(Σ c_j²/n + ε) never exceeds √n in size, whatever the c are: c_i² ≤ Σ c_j² =
n·(d² − ε) < n·d². Bounds that know c and d apart do not see that, so two clips that never bind say it:
d ≥ √ε and |c_i / d| ≤ √n, each moved outwards.

They do not bind in floating point either, as long as d is made of the same c_j as the quotient. Sums of
squares err relatively, (Σ c_j²/n)(1 + θ), |θ| ≤ γ_{n+1}, in any order, and ε, the root and the division (or
inverse and product) add four roundings: the quotient is at most √n·(1 + (n + 8)·u), with room to spare, and
d ≥ √ε·(1 − 2u) since the sum is not negative. Squares that underflow are lost beside ε ≥ `LEAST_EPSILON`.
Of centred c_j, whose sum is 0, the quotient is even below √(n − 1) over the reals; but a rounded mean leaves
a sum of its own, and then √n is attained.
"""

from __future__ import annotations

import math

import numpy as np

from parsers.onnx.builder import Builder
from parsers.onnx.call import Call
from parsers.onnx.problems import Unsupported
from parsers.onnx.registry import onnx_op
from parsers.onnx.values import Val, constant

_EPSILON = float(np.float32(1e-5))
_UNIT = 2.0**-24
LEAST_EPSILON = 1e-30


@onnx_op("BatchNormalization", newest=15)
def batch_normalization(op: Call) -> Val:
    """x · s + t with s = scale/√(var + ε), t = bias − mean · s, both known."""
    x = op[0]
    scale, bias, mean, var = (op.known(k, "a statistic") for k in range(1, 5))
    if op.get_attr("training_mode", 0) or op.get_attr("spatial", 1) != 1:
        raise Unsupported("training_mode or spatial=0", "export the model in eval mode")
    if op.has("momentum"):
        op.get_attr("momentum", 0.9)  # used in training only
    if any(op.wants(k) for k in range(1, 5)):
        raise Unsupported("running statistics are outputs", "export the model in eval mode")
    s = scale / np.sqrt(var + op.get_attr("epsilon", _EPSILON))
    along = (1, -1, *[1] * (len(x.shape) - 2))
    shift = constant((bias - mean * s).reshape(along), x.dtype)
    return op.b.add(op.b.mul(x, constant(s.reshape(along), x.dtype)), shift)


def standardised(
    b: Builder, x: Val, axes: list[int], epsilon: float, *, limited: bool = True
) -> tuple[Val, Val, Val]:
    """y = (x − m) / d over `axes`, with m the mean and d = √(mean((x − m)²) + ε); returns y, m, d.

    `limited`: with the clips, which holds for evaluations that centre before they square. Those that take
    mean(x²) − m² lose all digits where the entries are nearly equal, and their quotients have no limit.
    """
    kept = [1 if k in axes else n for k, n in enumerate(x.shape)]
    n = b.number(math.prod(x.shape[a] for a in axes), x)
    mean = b.reshape(b.div(b.sum(x, axes), n), kept)
    y, deviation = _over_root_mean_square(b, b.sub(x, mean), axes, epsilon, limited=limited)
    return y, mean, deviation


def _over_root_mean_square(
    b: Builder, c: Val, axes: list[int], epsilon: float, *, limited: bool
) -> tuple[Val, Val]:
    """c / d and d = √(mean(c²) + ε) over `axes`."""
    kept = [1 if k in axes else n for k, n in enumerate(c.shape)]
    n = math.prod(c.shape[a] for a in axes)
    mean = b.reshape(b.div(b.sum(b.emit("pow", c, exponent=2.0), axes), b.number(n, c)), kept)
    d = b.emit("sqrt", b.add(mean, b.number(epsilon, c)))
    if not limited or epsilon < LEAST_EPSILON:
        return b.div(c, d), d
    d = b.emit("clip", d, low=math.sqrt(epsilon) * (1 - 8 * _UNIT), high=float(np.finfo(np.float32).max))
    limit = math.sqrt(n) * (1 + (n + 8) * _UNIT)
    return b.emit("clip", b.div(c, d), low=-limit, high=limit), d


@onnx_op("LayerNormalization", newest=17)
def layer_normalization(op: Call) -> tuple[Val, ...]:
    b, x = op.b, op[0]
    axis = op.axis(op.get_attr("axis", -1), len(x.shape))
    op.get_attr("stash_type", 1)  # the precision of the statistics; reals here
    y, mean, deviation = standardised(b, x, list(range(axis, len(x.shape))), op.get_attr("epsilon", _EPSILON))
    y = b.mul(y, op[1])
    y = y if op.get(2) is None else b.add(y, op[2])
    return (y, mean, b.div(b.number(1, x), deviation)) if op.wants(1) or op.wants(2) else (y,)


@onnx_op("InstanceNormalization", newest=22)
def instance_normalization(op: Call) -> Val:
    b, x = op.b, op[0]
    along = (1, x.shape[1], *[1] * (len(x.shape) - 2))
    y, _, _ = standardised(b, x, list(range(2, len(x.shape))), op.get_attr("epsilon", _EPSILON))
    return b.add(b.mul(y, b.reshape(op[1], along)), b.reshape(op[2], along))


@onnx_op("GroupNormalization", newest=21)
def group_normalization(op: Call) -> Val:
    """Per group of channels; scale and bias per channel from version 21 on, per group before.

    The standard defines it by mean(x²) − m², and so does onnxruntime evaluate it: no limits.
    """
    b, x = op.b, op[0]
    groups, epsilon = op.require("num_groups", int), op.get_attr("epsilon", _EPSILON)
    op.get_attr("stash_type", 1)
    C = x.shape[1]
    grouped = b.reshape(x, (x.shape[0], groups, C // groups, *x.shape[2:]))
    y, _, _ = standardised(b, grouped, list(range(2, len(grouped.shape))), epsilon, limited=False)
    if op.opset >= 21:
        along = (1, groups, C // groups, *[1] * (len(x.shape) - 2))
    else:
        along = (1, groups, 1, *[1] * (len(x.shape) - 2))
    y = b.add(b.mul(y, b.reshape(op[1], along)), b.reshape(op[2], along))
    return b.reshape(y, x.shape)


@onnx_op("RMSNormalization", newest=23)
def rms_normalization(op: Call) -> Val:
    """x / √(mean(x²) + ε) · scale"""
    b, x = op.b, op[0]
    axis = op.axis(op.get_attr("axis", -1), len(x.shape))
    op.get_attr("stash_type", 1)
    axes = list(range(axis, len(x.shape)))
    y, _ = _over_root_mean_square(b, x, axes, op.get_attr("epsilon", _EPSILON), limited=True)
    return b.mul(y, op[1])
