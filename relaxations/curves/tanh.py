"""tanh: tanh' = 1 − tanh² = 4σ(2x)σ(−2x), so the slope q is met at half the place where σ' = q / 4."""

from __future__ import annotations

import torch
from torch import Tensor

from relaxations.curves import sigmoid
from relaxations.curves.curve import s_shaped


def derivative(x: Tensor) -> Tensor:
    return 4 * sigmoid.derivative(2 * x)


def inverse(q: Tensor) -> Tensor:
    return 0.5 * sigmoid.inverse(0.25 * q)


CORE = 9.0

TANH = s_shaped(torch.tanh, derivative, inverse, CORE)
