"""Functions that jump: x > 0, x = 0, and rounding towards zero.

A box that reaches across a jump gets the values of both sides, and at a jump inside it the value there too.
So planes hold for whatever a rounded operand inside the box falls on.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relaxations.curves.curve import Support, best, between, curve_from_support, gate_of, largest
from relaxations.gate import WITHIN_4_ULP, register


def step(x: Tensor) -> Tensor:
    return torch.where(x > 0, torch.ones_like(x), torch.zeros_like(x))


def is_zero(x: Tensor) -> Tensor:
    return torch.where(torch.abs(x) > 0, torch.zeros_like(x), torch.ones_like(x))


def _level(
    value: float, scale: Tensor, slope: Tensor, left: Tensor, right: Tensor, present: Tensor
) -> Support:
    """The maximum of scale·value − slope·x over [left, right], −∞ where that part is not `present`."""
    height, at = best(*((scale * value - slope * x, x) for x in (left, right)))
    return Support(torch.where(present, height, -torch.inf), at)


def _sides(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The greatest x ≤ 0, the least x ≥ 0 and the x nearest to 0 of the box, as far as there are any."""
    return upper.clamp_max(0.0), lower.clamp_min(0.0), between(torch.zeros_like(lower), lower, upper)


def _step_support(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> Support:
    """0 up to and with x = 0, 1 right of it: the supremum over x > 0 is that over x ≥ 0."""
    left, right, _ = _sides(lower, upper)
    return best(
        _level(0.0, scale, slope, lower, left, lower <= 0),
        _level(1.0, scale, slope, right, upper, upper > 0),
    )


def _is_zero_support(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> Support:
    left, right, middle = _sides(lower, upper)
    return best(
        _level(0.0, scale, slope, lower, left, lower < 0),
        _level(0.0, scale, slope, right, upper, upper > 0),
        _level(1.0, scale, slope, middle, middle, (lower <= 0) & (upper >= 0)),
    )


def _step_nodes(lower: Tensor, upper: Tensor, intervals: int) -> Tensor:
    """The ends, and zero from both sides."""
    del intervals
    tiny = torch.finfo(lower.dtype).smallest_normal
    inner = [between(torch.full_like(lower, x), lower, upper) for x in (-tiny, 0.0, tiny)]
    return torch.stack([lower, *inner, upper])


def _one(lower: Tensor, upper: Tensor) -> Tensor:
    del upper
    return torch.ones_like(lower)


STEP = curve_from_support(step, _step_support, _step_nodes, _one, monotone=True)
register(gate_of(STEP, "step", error=WITHIN_4_ULP))

IS_ZERO = curve_from_support(is_zero, _is_zero_support, _step_nodes, _one)
register(gate_of(IS_ZERO, "is_zero", error=WITHIN_4_ULP))


def trunc(x: Tensor, limit: float) -> Tensor:
    """x rounded towards zero, for |x| ≤ limit."""
    del limit
    return torch.trunc(x)


def _trunc_support(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor, limit: float) -> Support:
    """Between jumps the function is constant, so the maximum of scale·trunc(x) − slope·x is at an end of the
    box or at a jump, from one of its sides. The jumps of one sign lie at n = 1, 2, … (or at −n), with the
    values n and n − 1 there: both candidates are linear in n, so the first and the last jump are enough.
    """
    del limit
    candidates = [(scale * torch.trunc(x) - slope * x, x) for x in (lower, upper)]
    for sign in (1.0, -1.0):
        near, far = (lower, upper) if sign > 0 else (-upper, -lower)
        first, last = torch.ceil(near).clamp_min(1.0), torch.floor(far)
        present = first <= last
        for n in (first, last):
            at = between(sign * n, lower, upper)
            for value in (n, n - 1):
                height = scale * (sign * value) - slope * at
                candidates.append((torch.where(present, height, -torch.inf), at))
    return best(*candidates)


def _trunc_nodes(lower: Tensor, upper: Tensor, intervals: int, limit: float) -> Tensor:
    """The ends, and both sides of the jumps next to them and next to zero."""
    del intervals, limit
    jumps = [torch.ceil(lower), torch.floor(upper), torch.ones_like(lower), -torch.ones_like(lower)]
    sides = [lower, upper]
    for jump in jumps:
        sides += [jump, torch.nextafter(jump, jump.new_tensor(math.inf))]
        sides += [torch.nextafter(jump, jump.new_tensor(-math.inf))]
    return torch.stack([between(x, lower, upper) for x in sides]).sort(0).values


TRUNC = curve_from_support(
    trunc,
    _trunc_support,
    _trunc_nodes,
    magnitude=lambda lower, upper, limit: largest(lower, upper).clamp_max(limit),
    inside=lambda lower, upper, limit: largest(lower, upper) <= limit,
    monotone=True,
)
register(gate_of(TRUNC, "trunc", "limit", example=({"limit": 2.0**31},), error=WITHIN_4_ULP))
