"""Random boxes that benchmarks of planes share, and the mean of a gate over each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relaxations import Gate

QUADRATURE = {1: 200, 2: 48, 3: 24}


def random_boxes(
    gate: Gate, count: int, parameters: Mapping[str, Any], seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Boxes [k, count]; the hidden state of the blend lies in [−1, 1], where a GRU's always is."""
    generator = torch.Generator().manual_seed(seed)
    size = (gate.arity, count)
    centre = 16 * torch.rand(size, generator=generator, dtype=torch.float64) - 8
    width = 10 ** (-3 + (np.log10(12) + 3) * torch.rand(size, generator=generator, dtype=torch.float64))
    lower, upper = centre - width / 2, centre + width / 2
    if gate.arity == 3:
        lower[2], upper[2] = (lower[2] / 14).clamp(-1, 1), (upper[2] / 14).clamp(-1, 1)
    if gate.inside is not None:
        outside = ~gate.inside(lower, upper, **parameters)
        shift = torch.where(outside, (0.05 - lower).clamp(min=0), 0.0)
        lower, upper = lower + shift, upper + shift
    return lower, upper


def mean_value(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> Tensor:
    """The gate's mean over boxes [k, n], by Gauss-Legendre quadrature."""
    k = gate.arity
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(QUADRATURE[k]))
    share = torch.cartesian_prod(*[0.5 * (nodes + 1)] * k).reshape(-1, k).T[..., None]
    weight = torch.cartesian_prod(*[0.5 * weights] * k).reshape(-1, k).prod(1)
    return weight @ gate.function(*(lower[:, None] + (upper - lower)[:, None] * share), **parameters)
