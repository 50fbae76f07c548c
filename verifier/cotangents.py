"""Coefficients on their way back: Λ with  objective = Σ_v Λ_v · v + const  over the variables of a block.

Dense maps are not applied one by one: all that reach the same variables wait and become one matrix
product, [Λ_p₁ … Λ_p_k] · [M₁; …; M_k], because small products cost their launch and not their arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from verifier.affine import AffineForm
from verifier.linear import Dense


class Cotangents:
    """Mutable accumulator of one sweep through one block; `fused` caches the stacked tables across sweeps."""

    def __init__(self, fused: dict[Any, Any]) -> None:
        self._fused = fused
        self._direct: dict[str, Tensor] = {}
        self._waiting: dict[str, list[tuple[Dense, Tensor]]] = {}

    def put(self, variable: str, A: Tensor) -> None:
        """Add coefficients A [B, R, n] of `variable`."""
        held = self._direct.get(variable)
        self._direct[variable] = A if held is None else held + A

    def pull(self, form: AffineForm, A: Tensor) -> None:
        """Replace A·p by the coefficients of what p is made of (the bias is the caller's)."""
        for variable, linear_map in form.terms.items():
            if isinstance(linear_map, Dense):
                self._waiting.setdefault(variable, []).append((linear_map, A))
            else:
                self.put(variable, linear_map.adjoint(A))

    def take(self, variable: str) -> Tensor | None:
        """Remove and return the coefficients of `variable`, None where it has none."""
        return self.take_all((variable,))[0]

    def take_all(self, variables: Sequence[str]) -> list[Tensor | None]:
        """`take` for several variables at once, with one matrix product for all of them."""
        waiting = {v: self._waiting.pop(v) for v in variables if v in self._waiting}
        if waiting:
            for variable, A in self._product(waiting).items():
                self.put(variable, A)
        return [self._direct.pop(v, None) for v in variables]

    def _product(self, waiting: dict[str, list[tuple[Dense, Tensor]]]) -> dict[str, Tensor]:
        left: dict[int, Tensor] = {}  # identity of Λ → Λ, in order of first use
        for pairs in waiting.values():
            left.update((id(A), A) for _, A in pairs)
        position = {key: k for k, key in enumerate(left)}
        key = tuple((v, tuple((id(m), position[id(A)]) for m, A in pairs)) for v, pairs in waiting.items())
        if key not in self._fused:
            self._fused[key] = _stack(waiting, [A.shape[-1] for A in left.values()], position)
        table, widths, _ = self._fused[key]
        parts = list(left.values())
        if len(parts) > 1:
            batch = max(A.shape[0] for A in parts)
            parts = [A if A.shape[0] == batch else A.expand(batch, -1, -1) for A in parts]
        stacked = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
        return dict(zip(waiting, (stacked @ table).split(widths, dim=-1), strict=True))


def _stack(
    waiting: dict[str, list[tuple[Dense, Tensor]]], heights: list[int], position: dict[int, int]
) -> tuple[Tensor, list[int], list[Dense]]:
    """One table [Σ heights, Σ widths]; the maps are kept alive so that their identities stay theirs."""
    starts = [sum(heights[:k]) for k in range(len(heights))]
    columns, widths, kept = [], [], []
    for pairs in waiting.values():
        width = pairs[0][0].table.shape[1]
        column = pairs[0][0].table.new_zeros(sum(heights), width)
        for linear_map, A in pairs:
            start = starts[position[id(A)]]
            column[start : start + A.shape[-1]] += linear_map.table
            kept.append(linear_map)
        columns.append(column)
        widths.append(width)
    return torch.cat(columns, dim=1), widths, kept
