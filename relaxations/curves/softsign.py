"""softsign: x / (1 + |x|), whose slope 1 / (1 + |x|)² is q at |x| = 1/√q − 1."""

from __future__ import annotations

import torch
from torch import Tensor

from relaxations.curves.curve import s_shaped


def softsign(x: Tensor) -> Tensor:
    return x / (1 + torch.abs(x))


def derivative(x: Tensor) -> Tensor:
    return 1 / (1 + torch.abs(x)) ** 2


def inverse(q: Tensor) -> Tensor:
    return torch.rsqrt(q.clamp(0.0, 1.0).abs()) - 1


SOFTSIGN = s_shaped(softsign, derivative, inverse, core=36.0)
