"""sigmoid: σ(x) = 1 / (1 + e^−x),  σ' = σ(x)·σ(−x).

σ' = q has s(1 − s) = q, so 1 − s = 2q / (1 + √(1 − 4q)) and x = log(s / (1 − s)) ≥ 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from relaxations.curves.curve import s_shaped


def derivative(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x)  # σ(x)·(1 − σ(x)) would cancel for large x


def inverse(q: Tensor) -> Tensor:
    q = q.clamp(0.0, 0.25).abs()  # −0.0 has a wrong reciprocal
    rest = 2 * q / (1 + torch.sqrt(1 - 4 * q))
    return torch.log((1 - rest) / rest)


CORE = 18.0
"""Beyond it the curve is settled: its nodes lie inside."""

SIGMOID = s_shaped(torch.sigmoid, derivative, inverse, CORE)
