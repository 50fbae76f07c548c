"""Activation functions that the recurrent operators name, with the alpha and beta that each takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Val
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call

Function = Callable[[Builder, Val], Val]


@dataclass(frozen=True, slots=True)
class Activation:
    """`make(b, x, alpha, beta)`; a default of None where the function takes no such number.

    `disputed`: runtimes do not use the standard's default, or it has none, so the numbers must be given.
    """

    make: Callable[[Builder, Val, float, float], Val]
    alpha: float | None = None
    beta: float | None = None
    disputed: bool = False


def scaled_tanh(b: Builder, x: Val, alpha: float, beta: float) -> Val:
    """α·tanh(βx)"""
    return b.mul(b.emit("tanh", b.mul(x, b.number(beta, x))), b.number(alpha, x))


def affine(b: Builder, x: Val, alpha: float, beta: float) -> Val:
    """αx + β"""
    return b.add(b.mul(x, b.number(alpha, x)), b.number(beta, x))


_LEAK, _FIFTH = float(np.float32(0.01)), float(np.float32(0.2))

# Keyed by lower-case name: the standard's names are matched whatever their case.
ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(lambda b, x, _a, _b: b.emit("relu", x)),
    "tanh": Activation(lambda b, x, _a, _b: b.emit("tanh", x)),
    "sigmoid": Activation(lambda b, x, _a, _b: b.emit("sigmoid", x)),
    "softsign": Activation(lambda b, x, _a, _b: b.emit("softsign", x)),
    "softplus": Activation(lambda b, x, _a, _b: b.emit("softplus", x)),
    "leakyrelu": Activation(lambda b, x, a, _b: b.emit("leaky_relu", x, alpha=a), alpha=_LEAK),
    "thresholdedrelu": Activation(
        lambda b, x, a, _b: b.emit("thresholded_relu", x, alpha=a), alpha=1.0, disputed=True
    ),
    "elu": Activation(lambda b, x, a, _b: b.emit("elu", x, alpha=a), alpha=1.0),
    "hardsigmoid": Activation(
        lambda b, x, a, c: b.emit("hard_sigmoid", x, alpha=a, beta=c), alpha=_FIFTH, beta=0.5
    ),
    "scaledtanh": Activation(scaled_tanh, alpha=1.0, beta=1.0, disputed=True),
    "affine": Activation(affine, alpha=1.0, beta=0.0, disputed=True),
}


def activations(op: Call, default: list[str], directions: int) -> list[list[Function]]:
    """The functions of every direction, in the order of the equations (f, g, h).

    `activation_alpha` and `activation_beta` are consumed from left to right, across directions, only by
    functions that take them.
    """
    names = op.get_attr("activations", default * directions)
    alphas, betas = (
        iter(op.get_attr("activation_alpha", [0.0][:0])),
        iter(op.get_attr("activation_beta", [0.0][:0])),
    )
    if len(names) != len(default) * directions:
        raise Unsupported(
            f"{len(names)} activations where {len(default) * directions} are wanted",
            "the model is not valid ONNX",
        )
    functions: list[Function] = []
    for name in names:
        entry = ACTIVATIONS.get(name.lower())
        if entry is None:
            raise Unsupported(f"activation '{name}'", f"known are {', '.join(sorted(ACTIVATIONS))}")
        alpha = 0.0 if entry.alpha is None else next(alphas, None)
        beta = 0.0 if entry.beta is None else next(betas, None)
        if entry.disputed and (alpha is None or beta is None):
            raise Unsupported(
                f"activation '{name}' without its alpha or beta: runtimes disagree on the default",
                "give activation_alpha and activation_beta",
            )
        functions.append(
            _bind(entry, entry.alpha if alpha is None else alpha, entry.beta if beta is None else beta)
        )
    if next(alphas, None) is not None or next(betas, None) is not None:
        raise Unsupported("more alphas or betas than activations that take them", "remove the surplus")
    width = len(default)
    return [functions[k * width : (k + 1) * width] for k in range(directions)]


def _bind(entry: Activation, alpha: float | None, beta: float | None) -> Function:
    return lambda b, x: entry.make(b, x, float(alpha or 0.0), float(beta or 0.0))
