"""Coefficients on their way back: Λ with  objective = Σ_v Λ_v · v + const  over the variables of a block.

Dense maps are not applied one by one: all that reach the same variables wait and become one matrix
product, [Λ_p₁ … Λ_p_k] · [M₁; …; M_k], because small products cost their launch and not their arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verifier.network.affine import AffineForm


@dataclass(frozen=True, slots=True, eq=False)
class StackedTable:
    """`table` [Σ sizes, Σ widths] of the dense maps of some forms to the variables `reached`, in order, each
    of its `widths`."""

    table: Tensor
    widths: list[int]
    reached: list[str]


def stacked_table(variables: Sequence[str], forms: Sequence[AffineForm]) -> StackedTable:
    """One table of all dense maps of `forms` from those of `variables` that one of them reads."""
    columns, widths, reached = [], [], []
    for variable in variables:
        maps = [form.dense.get(variable) for form in forms]
        present = next((m for m in maps if m is not None), None)
        if present is None:
            continue
        width = present.table.shape[1]
        blocks = [
            present.table.new_zeros(form.size, width) if m is None else m.table
            for m, form in zip(maps, forms, strict=True)
        ]
        columns.append(torch.cat(blocks))
        widths.append(width)
        reached.append(variable)
    return StackedTable(torch.cat(columns, dim=1), widths, reached)


class Tables:
    """The stacked tables of one program, each made when it is first needed: by the variables and by the
    numbers of the forms. A copy in another process begins empty."""

    def __init__(self) -> None:
        self._made: dict[tuple[tuple[str, ...], tuple[int, ...]], StackedTable] = {}

    def __reduce__(self) -> tuple[type[Tables], tuple[()]]:
        return Tables, ()

    def of(self, variables: Sequence[str], forms: Sequence[AffineForm]) -> StackedTable:
        key = tuple(variables), tuple(form.number for form in forms)
        if key not in self._made:
            self._made[key] = stacked_table(variables, forms)
        return self._made[key]


class Coefficients:
    """Mutable accumulator of one pass through one block, each variable taken once, after all its readers;
    `tables` are those of the program."""

    def __init__(self, tables: Tables, rows: Mapping[str, Tensor] | None = None) -> None:
        self._tables = tables
        self._direct: dict[str, Tensor] = {} if rows is None else dict(rows)
        self._waiting: list[tuple[AffineForm, Tensor]] = []

    def put(self, variable: str, A: Tensor) -> None:
        """Add coefficients A [B, R, n] of `variable`."""
        held = self._direct.get(variable)
        self._direct[variable] = A if held is None else held + A

    def pull(self, form: AffineForm, A: Tensor) -> None:
        """Replace A·p by the coefficients of what p is made of (the bias is the caller's)."""
        for variable, linear_map in form.light.items():
            self.put(variable, linear_map.adjoint(A))
        if form.dense:
            self._waiting.append((form, A))

    def take(self, variable: str) -> Tensor | None:
        """Remove and return the coefficients of `variable`, None where it has none."""
        return self.take_all((variable,))[0]

    def take_all(self, variables: Sequence[str]) -> list[Tensor | None]:
        """`take` for several variables at once, with one matrix product for all of them."""
        reading = [(form, A) for form, A in self._waiting if any(v in form.dense for v in variables)]
        if reading:
            self._product(variables, reading)
        return [self._direct.pop(v, None) for v in variables]

    def _product(self, variables: Sequence[str], reading: list[tuple[AffineForm, Tensor]]) -> None:
        stacked = self._tables.of(variables, [form for form, _ in reading])
        parts = [A for _, A in reading]
        batch = max(A.shape[0] for A in parts)
        A = parts[0]
        if len(parts) > 1:
            A = torch.cat([A if A.shape[0] == batch else A.expand(batch, -1, -1) for A in parts], dim=-1)
        for variable, found in zip(
            stacked.reached, (A @ stacked.table).split(stacked.widths, dim=-1), strict=True
        ):
            self.put(variable, found)
