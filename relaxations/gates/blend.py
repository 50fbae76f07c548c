"""The GRU blend  σ(−z)·tanh(b) + σ(z)·h,  jointly in its three operands.

With x = −z it is  σ(x)·(tanh(b) − h) + h,  linear in h for fixed (z, b): the greatest value of the blend
minus a linear function has h at an end, and for either end it is a product of two curves.
"""

from __future__ import annotations

import torch
from torch import Tensor

from relaxations import sigmoid_tanh
from relaxations.gate import Gate, Support, register
from relaxations.gates.sigmoid import SIGMOID
from relaxations.gates.tanh import TANH
from relaxations.rounding import margin

INTERVALS = 6


def blend(z: Tensor, b: Tensor, h: Tensor) -> Tensor:
    return torch.sigmoid(-z) * torch.tanh(b) + torch.sigmoid(z) * h


def image(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """A convex combination of tanh(b) and h: increasing in both, and linear in its weight."""
    size = magnitude(lower, upper)
    low = torch.minimum(blend(lower[0], lower[1], lower[2]), blend(upper[0], lower[1], lower[2]))
    high = torch.maximum(blend(lower[0], upper[1], upper[2]), blend(upper[0], upper[1], upper[2]))
    return low - margin(size), high + margin(size)


def support(scale: Tensor, slopes: Tensor, lower: Tensor, upper: Tensor) -> Support:
    h = torch.stack([lower[2], upper[2]])
    x, b = (-upper[0], -lower[0]), (lower[1], upper[1])
    found = sigmoid_tanh.support(scale, (-slopes[0], slopes[1]), x, b, h)
    values = found.value + (scale - slopes[2]) * h
    value, index = values.max(dim=0)
    places = torch.stack([-found.at[0], found.at[1], h])
    return Support(value, places.gather(1, index.expand(3, 1, *index.shape))[:, 0])


def nodes(lower: Tensor, upper: Tensor) -> tuple[Tensor, ...]:
    return (
        SIGMOID.nodes(lower[0], upper[0], INTERVALS),
        TANH.nodes(lower[1], upper[1], INTERVALS),
        torch.stack([lower[2], upper[2]]),
    )


def magnitude(lower: Tensor, upper: Tensor) -> Tensor:
    return 2 * (TANH.magnitude(lower[1], upper[1]) + torch.maximum(lower[2].abs(), upper[2].abs()))


register(Gate("sigmoid_blend", 3, (), blend, image, support, nodes, magnitude))
