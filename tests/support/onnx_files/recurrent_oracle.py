"""LSTM, GRU and RNN of the ONNX standard in plain numpy loops, written apart from the reader.

Follows https://onnx.ai/onnx/operators/ gate by gate, one batch element and one step at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def functions(names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]) -> list[Function]:
    a, b = list(alphas), list(betas)

    def pop(values: list[float], default: float) -> float:
        return values.pop(0) if values else default

    made: list[Function] = []
    for name in (n.lower() for n in names):
        if name == "sigmoid":
            made.append(sigmoid)
        elif name == "tanh":
            made.append(np.tanh)
        elif name == "relu":
            made.append(lambda x: np.maximum(x, 0))
        elif name == "softsign":
            made.append(lambda x: x / (1 + np.abs(x)))
        elif name == "softplus":
            made.append(lambda x: np.log1p(np.exp(x)))
        elif name == "leakyrelu":
            made.append(lambda x, a=pop(a, float(np.float32(0.01))): np.where(x >= 0, x, a * x))
        elif name == "thresholdedrelu":
            made.append(lambda x, a=pop(a, 1.0): np.where(x > a, x, 0))
        elif name == "elu":
            made.append(lambda x, a=pop(a, 1.0): np.where(x >= 0, x, a * (np.exp(x) - 1)))
        elif name == "hardsigmoid":
            made.append(lambda x, a=pop(a, float(np.float32(0.2))), b=pop(b, 0.5): np.clip(a * x + b, 0, 1))
        elif name == "scaledtanh":
            made.append(lambda x, a=pop(a, 1.0), b=pop(b, 1.0): a * np.tanh(b * x))
        elif name == "affine":
            made.append(lambda x, a=pop(a, 1.0), b=pop(b, 0.0): a * x + b)
        else:
            raise AssertionError(name)
    return made


def _as_stored(value: Any) -> Any:
    """An ONNX file keeps float attributes in float32."""
    if isinstance(value, list):
        return [_as_stored(v) for v in value]
    return float(np.float32(value)) if isinstance(value, float) else value


def run(op: str, x: np.ndarray, w: Mapping[str, np.ndarray], **attributes: Any) -> dict[str, np.ndarray]:
    """All outputs of one node in float64; `w` holds W, R and what else the node is given."""
    attributes = {k: _as_stored(v) for k, v in attributes.items()}
    w = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in w.items()}
    x = x.astype(np.float64)
    batch_first = attributes.get("layout", 0) == 1
    if batch_first:
        x = x.transpose(1, 0, 2)
        w = {k: v.transpose(1, 0, 2) if k in ("h0", "c0") else v for k, v in w.items()}
    T, B, _ = x.shape
    direction = attributes.get("direction", "forward")
    D, H = (2 if direction == "bidirectional" else 1), w["R"].shape[2]
    default = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}[op]
    acts = functions(
        attributes.get("activations", default * D),
        attributes.get("activation_alpha", []),
        attributes.get("activation_beta", []),
    )
    lens = w.get("lens", np.full(B, T))
    Y, Yh, Yc = np.zeros((T, D, B, H)), np.zeros((D, B, H)), np.zeros((D, B, H))
    for d in range(D):
        f = acts[d * len(default) : (d + 1) * len(default)]
        backward = direction == "reverse" or d == 1
        for b in range(B):
            h = w["h0"][d, b] if "h0" in w else np.zeros(H)
            c = w["c0"][d, b] if "c0" in w else np.zeros(H)
            steps = range(int(lens[b]))
            for t in reversed(steps) if backward else steps:
                h, c = step(op, x[t, b], h, c, {k: v[d] for k, v in w.items() if k in "WRBP"}, f, attributes)
                Y[t, d, b] = h
            Yh[d, b], Yc[d, b] = h, c
    if batch_first:
        Y, Yh, Yc = Y.transpose(2, 0, 1, 3), Yh.transpose(1, 0, 2), Yc.transpose(1, 0, 2)
    return {"Y": Y, "Y_h": Yh, "Y_c": Yc}


def step(
    op: str,
    x: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    w: Mapping[str, np.ndarray],
    f: Sequence[Function],
    attributes: Mapping[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    H = len(h)
    gates = w["W"].shape[0] // H
    wb, rb = (w["B"].reshape(2, gates, H)) if "B" in w else np.zeros((2, gates, H))
    W, R = w["W"].reshape(gates, H, -1), w["R"].reshape(gates, H, H)
    p = w["P"].reshape(3, H) if "P" in w else np.zeros((3, H))
    limit = attributes.get("clip")

    def clip(a: np.ndarray) -> np.ndarray:
        return a if limit is None else np.clip(a, -limit, limit)

    if op == "RNN":
        return f[0](clip(W[0] @ x + R[0] @ h + wb[0] + rb[0])), c
    if op == "GRU":
        z = f[0](clip(W[0] @ x + R[0] @ h + wb[0] + rb[0]))
        r = f[0](clip(W[1] @ x + R[1] @ h + wb[1] + rb[1]))
        if attributes.get("linear_before_reset", 0):
            n = f[1](clip(W[2] @ x + r * (R[2] @ h + rb[2]) + wb[2]))
        else:
            n = f[1](clip(W[2] @ x + R[2] @ (r * h) + rb[2] + wb[2]))
        return (1 - z) * n + z * h, c
    i = f[0](clip(W[0] @ x + R[0] @ h + p[0] * c + wb[0] + rb[0]))
    g = f[1](clip(W[3] @ x + R[3] @ h + wb[3] + rb[3]))
    forget = (
        1 - i
        if attributes.get("input_forget", 0)
        else f[0](clip(W[2] @ x + R[2] @ h + p[2] * c + wb[2] + rb[2]))
    )
    c = forget * c + i * g
    o = f[0](clip(W[1] @ x + R[1] @ h + p[1] * c + wb[1] + rb[1]))
    return o * f[2](c), c
