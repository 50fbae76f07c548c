"""A region cut by a half-space that holds all counterexamples.

Let A·x + b ≤ f(x) hold on a region, for the objective f that is to be shown positive. Where f(x) ≤ 0 there is
A·x + b ≤ 0: whatever is bounded next needs to hold for those x only, and for any λ ≥ 0

    min { a·x : x in R, A·x + b ≤ 0 }  ≥  λ·b + min { (a + λ·A)·x : x in R }                 (weak duality)

In a box of many entries this half-space takes away much of what other rows could reach, even where it takes
away little volume: to come from the middle down to it, most entries must go to their ends, against A, and are
not free to go elsewhere (INVPROP: Kotha et al., "Provably bounding neural network preimages", NeurIPS 2023,
use the constraint through the network; Zhou et al., "Clip-and-Verify", NeurIPS 2025, the half-space of
inputs)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations.kernels.kernel import POINTER, SIZE, Functions, Kernel, on_cpu

ENTRIES = 1 << 21  # of rows whose multipliers are sought together by torch: sorting takes 30 bytes for each


@dataclass(frozen=True, slots=True, eq=False)
class Halfspace:
    """{x : normal·x + constant ≤ 0}, with `normal` [B, n] and `constant` [B]; all of space where both are
    0."""

    normal: Tensor
    constant: Tensor

    @staticmethod
    def everything(like: Tensor) -> Halfspace:
        """No half-space: all of the space of `like` [B, n]."""
        return Halfspace(torch.zeros_like(like), torch.zeros_like(like[:, 0]))

    def select(self, indices: Tensor) -> Halfspace:
        return Halfspace(self.normal[indices], self.constant[indices])


@torch.no_grad()
def multipliers(rows: Tensor, normal: Tensor, constant: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
    """The best λ [B, R] of `rows` [B, R, k] over boxes centre ± radius [B, k], cut by normal·x + constant ≤ 0
    ([B, k], [B]), up to the rounding of float32, in which they are sought: any λ ≥ 0 will do.

    λ·b + min (a + λA)·x is concave in λ. Its slope at 0 is A·x* + b at the corner x* that is best for a, and
    falls by 2·radiusᵢ·|Aᵢ| where λ passes −aᵢ/Aᵢ and entry i changes sides: the best λ is where it reaches 0.
    """
    middle = ((normal * centre).sum(-1) + constant).float()
    return MULTIPLIERS(rows, normal, radius.float(), middle)


def _multipliers(rows: Tensor, normal: Tensor, radius: Tensor, middle: Tensor) -> Tensor:
    """The reference in torch, for the half-space's values `middle` [B] at the boxes' centres."""
    size = max(1, ENTRIES // max(1, rows.shape[0] * rows.shape[2]))
    A, parts = normal.float(), rows.split(size, 1)
    return torch.cat([_sorted(part.float(), A, radius, middle) for part in parts], 1).to(rows.dtype)


def _sorted(a: Tensor, A: Tensor, r: Tensor, middle: Tensor) -> Tensor:
    """The same for a [B, R, k], A and r [B, k], and the half-space's value `middle` [B] there."""
    fall = (2 * r * A.abs()).unsqueeze(1)
    side = torch.where(a == 0, A.unsqueeze(1), a).sign()
    slope = middle.unsqueeze(1) - (side @ (A * r).unsqueeze(-1)).squeeze(-1)
    place = -a / A.unsqueeze(1)
    moves = (place > 0) & (fall > 0)
    place, order = torch.where(moves, place, torch.inf).sort(-1)
    steps = torch.where(place < torch.inf, fall.expand_as(a).gather(-1, order), 0.0)
    index = (steps.cumsum(-1) < slope.unsqueeze(-1)).sum(-1, keepdim=True)
    last = (place < torch.inf).sum(-1, keepdim=True) - 1  # beyond it the part is empty: any λ will do
    best = place.gather(-1, torch.minimum(index, last).clamp_min(0)).squeeze(-1)
    return torch.where((slope > 0) & torch.isfinite(best), best, 0.0)


def _multipliers_in_c(
    functions: Functions, rows: Tensor, normal: Tensor, radius: Tensor, middle: Tensor
) -> Tensor | None:
    """The same by `halfspace.c`, with falls in units of 2⁻²⁹ of their sum."""
    if rows.dtype not in TYPES or normal.dtype != rows.dtype or not on_cpu(rows):
        return None
    A, r = normal.float(), radius
    rows = rows if rows.stride(-1) == 1 else rows.contiguous()
    batch, count, n = rows.shape
    fall = 2 * r * A.abs()
    units = 2.0**29 / fall.sum(-1).clamp_min(1e-30)
    fall = (fall * units.unsqueeze(-1)).round().int()
    middle = (middle * units).clamp(-(2.0**29), 2.0**29).nan_to_num(0.0).int()
    inverse = torch.where(A == 0, 0.0, -1 / A)
    place, found = torch.empty_like(fall[0]), rows.new_empty(batch, count)
    functions[TYPES.index(rows.dtype)](
        rows.data_ptr(),
        batch,
        count,
        n,
        (SIZE * 2)(*rows.stride()[:2]),
        inverse.data_ptr(),
        fall.data_ptr(),
        middle.data_ptr(),
        place.data_ptr(),
        found.data_ptr(),
    )
    return found


TYPES = (torch.float64, torch.float32)
_ARGUMENTS = [POINTER, SIZE, SIZE, SIZE, *[POINTER] * 6]
MULTIPLIERS = Kernel(
    "multipliers",
    _multipliers,
    _multipliers_in_c,
    {"verifier_multipliers_double": _ARGUMENTS, "verifier_multipliers_float": _ARGUMENTS},
)
