"""Products of two operands: x·y, σ(x)·y, tanh(x)·y and σ(x)·tanh(y)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from relaxations import sigmoid_tanh
from relaxations.bilinear import product_image, product_support, scaled_support
from relaxations.curves import Curve
from relaxations.gate import Gate, Support, register
from relaxations.gates.relu import IDENTITY
from relaxations.gates.sigmoid import SIGMOID
from relaxations.gates.tanh import TANH
from relaxations.rounding import margin

INTERVALS = 6


def product_gate(name: str, w: Curve, g: Curve, function: Callable[..., Tensor]) -> Gate:
    """w(x)·g(y)."""

    def image(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        low, high = product_image(w.image(lower[0], upper[0]), g.image(lower[1], upper[1]))
        return low - margin(low.abs()), high + margin(high.abs())

    def support(scale: Tensor, slopes: Tensor, lower: Tensor, upper: Tensor) -> Support:
        pairs = (slopes[0], slopes[1]), (lower[0], upper[0]), (lower[1], upper[1])
        if g is IDENTITY:
            return scaled_support(w, scale, *pairs)
        if (w, g) == (SIGMOID, TANH):
            return sigmoid_tanh.support(scale, *pairs)
        return product_support(w, g, scale, *pairs)

    def nodes(lower: Tensor, upper: Tensor) -> tuple[Tensor, ...]:
        ends = torch.stack([lower, upper], 1)
        return tuple(
            ends[j] if curve is IDENTITY else curve.nodes(lower[j], upper[j], INTERVALS)
            for j, curve in enumerate((w, g))
        )

    def magnitude(lower: Tensor, upper: Tensor) -> Tensor:
        return w.magnitude(lower[0], upper[0]) * g.magnitude(lower[1], upper[1])

    return Gate(name, 2, (), function, image, support, nodes, magnitude)


register(product_gate("product", IDENTITY, IDENTITY, lambda x, y: x * y))
register(product_gate("sigmoid_product", SIGMOID, IDENTITY, lambda x, y: torch.sigmoid(x) * y))
register(product_gate("tanh_product", TANH, IDENTITY, lambda x, y: torch.tanh(x) * y))
register(product_gate("sigmoid_tanh", SIGMOID, TANH, lambda x, y: torch.sigmoid(x) * torch.tanh(y)))
