"""Elementwise functions of one value."""

from __future__ import annotations

import math

import numpy as np

from parsers.onnx.building.values import Val, constant
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op


def plain(name: str, newest: int, primitive: str) -> None:
    """Register an operator that is one primitive without attributes."""

    @onnx_op(name, newest)
    def read(op: Call) -> Val:
        return op.b.emit(primitive, op[0])


for _name, _newest, _primitive in (
    ("Relu", 14, "relu"),
    ("Tanh", 13, "tanh"),
    ("Sigmoid", 13, "sigmoid"),
    ("Softplus", 22, "softplus"),
    ("Softsign", 22, "softsign"),
    ("HardSwish", 22, "hard_swish"),
    ("Mish", 22, "mish"),
    ("Erf", 13, "erf"),
    ("Exp", 13, "exp"),
    ("Log", 13, "log"),
    ("Sqrt", 13, "sqrt"),
    ("Reciprocal", 13, "reciprocal"),
    ("Abs", 13, "abs"),
    ("Sin", 22, "sin"),
    ("Cos", 22, "cos"),
):
    plain(_name, _newest, _primitive)


@onnx_op("LeakyRelu", newest=16)
def leaky_relu(op: Call) -> Val:
    return op.b.emit("leaky_relu", op[0], alpha=op.get_attr("alpha", float(np.float32(0.01))))


@onnx_op("ThresholdedRelu", newest=22)
def thresholded_relu(op: Call) -> Val:
    return op.b.emit("thresholded_relu", op[0], alpha=op.get_attr("alpha", 1.0))


@onnx_op("Elu", newest=22)
def elu(op: Call) -> Val:
    return op.b.emit("elu", op[0], alpha=op.get_attr("alpha", 1.0))


@onnx_op("Celu", newest=28)
def celu(op: Call) -> Val:
    return op.b.emit("celu", op[0], alpha=op.get_attr("alpha", 1.0))


@onnx_op("Selu", newest=22)
def selu(op: Call) -> Val:
    alpha = op.get_attr("alpha", float(np.float32(1.67326319217681884765625)))
    gamma = op.get_attr("gamma", float(np.float32(1.05070102214813232421875)))
    return op.b.emit("selu", op[0], alpha=alpha, gamma=gamma)


@onnx_op("HardSigmoid", newest=22)
def hard_sigmoid(op: Call) -> Val:
    alpha, beta = op.get_attr("alpha", float(np.float32(0.2))), op.get_attr("beta", 0.5)
    return op.b.emit("hard_sigmoid", op[0], alpha=alpha, beta=beta)


@onnx_op("PRelu", newest=16)
def prelu(op: Call) -> Val:
    """max(x, 0) + slope · min(x, 0)"""
    x, slope = op[0], op[1]
    below = op.b.neg(op.b.emit("relu", op.b.neg(x)))
    return op.b.add(op.b.emit("relu", x), op.b.mul(below, slope))


@onnx_op("Gelu", newest=20)
def gelu(op: Call) -> Val:
    """x · (1 + erf(x/√2))/2, or the tanh form"""
    b, x = op.b, op[0]
    half = b.number(0.5, x)
    if op.get_attr("approximate", "none") == "tanh":
        cubic = b.mul(b.emit("pow", x, exponent=3.0), b.number(0.044715, x))
        inner = b.emit("tanh", b.mul(b.add(x, cubic), b.number(math.sqrt(2 / math.pi), x)))
    else:
        inner = b.emit("erf", b.mul(x, b.number(math.sqrt(0.5), x)))
    return b.mul(x, b.add(b.mul(inner, half), half))


@onnx_op("Swish", newest=24)
def swish(op: Call) -> Val:
    """x · σ(αx)"""
    b, x = op.b, op[0]
    return b.mul(b.emit("sigmoid", b.mul(x, b.number(op.get_attr("alpha", 1.0), x))), x)


@onnx_op("Sign", newest=13)
def sign(op: Call) -> Val:
    return constant(np.sign(op.known(0, "the number whose sign is taken")), op[0].dtype)
