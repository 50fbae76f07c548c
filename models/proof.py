"""Affine arithmetic through the recurrent layer of a shipped file: an independent proof of a query's `unsat`.

Deliberately plain and apart from the verifier: weights come straight from the ONNX nodes and nothing is
substituted backwards. A vector is centre + Σ ε_k·generator_k with every ε_k in [−1, 1] (Comba and Stolfi
1993); each gate adds one fresh symbol a unit for its own error. float64 without outward rounding, so only
margins far above 1e-6 mean anything. Gate equations and orders are those of the ONNX operators RNN (tanh),
LSTM (iofc) and GRU (zrh, linear_before_reset = 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from scipy.special import expit

Array = np.ndarray


@dataclass(frozen=True)
class Weights:
    """One recurrent node and the linear layer after its last state. W (g·H, d), R (g·H, H), biases (g·H,)."""

    op: str
    W: Array
    R: Array
    Wb: Array
    Rb: Array
    head: Array
    bias: Array


def read(path: Path) -> Weights:
    """The single forward recurrent node of the file and its Gemm."""
    graph = onnx.load(path).graph
    constants = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in graph.initializer}
    (core,) = [node for node in graph.node if node.op_type in ("RNN", "LSTM", "GRU")]
    (head,) = [node for node in graph.node if node.op_type == "Gemm"]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in core.attribute}
    plain = {"activations": [b"Tanh"] * (core.op_type == "RNN"), "linear_before_reset": 1}
    strange = {k: v for k, v in attributes.items() if k != "hidden_size" and v != plain.get(k)}
    if strange or (core.op_type == "GRU" and "linear_before_reset" not in attributes):
        raise ValueError(f"{path.name}: attributes this script does not know: {strange}")
    W, R, B = (constants[name][0] for name in core.input[1:4])
    transposed = any(a.name == "transB" and a.i for a in head.attribute)
    matrix = constants[head.input[1]] if transposed else constants[head.input[1]].T
    Wb, Rb = np.split(B, 2)
    return Weights(core.op_type, W, R, Wb, Rb, matrix, constants[head.input[2]])


class Form:
    """An affine vector: `centre` (n,) and `generators` (k, n), one row a symbol; rows not there are zero."""

    def __init__(self, centre: Array, generators: Array) -> None:
        self.centre, self.generators = centre, generators

    @property
    def radius(self) -> Array:
        return np.abs(self.generators).sum(axis=0)

    def __add__(self, other: Form) -> Form:
        long, short = sorted((self.generators, other.generators), key=len, reverse=True)
        generators = long.copy()
        generators[: len(short)] += short
        return Form(self.centre + other.centre, generators)

    def scaled(self, factor: Array) -> Form:
        return Form(self.centre * factor, self.generators * factor)

    def linear(self, A: Array, bias: Array | float = 0.0) -> Form:
        return Form(A @ self.centre + bias, self.generators @ A.T)

    def split(self, count: int) -> list[Form]:
        pairs = zip(np.split(self.centre, count), np.split(self.generators, count, axis=1), strict=True)
        return [Form(*pair) for pair in pairs]


class Symbols:
    """Hands out fresh error symbols, so that no two errors share a row."""

    def __init__(self) -> None:
        self.count = 0

    def with_error(self, form: Form, error: Array) -> Form:
        """`form` plus an independent error of at most `error` (n,) in each entry."""
        generators = np.zeros((self.count + len(error), len(error)))
        generators[: len(form.generators)] = form.generators
        generators[self.count :] = np.diag(error)
        self.count += len(error)
        return Form(form.centre, generators)

    def times(self, a: Form, b: Form) -> Form:
        """a·b: both first-order terms exactly, the second-order one as an error rad(a)·rad(b)."""
        first_order = a.scaled(b.centre) + b.scaled(a.centre)
        product = Form(a.centre * b.centre, first_order.generators)
        return self.with_error(product, a.radius * b.radius)

    def gate(self, function: Callable[[Array], Array], slope: Callable[[Array], Array], a: Form) -> Form:
        """f(a) for f = σ or tanh on [l, u]: f' has its minimum λ at an end, so f − λ·a is increasing and lies
        between its values at l and u."""
        l, u = a.centre - a.radius, a.centre + a.radius
        lam = np.minimum(slope(l), slope(u))
        low, high = function(l) - lam * l, function(u) - lam * u
        line = Form(lam * a.centre + (low + high) / 2, a.generators * lam)
        return self.with_error(line, (high - low) / 2)

    def sigmoid(self, a: Form) -> Form:
        return self.gate(expit, lambda x: expit(x) * expit(-x), a)

    def tanh(self, a: Form) -> Form:
        return self.gate(np.tanh, lambda x: 1 - np.tanh(x) ** 2, a)


def lstm_step(s: Symbols, w: Weights, x: Form, h: Form, c: Form) -> tuple[Form, Form]:
    i, o, f, g = (x.linear(w.W, w.Wb + w.Rb) + h.linear(w.R)).split(4)
    c = s.times(s.sigmoid(f), c) + s.times(s.sigmoid(i), s.tanh(g))
    return s.times(s.sigmoid(o), s.tanh(c)), c


def gru_step(s: Symbols, w: Weights, x: Form, h: Form) -> Form:
    (zx, rx, nx), (zh, rh, nh) = x.linear(w.W, w.Wb).split(3), h.linear(w.R, w.Rb).split(3)
    z, r = s.sigmoid(zx + zh), s.sigmoid(rx + rh)
    n = s.tanh(nx + s.times(r, nh))
    return n + s.times(z, h + n.scaled(np.array(-1.0)))  # (1 − z)·n + z·h


def differences(w: Weights, lower: Array, upper: Array, label: int) -> Array:
    """Upper bounds of logit_j − logit_label for every j (0 at the label), over the box (time, features)."""
    s = Symbols()
    h = c = Form(np.zeros(w.R.shape[1]), np.zeros((0, w.R.shape[1])))
    for l, u in zip(lower.astype(np.float64), upper.astype(np.float64), strict=True):
        x = s.with_error(Form((l + u) / 2, np.zeros((0, len(l)))), (u - l) / 2)
        if w.op == "LSTM":
            h, c = lstm_step(s, w, x, h, c)
        elif w.op == "GRU":
            h = gru_step(s, w, x, h)
        else:
            h = s.tanh(x.linear(w.W, w.Wb + w.Rb) + h.linear(w.R))
    logits = h.linear(w.head - w.head[label], w.bias - w.bias[label])
    return logits.centre + logits.radius
