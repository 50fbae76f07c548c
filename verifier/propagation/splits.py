"""Split constraints with Lagrange multipliers (β-CROWN: Wang et al. 2021), for operands of any gate.

An instance is restricted to the part of its region where an operand lies in part of its interval. A split is
more than a smaller box for one gate. On its part p ≤ h holds for the operand p, as a function of the input,
so for every β ≥ 0

    min f  ≥  min f + β·(p − h)        over the region,

and the right side is bounded by the same pass with β added to the coefficients of p. The same with p ≥ l.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from verifier.network.keys import OperandKey


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """lower ≤ operand ≤ upper, both [B, n], infinite where there is no split."""

    lower: Tensor
    upper: Tensor

    def select(self, indices: Tensor) -> Part:
        return Part(self.lower[indices], self.upper[indices])


Splits = Mapping[OperandKey, Part]


@dataclass(frozen=True, slots=True, eq=False)
class SplitTerm:
    """β of an operand as the pass takes it: `row` [B, 1, n] on its coefficients, `constant` [B, 1, 1]."""

    row: Tensor
    constant: Tensor


def split_term(
    below: Tensor, above: Tensor, part: Part, bias: Tensor, error: Tensor, magnitude: Tensor, relative: float
) -> SplitTerm:
    """The term Σ below·(p − upper) + above·(lower − p) for β = below, above ≥ 0, all [B, n].

    p = M·s + `bias`, known up to `error`; `relative`·`magnitude` covers the rounding of the products.
    Where a side is infinite its β must be 0.
    """
    row = below - above
    upper = part.upper.nan_to_num(posinf=0.0, neginf=0.0)
    lower = part.lower.nan_to_num(posinf=0.0, neginf=0.0)
    size = below + above
    constant = row * bias - below * upper + above * lower
    margin = size * (error + relative * (magnitude + upper.abs() + lower.abs()))
    return SplitTerm(row.unsqueeze(1), (constant - margin).sum(-1)[:, None, None])
