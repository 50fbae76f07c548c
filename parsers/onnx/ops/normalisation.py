"""Normalisation: by stored statistics (affine) or by the statistics of the value itself.

Bounds that know c_i and d = √(Σ c_j²/n + ε) apart do not see that c_i / d is never large, so limits that
never bind say it. Over the reals

    d ≥ √ε,   |c_i / d| ≤ √n  since c_i² ≤ Σ c_j²,   and ≤ √(n − 1) if Σ c_j = 0,

the last by c_i² = (Σ_{j≠i} c_j)² ≤ (n − 1)(Σ c_j² − c_i²). They are moved outwards so as not to bind in
float32 either, u = 2⁻²⁴:

Squares of the c_j as they are sum up to a relative error γ_{n+1} in any order, and ε, root and quotient add a
few roundings: √n becomes √n·(1 + (n + 8)·u). The sum is not negative, so d ≥ √ε·(1 − 2u). What underflows is
lost beside ε ≥ `LEAST_EPSILON`.

Centred c_j = x_j − m lose digits to a large m, and with them their sum is no longer 0. Let s be their root
mean square over the reals, and let the evaluation err by at most E = K·max|x|, K = (2n + 8)·u, in each c_j
and in s. That is so where m is taken off before squaring (γ_n for m, three roundings more for a c_j; s
moves no further than the c_j, and by γ_{n+2}·s), with room for the m that the limit reads; the tests search
onnxruntime's kernels for more. As max|x| ≤ |m| + √(n − 1)·s, E ≤ K·|m| + κ·s with κ = K·√(n − 1), and for t
= s − E

    |c_i / d| ≤ (√(n − 1)·s + E) / √(max(t, 0)² + ε)
              ≤ (L·(t + K·|m|) + K·|m|) / √(max(t, 0)² + ε),   L = (√(n − 1) + κ) / (1 − κ),
              ≤ L + (L + 1)·K·|m| / √ε.

Variances taken as mean(x²) − m² err by more, and their quotients have no limit.
"""

from __future__ import annotations

import math

import numpy as np

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Val, constant
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op

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


def standardised(b: Builder, x: Val, axes: list[int], epsilon: float) -> tuple[Val, Val, Val]:
    """y = (x − m) / d over `axes`, with m the mean and d = √(mean((x − m)²) + ε); returns y, m, d.

    With the limits above, for evaluations that centre before they square.
    """
    n = math.prod(x.shape[a] for a in axes)
    mean = _mean(b, x, axes)
    centred = b.sub(x, mean)
    deviation = _root_mean_square(b, centred, axes, epsilon)
    y = b.div(centred, deviation)
    loss = (2 * n + 8) * _UNIT
    root = math.sqrt(max(n - 1, 1))
    if epsilon < LEAST_EPSILON or loss * root > 0.25:
        return y, mean, deviation
    least = (root + loss * root) / (1 - loss * root)
    rate = (least + 1) * loss / math.sqrt(epsilon)
    margin = 1 + 8 * _UNIT
    limit = b.mul(b.emit("abs", mean), b.number(rate * margin, x))
    limit = b.add(limit, b.number(least * margin, x))
    return b.emit("max", b.emit("min", y, limit), b.neg(limit)), mean, deviation


def _mean(b: Builder, x: Val, axes: list[int]) -> Val:
    """Over `axes`, which stay with size 1."""
    kept = [1 if k in axes else n for k, n in enumerate(x.shape)]
    n = math.prod(x.shape[a] for a in axes)
    return b.reshape(b.div(b.sum(x, axes), b.number(n, x)), kept)


def _root_mean_square(b: Builder, c: Val, axes: list[int], epsilon: float) -> Val:
    """d = √(mean(c²) + ε) over `axes`, which stay with size 1."""
    mean = _mean(b, b.emit("pow", c, exponent=2.0), axes)
    d = b.emit("sqrt", b.add(mean, b.number(epsilon, c)))
    if epsilon < LEAST_EPSILON:
        return d
    return b.emit("clip", d, low=math.sqrt(epsilon) * (1 - 8 * _UNIT), high=float(np.finfo(np.float32).max))


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

    The standard defines the variance as mean(x²) − m², and so does onnxruntime evaluate it. It is read as it
    is computed, so that the model of rounding sees what cancels there; there are no limits.
    """
    b, x = op.b, op[0]
    groups, epsilon = op.require("num_groups", int), op.get_attr("epsilon", _EPSILON)
    op.get_attr("stash_type", 1)
    C = x.shape[1]
    grouped = b.reshape(x, (x.shape[0], groups, C // groups, *x.shape[2:]))
    axes = list(range(2, len(grouped.shape)))
    mean, square = _mean(b, grouped, axes), _mean(b, b.emit("pow", grouped, exponent=2.0), axes)
    variance = b.sub(square, b.emit("pow", mean, exponent=2.0))
    y = b.div(b.sub(grouped, mean), b.emit("sqrt", b.add(variance, b.number(epsilon, x))))
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
    epsilon, n = op.get_attr("epsilon", _EPSILON), math.prod(x.shape[axis:])
    y = b.div(x, _root_mean_square(b, x, axes, epsilon))
    if epsilon >= LEAST_EPSILON:
        limit = math.sqrt(n) * (1 + (n + 8) * _UNIT)
        y = b.emit("clip", y, low=-limit, high=limit)
    return b.mul(y, op[1])
