"""Products w(x)·g(y) of two operands: x·y, the quotient (1/x)·y, and the gates of recurrent cells with any of
ONNX's activations.

σ(x)·tanh(y)      `relaxations.products.sigmoid_tanh`
σ(x)·softsign(y)  `relaxations.products.sigmoid_softsign`
otherwise         `relaxations.products.bilinear`: in closed form where a factor is made of straight lines,
                  as y is
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softsign

from relaxations.curves.curve import INTERVALS, Curve
from relaxations.curves.sigmoid import SIGMOID
from relaxations.curves.softsign import SOFTSIGN
from relaxations.curves.tanh import TANH
from relaxations.gate import WITHIN_4_ULP, Gate, Support, register
from relaxations.gates.powers import RECIPROCAL
from relaxations.gates.relu import HARD_SIGMOID, IDENTITY, RELU, hard_sigmoid
from relaxations.products import CLOSED
from relaxations.products.bilinear import Problem, product_image, product_support
from relaxations.rounding import margin


def product_gate(
    name: str,
    w: Curve,
    g: Curve,
    function: Callable[..., Tensor],
    parameters: tuple[str, ...] = (),
    **properties: Any,
) -> Gate:
    """The gate w(x)·g(y); `parameters` are those of w, whose domain is the gate's in x, and `properties` the
    remaining fields of `Gate`."""
    domain = w.inside

    def image(lower: Tensor, upper: Tensor, **values: Any) -> tuple[Tensor, Tensor]:
        low, high = product_image(w.image(lower[0], upper[0], **values), g.image(lower[1], upper[1]))
        return low - margin(low.abs()), high + margin(high.abs())

    def support(scale: Tensor, slopes: Tensor, lower: Tensor, upper: Tensor, **values: Any) -> Support:
        pairs = (slopes[0], slopes[1]), (lower[0], upper[0]), (lower[1], upper[1])
        if w is SIGMOID and g in CLOSED:
            return CLOSED[g](scale, *pairs)
        return product_support(w.bound(**values), g, Problem(scale, *pairs))

    def nodes(lower: Tensor, upper: Tensor, **values: Any) -> tuple[Tensor, ...]:
        return w.nodes(lower[0], upper[0], INTERVALS, **values), g.nodes(lower[1], upper[1], INTERVALS)

    def magnitude(lower: Tensor, upper: Tensor, **values: Any) -> Tensor:
        return w.magnitude(lower[0], upper[0], **values) * g.magnitude(lower[1], upper[1])

    inside = None if domain is None else lambda lower, upper, **values: domain(lower[0], upper[0], **values)
    # measured: backward passes cut little from a gate's box with a state
    kinds: dict[str, Any] = {"inside": inside, "octagon": g is not IDENTITY, "error": "composed"}
    return Gate(name, 2, parameters, function, image, support, nodes, magnitude, **{**kinds, **properties})


HARD: Any = {"parameters": ("alpha", "beta"), "example": ({"alpha": 0.2, "beta": 0.5},)}

register(product_gate("product", IDENTITY, IDENTITY, lambda x, y: x * y))
register(
    product_gate(
        "sigmoid_product", SIGMOID, IDENTITY, lambda x, y: torch.sigmoid(x) * y, compiled="sigmoid_product"
    )
)
register(
    product_gate("tanh_product", TANH, IDENTITY, lambda x, y: torch.tanh(x) * y, compiled="tanh_product")
)
register(product_gate("relu_product", RELU, IDENTITY, lambda x, y: torch.relu(x) * y))
register(
    product_gate(
        "reciprocal_product",
        RECIPROCAL,
        IDENTITY,
        lambda x, y: torch.reciprocal(x) * y,
        error=WITHIN_4_ULP,  # a quotient has one rounding, (1/x)·y two
    )
)
register(product_gate("softsign_product", SOFTSIGN, IDENTITY, lambda x, y: softsign(x) * y))
register(
    product_gate(
        "hard_sigmoid_product",
        HARD_SIGMOID,
        IDENTITY,
        lambda x, y, alpha, beta: hard_sigmoid(x, alpha, beta) * y,
        **HARD,
    )
)
register(
    product_gate(
        "sigmoid_tanh", SIGMOID, TANH, lambda x, y: torch.sigmoid(x) * torch.tanh(y), compiled="sigmoid_tanh"
    )
)
register(product_gate("sigmoid_relu", SIGMOID, RELU, lambda x, y: torch.sigmoid(x) * torch.relu(y)))
register(product_gate("sigmoid_softsign", SIGMOID, SOFTSIGN, lambda x, y: torch.sigmoid(x) * softsign(y)))
register(
    product_gate(
        "hard_sigmoid_tanh",
        HARD_SIGMOID,
        TANH,
        lambda x, y, alpha, beta: hard_sigmoid(x, alpha, beta) * torch.tanh(y),
        **HARD,
    )
)
