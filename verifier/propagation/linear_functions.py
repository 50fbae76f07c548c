"""Linear functions of the inputs below rows, as a backward pass leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LinearFunctions:
    """Linear functions of the inputs: `coefficients` [B, R, k] of the k inputs from `start` on, zero for the
    others, and `constant` [B, R]. `met` is to be added where states shall count by their linear bounds."""

    coefficients: Tensor
    constant: Tensor
    start: int
    met: LinearFunctions | None = None

    @property
    def stop(self) -> int:
        return self.start + self.coefficients.shape[-1]

    def expand(self, batch: int) -> LinearFunctions:
        """For all of `batch` instances; without `met`."""
        return LinearFunctions(
            self.coefficients.expand(batch, -1, -1), self.constant.expand(batch, -1), self.start
        )

    def select(self, rows: Tensor) -> LinearFunctions:
        """The rows at these places."""
        met = None if self.met is None else self.met.select(rows)
        return LinearFunctions(self.coefficients[:, rows], self.constant[:, rows], self.start, met)

    def whole(self) -> LinearFunctions:
        """The functions with `met` added."""
        if self.met is None:
            return self
        first, last = min(self.start, self.met.start), max(self.stop, self.met.stop)
        constant = self.constant + self.met.constant
        total = constant.new_zeros(*constant.shape, last - first)
        for part in (self, self.met):
            total[..., part.start - first : part.stop - first] += part.coefficients
        return LinearFunctions(total, constant, first)


def joined(parts: Sequence[LinearFunctions]) -> LinearFunctions:
    """The rows of parts that read the same inputs, one after the other."""
    if len(parts) == 1:
        return parts[0]
    met = [part.met for part in parts if part.met is not None]
    return LinearFunctions(
        torch.cat([part.coefficients for part in parts], 1),
        torch.cat([part.constant for part in parts], 1),
        parts[0].start,
        joined(met) if met else None,
    )
