"""The GRU blend  (1 − f(z))·g(b) + f(z)·h,  one gate of three operands.

It is  w(z)·(g(b) − h) + h  with w = 1 − f, linear in h for fixed (z, b): the greatest value of the blend
minus a linear function has h at an end, and for either end it is a product of two curves.  For f = σ, w(z) =
σ(−z); with x = −z and g = tanh or softsign it has the closed form of `relaxations.products.sigmoid_tanh` or
`relaxations.products.sigmoid_softsign`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softsign

from relaxations.curves.curve import INTERVALS, Curve, complement, largest
from relaxations.curves.sigmoid import SIGMOID
from relaxations.curves.softsign import SOFTSIGN
from relaxations.curves.tanh import TANH
from relaxations.gate import Gate, Support, register
from relaxations.gates.relu import HARD_SIGMOID, RELU, hard_sigmoid
from relaxations.products import CLOSED
from relaxations.products.bilinear import Problem, product_support
from relaxations.rounding import margin


def blend_gate(
    name: str,
    f: Curve,
    g: Curve,
    function: Callable[..., Tensor],
    parameters: tuple[str, ...] = (),
    **properties: Any,
) -> Gate:
    """The gate (1 − f(z))·g(b) + f(z)·h, 0 ≤ f ≤ 1; `parameters` are those of f, and `properties` the
    remaining fields of `Gate`."""

    def image(lower: Tensor, upper: Tensor, **values: Any) -> tuple[Tensor, Tensor]:
        """A convex combination: increasing in g(b) and h, linear in its weight."""
        weights = torch.stack(f.image(lower[0], upper[0], **values)).clamp(0.0, 1.0)
        low, high = g.image(lower[1], upper[1])
        error = margin(magnitude(lower, upper, **values))
        least = torch.lerp(low, lower[2], weights).amin(0)
        return least - error, torch.lerp(high, upper[2], weights).amax(0) + error

    def support(scale: Tensor, slopes: Tensor, lower: Tensor, upper: Tensor, **values: Any) -> Support:
        h = torch.stack([lower[2], upper[2]])
        z, b = (lower[0], upper[0]), (lower[1], upper[1])
        if f is SIGMOID and g in CLOSED:
            found = CLOSED[g](scale, (-slopes[0], slopes[1]), (-z[1], -z[0]), b, h)
            at = -found.at[0], found.at[1], h
        else:
            w = complement(f.bound(**values))
            found = product_support(w, g, Problem(scale, (slopes[0], slopes[1]), z, b, h))
            at = found.at[0], found.at[1], h
        value, index = (found.value + (scale - slopes[2]) * h).max(dim=0)
        return Support(value, torch.stack(at).gather(1, index.expand(3, 1, *index.shape))[:, 0])

    def nodes(lower: Tensor, upper: Tensor, **values: Any) -> tuple[Tensor, ...]:
        return (
            f.nodes(lower[0], upper[0], INTERVALS, **values),
            g.nodes(lower[1], upper[1], INTERVALS),
            torch.stack([lower[2], upper[2]]),
        )

    def magnitude(lower: Tensor, upper: Tensor, **values: Any) -> Tensor:
        size = 2 * (g.magnitude(lower[1], upper[1]) + largest(lower[2], upper[2]))
        # beside f ≤ 1 itself what f is computed from, where parameters make that large
        return size * f.magnitude(lower[0], upper[0], **values).clamp(min=1.0) if parameters else size

    kinds = {"error": "composed", **properties}
    return Gate(name, 3, parameters, function, image, support, nodes, magnitude, **kinds)


def hard_blend(z: Tensor, b: Tensor, h: Tensor, alpha: float, beta: float) -> Tensor:
    weight = hard_sigmoid(z, alpha, beta)
    return (1 - weight) * torch.tanh(b) + weight * h


register(
    blend_gate(
        "sigmoid_blend",
        SIGMOID,
        TANH,
        lambda z, b, h: torch.sigmoid(-z) * torch.tanh(b) + torch.sigmoid(z) * h,
        compiled="sigmoid_blend",
    )
)
register(
    blend_gate(
        "sigmoid_relu_blend",
        SIGMOID,
        RELU,
        lambda z, b, h: torch.sigmoid(-z) * torch.relu(b) + torch.sigmoid(z) * h,
    )
)
register(
    blend_gate(
        "sigmoid_softsign_blend",
        SIGMOID,
        SOFTSIGN,
        lambda z, b, h: torch.sigmoid(-z) * softsign(b) + torch.sigmoid(z) * h,
    )
)
register(
    blend_gate(
        "hard_sigmoid_blend",
        HARD_SIGMOID,
        TANH,
        hard_blend,
        ("alpha", "beta"),
        example=({"alpha": 0.2, "beta": 0.5},),
    )
)
