"""What every gate must satisfy, as functions that the tests of all gates share.

`worst_violation` tries to break planes: samples, corners, and projected gradient ascent on the violation
from the worst samples.  Everything is float64 and no tolerance is given: the planes' own margin has to
cover rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from relaxations import GATES, Gate, Planes
from relaxations.kernels.library import library

built = pytest.mark.skipif(library().handle is None, reason=library().reason)


def plain(gate: Gate) -> Gate:
    """The gate without its compiled form: all in torch, but for the exchanges."""
    return dataclasses.replace(gate, compiled=None)


def _cases() -> Iterator[Any]:
    for gate in GATES.values():
        for parameters in gate.example:
            name = "-".join([gate.name, *(f"{v:.3g}" for v in parameters.values())])
            yield pytest.param(plain(gate), parameters, id=name)
            if gate.compiled:
                yield pytest.param(gate, parameters, id=f"{name}-compiled", marks=built)


CASES = list(_cases())
"""Every gate of the table, with all of its example parameters, plain and in its compiled form."""
for_every_gate = pytest.mark.parametrize(("gate", "parameters"), CASES)

SAMPLES = 160
ASCENT = 30


def boxes(gate: Gate, parameters: Mapping[str, Any], seed: int = 0, each: int = 12) -> tuple[Tensor, Tensor]:
    """Boxes [k, n], `each` of every awkward kind, on which the gate is defined and does not overflow."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    k, n = gate.arity, each
    centre = 16 * uniform(k, 11, n) - 8
    width = 12 * 10 ** (4 * uniform(k, 11, n) - 4)
    lower, upper = centre - width / 2, centre + width / 2
    lower[:, 1], upper[:, 1] = centre[:, 1], centre[:, 1]  # points
    lower[:, 2], upper[:, 2] = centre[:, 2], centre[:, 2] + 1e-12 * width[:, 2]  # tiny
    lower[:, 3], upper[:, 3] = -width[:, 3], width[:, 3] * uniform(k, n)  # across 0
    lower[:, 4], upper[:, 4] = -50 * uniform(k, n), 50 * uniform(k, n)
    lower[:, 5], upper[:, 5] = -1e4 * uniform(k, n), 1e4 * uniform(k, n)
    lower[:, 6], upper[:, 6] = 50 + width[:, 6], 50 + width[:, 6] * (1 + uniform(k, n))  # saturated
    lower[:, 7], upper[:, 7] = -50 - width[:, 7] * (1 + uniform(k, n)), -50 - width[:, 7]
    lower[:, 8], upper[:, 8] = -1e-3 * uniform(k, n), 30 * uniform(k, n)  # asymmetric
    thin = torch.arange(n) % k  # no width in one operand
    upper[thin, 9, torch.arange(n)] = lower[thin, 9, torch.arange(n)]
    lower[:, 10], upper[:, 10] = 0.0, 0.0
    lower, upper = lower.flatten(1), upper.flatten(1)
    if gate.inside is not None:  # as many boxes again right of 0
        shift = (0.01 - lower).clamp(min=0)
        lower, upper = torch.cat([lower, lower + shift], 1), torch.cat([upper, upper + shift], 1)
        inside = gate.inside(lower, upper, **parameters)
        lower, upper = lower[:, inside], upper[:, inside]
    small = (gate.magnitude(lower, upper, **parameters) < 1e280).nonzero()[:, 0]
    return lower[:, small], upper[:, small]


def worst_violation(
    gate: Gate,
    found: Planes,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any],
    seed: int = 0,
    samples: int = SAMPLES,
) -> float:
    """The most by which the gate leaves its planes over boxes [k, n], as far as a search can tell; ≤ 0
    is good."""
    generator = torch.Generator().manual_seed(seed)
    k, n = lower.shape

    def excess(points: Tensor) -> tuple[Tensor, Tensor]:
        """How far the gate is above the upper and below the lower plane, at points [k, m, n]."""
        value = gate.function(*points, **parameters)
        above = value - (found.upper_slope[:, None] * points).sum(0) - found.upper_offset
        below = (found.lower_slope[:, None] * points).sum(0) + found.lower_offset - value
        return above, below

    share = (1.4 * torch.rand(k, samples, n, generator=generator, dtype=torch.float64) - 0.2).clamp(0, 1)
    sides = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * k).reshape(-1, k)
    share = torch.cat([share, sides.T[..., None].expand(k, -1, n)], 1)
    if any(bool(side.isnan().any()) for side in vars(found).values()):
        return float("inf")
    worst = -float("inf")
    for which in (0, 1):
        start = inside_of(lower, upper, share)
        gaps = excess(start)[which]
        worst = max(worst, float(gaps.max()))
        seeds = gaps.topk(4, dim=0).indices.expand(k, 4, n)
        theta = share.gather(1, seeds)
        step = torch.full_like(theta, 0.1)
        for _ in range(ASCENT):
            theta = theta.detach().requires_grad_()
            gap = excess(inside_of(lower, upper, theta))[which]
            worst = max(worst, float(gap.detach().max()))
            (gradient,) = torch.autograd.grad(gap.sum(), theta)
            theta = (theta.detach() + step * gradient.sign().nan_to_num()).clamp(0, 1)
            step = 0.85 * step
    return worst


def inside_of(lower: Tensor, upper: Tensor, share: Tensor) -> Tensor:
    """The points l + (u − l)·share [k, m, n] of the boxes, never outside by rounding."""
    low, high = lower[:, None], upper[:, None]
    return torch.minimum(torch.maximum(low + (high - low) * share, low), high)
