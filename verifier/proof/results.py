"""What a proof found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from verifier.problem.method import Method


@dataclass(frozen=True, slots=True, eq=False)
class MarginBounds:
    """`per_class` [B, K]: proved lower bound of score[label] − score[k] over the region, +∞ at the label;
    `lower` [B] the least of a row; `method` what gave it; `finished` False if the deadline cut it short;
    `why` says of every instance what kept it undecided, "" where nothing did."""

    per_class: Tensor
    method: str
    finished: bool
    why: tuple[str, ...]

    @property
    def lower(self) -> Tensor:
        return self.per_class.min(dim=-1).values


@dataclass(frozen=True, slots=True)
class ProofResult:
    """`proved`: no input of the case's boxes satisfies all its constraints; `bound` is the best lower bound
    of the constraint that refutes it (> 0 iff proved); `why` says what kept it undecided, "" where
    nothing did. `witness` are inputs that came up on the way and satisfy the query, where such were looked
    for."""

    proved: bool
    bound: float
    method: str
    finished: bool
    why: str = ""
    witness: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """`lower` [B, R] bounds of an objective's rows, the `method`, whether it ran to its end, and `why` every
    instance is undecided, "" where it is not."""

    lower: Tensor
    method: Method
    finished: bool
    why: tuple[str, ...]

    def among(self, found: Tensor, still: Tensor) -> Minimum:
        """Of all instances with bounds `found`, this being the result for those `still` undecided."""
        lower, why = found.clone(), [""] * len(found)
        lower[still] = self.lower
        for k, text in zip(still.tolist(), self.why, strict=True):
            why[k] = text
        return Minimum(lower, self.method, self.finished, tuple(why))
