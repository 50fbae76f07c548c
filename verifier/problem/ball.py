"""Lp balls around given inputs, one for each group of input entries."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relaxations.rounding import relative_margin
from verifier.problem.norms import norm


@dataclass(frozen=True, eq=False)
class Groups:
    """A partition of some of n entries: `of_entry` [n] holds the group of each, −1 for those in none.

    `members` [G, S] lists the entries of each group, short groups filled up with −1.
    """

    of_entry: Tensor
    members: Tensor

    @staticmethod
    def of(of_entry: Tensor) -> Groups:
        lists = [torch.nonzero(of_entry == g).flatten() for g in range(int(of_entry.max()) + 1)]
        members = torch.nn.utils.rnn.pad_sequence(lists, batch_first=True, padding_value=-1)
        return Groups(of_entry, members)

    def to(self, device: str | torch.device) -> Groups:
        return Groups(self.of_entry.to(device), self.members.to(device))


@dataclass(frozen=True, eq=False)
class Ball:
    """‖(x − center)_g‖_p ≤ radius_g for each group g of entries; entries in no group are not constrained.

    `center` [B, n], `radius` [B, G], `p` ≥ 1 or inf.
    """

    center: Tensor
    radius: Tensor
    p: float
    groups: Groups

    @property
    def group(self) -> Tensor:
        return self.groups.of_entry

    @property
    def members(self) -> Tensor:
        return self.groups.members

    def gather(self, x: Tensor) -> Tensor:
        """x [..., n] by group: [..., G, S], zero where a group is short."""
        picked = x[..., self.members.clamp(min=0)]
        return torch.where(self.members >= 0, picked, torch.zeros_like(picked))

    def scatter(self, by_group: Tensor, onto: Tensor) -> Tensor:
        """`onto` [..., n] with the entries of each group replaced by those of `by_group` [..., G, S]."""
        used = self.members >= 0
        result = onto.clone()
        result[..., self.members[used]] = by_group[..., used]
        return result

    def contains(self, x: Tensor) -> Tensor:
        """Whether x [B, n] surely lies in the ball [B]: exact for p = inf, else a relative γ too strict."""
        x, center, radius = x.double(), self.center.double(), self.radius.double()
        if math.isinf(self.p):
            limit = radius[:, self.group.clamp(min=0)]
            return (_within(x, center, limit) | (self.group < 0)).all(dim=-1)
        offset = self.gather((x - center).abs())
        length = norm(offset, self.p) * (1 + 2 * relative_margin(offset.shape[-1], torch.float64))
        return ((length <= radius) | (offset == 0).all(dim=-1)).all(dim=-1)

    def select(self, indices: Tensor) -> Ball:
        return replace(self, center=self.center[indices], radius=self.radius[indices])

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Ball:
        """A ball in another precision that contains this one: ‖x − ĉ‖ ≤ ‖x − c‖ + ‖c − ĉ‖."""
        center = self.center.to(dtype)
        moved = self.gather((self.center.double() - center.double()).abs())
        length = norm(moved, self.p) * (1 + 2 * relative_margin(moved.shape[-1], torch.float64))
        radius = torch.where(length > 0, step(self.radius + length, 1), self.radius)
        return Ball(center.to(device), outward(radius, dtype, 1).to(device), self.p, self.groups.to(device))


def step(x: Tensor, sign: int) -> Tensor:
    """The next number up (sign 1) or down (−1): turns a correctly rounded result into an outward one."""
    return torch.nextafter(x, torch.full_like(x, sign * math.inf))


def outward(x: Tensor, dtype: torch.dtype, sign: int) -> Tensor:
    """x in `dtype`, rounded up (sign 1) or down (−1) where `dtype` does not hold it."""
    y = x.to(dtype)
    exact, back = x.double(), y.double()
    return torch.where(back < exact if sign > 0 else back > exact, step(y, sign), y)


def _within(x: Tensor, center: Tensor, limit: Tensor) -> Tensor:
    """|x − center| ≤ limit over the reals: where the rounded difference ties, its rounding error decides."""
    difference = x - center
    shifted = difference - x
    error = (x - (difference - shifted)) - (
        center + shifted
    )  # Knuth's two-sum: exact x − center − difference
    beyond = torch.where(difference > 0, error > 0, error < 0)
    size = difference.abs()
    return (size < limit) | ((size == limit) & ~beyond)
