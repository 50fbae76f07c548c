"""Linear maps between flat vectors, in the simplest shape that does the job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class LinearMap(Protocol):
    """A linear map from a source of n entries to a target of m entries."""

    def adjoint(self, A: Tensor) -> Tensor:
        """A [..., m] ↦ A·M [..., n]."""
        ...

    def apply(self, x: Tensor) -> Tensor:
        """x [..., n] ↦ M x [..., m]."""
        ...

    def apply_absolute(self, r: Tensor) -> Tensor:
        """r ≥ 0 [..., n] ↦ a bound of |M| r [..., m], never below the sum of every product's magnitude."""
        ...

    def rows(self) -> Tensor:
        """M as a table [m, n]."""
        ...

    @property
    def nonnegative(self) -> bool:
        """Whether M is known to have no negative entry."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    size: int
    like: Tensor

    def adjoint(self, A: Tensor) -> Tensor:
        return A

    def apply(self, x: Tensor) -> Tensor:
        return x

    def apply_absolute(self, r: Tensor) -> Tensor:
        return r

    def rows(self) -> Tensor:
        return torch.eye(self.size, dtype=self.like.dtype, device=self.like.device)

    @property
    def nonnegative(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, eq=False)
class Diagonal:
    entries: Tensor  # [n]

    def adjoint(self, A: Tensor) -> Tensor:
        return A * self.entries

    def apply(self, x: Tensor) -> Tensor:
        return x * self.entries

    def apply_absolute(self, r: Tensor) -> Tensor:
        return r * self.entries.abs()

    def rows(self) -> Tensor:
        return torch.diag(self.entries)

    @property
    def nonnegative(self) -> bool:
        return bool((self.entries >= 0).all())


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    table: Tensor  # [m, n]
    magnitude: Tensor  # [m, n], at least |table|: sums of absolute products where constants were composed

    def adjoint(self, A: Tensor) -> Tensor:
        return A @ self.table

    def apply(self, x: Tensor) -> Tensor:
        return x @ self.table.T

    def apply_absolute(self, r: Tensor) -> Tensor:
        return r @ self.magnitude.T

    def rows(self) -> Tensor:
        return self.table

    @property
    def nonnegative(self) -> bool:
        return bool((self.table >= 0).all())


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """A map too large to tabulate; `linear` and `absolute` act on one flat vector of `size` entries."""

    linear: Callable[[Tensor], Tensor]
    absolute: Callable[[Tensor], Tensor]
    size: int
    target: int
    like: Tensor

    def adjoint(self, A: Tensor) -> Tensor:
        origin = torch.zeros(self.size, dtype=self.like.dtype, device=self.like.device)
        pull_back = torch.func.vjp(self.linear, origin)[1]
        flat = A.reshape(-1, self.target)
        return torch.func.vmap(lambda a: pull_back(a)[0])(flat).reshape(*A.shape[:-1], self.size)

    def apply(self, x: Tensor) -> Tensor:
        return torch.func.vmap(self.linear)(x.reshape(-1, self.size)).reshape(*x.shape[:-1], self.target)

    def apply_absolute(self, r: Tensor) -> Tensor:
        return torch.func.vmap(self.absolute)(r.reshape(-1, self.size)).reshape(*r.shape[:-1], self.target)

    def rows(self) -> Tensor:
        return self.adjoint(torch.eye(self.target, dtype=self.like.dtype, device=self.like.device))

    @property
    def nonnegative(self) -> bool:
        return False
