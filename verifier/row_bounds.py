"""Lower bounds over a region of rows over a network's values: backward sweeps, in chunks that fit memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from verifier.affine import AffineForm
from verifier.arithmetic import Arithmetic
from verifier.interval import Interval
from verifier.program import Block, ScanStep
from verifier.region import Region
from verifier.relaxed import RelaxedGate
from verifier.site import Key
from verifier.splits import Multiplier
from verifier.sweep import StateBox, Sweep, chain

ROW_ENTRIES = 1 << 24  # coefficients that one sweep may hold per value; more rows are swept in chunks


class RowBounds:
    """Sweeps through the planes in `relaxed`, which may still be filled, over `region`.

    `chain` counts the additions to a row's constant, for the rounding model; with a `lookback` sweeps end in
    the boxes that are put into `states`.
    """

    def __init__(
        self,
        program: Block,
        region: Region,
        arithmetic: Arithmetic,
        lookback: int | None,
        relaxed: Mapping[Key, RelaxedGate],
    ) -> None:
        self._program = program
        self._region = region
        self._arithmetic = arithmetic
        self._batch = len(region)
        self._lookback = lookback
        self._relaxed = relaxed
        self.chain = chain(program, arithmetic.dtype)
        self.states: dict[Key, list[StateBox]] = {}
        self._sweep = self._sweep_with(relaxed)
        self._starts: dict[tuple[int, ...], tuple[dict[str, Tensor], Tensor]] = {}

    def minimum(
        self, rows: Mapping[str, Tensor], constant: Tensor, scan: ScanStep | None, iteration: int
    ) -> Tensor:
        """Lower bounds [B, R] of rows [B or 1, R, n] over variables of the body of `scan` at `iteration`, or
        of the program where there is no scan, plus `constant` [B or 1, R]."""
        entries = self._batch * max((A.shape[-1] for A in rows.values()), default=1)
        chunk = max(64, ROW_ENTRIES // entries)
        found = []
        for first in range(0, constant.shape[-1], chunk):
            part = {name: A[:, first : first + chunk] for name, A in rows.items()}
            bias = constant[:, first : first + chunk]
            if scan is None:
                swept = self._sweep.from_program(part, bias)
            else:
                swept = self._sweep.from_iteration(scan, iteration, part, bias)
            A = swept.coefficients.expand(self._batch, -1, -1)
            found.append(swept.constant + self._region.minimum(A, swept.start))
        return torch.cat(found, -1)

    def of_forms(
        self, forms: list[AffineForm], errors: list[Tensor], scan: ScanStep | None, iteration: int
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Lower and upper bounds [B, n] of every form, by one sweep of both signs of all of them."""
        found = self.minimum(*self._start(forms), scan, iteration)
        error = torch.cat(errors, -1)
        lower, negated = found.chunk(2, dim=-1)
        sizes = [form.size for form in forms]
        lower, upper = never_nan(lower - error), -never_nan(negated - error)
        return list(lower.split(sizes, -1)), list(upper.split(sizes, -1))

    def of_outputs(
        self,
        outputs: Tensor,
        known: Sequence[tuple[Interval, Tensor]],
        relaxed: Mapping[Key, RelaxedGate] | None = None,
        multipliers: Mapping[Key, Multiplier] | None = None,
        record: dict[Key, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Linear functions of the inputs below rows `outputs` [B or 1, R, m] over all outputs in order, whose
        intervals and magnitudes are `known`: coefficients [B or 1, R, N] and constants [B, R]. Differentiable
        in the planes of `relaxed`, which replace those of the object, and in `multipliers` of the splits;
        `record` receives the coefficients of every gate."""
        sweep = self._sweep
        if relaxed is not None or multipliers is not None or record is not None:
            sweep = self._sweep_with(self._relaxed if relaxed is None else relaxed, multipliers, record)
        rows: dict[str, Tensor] = {}
        constant = outputs.new_zeros(outputs.shape[:2])
        start = 0
        for form, (interval, magnitude) in zip(self._program.outputs, known, strict=True):
            A = outputs[..., start : start + form.size]
            start += form.size
            relative = self._arithmetic.affine(form.depth, self._program.width + self.chain)
            constant = constant + A @ form.bias
            constant = constant - (A.abs() * (interval.error + relative * magnitude).unsqueeze(1)).sum(-1)
            for name, linear_map in form.terms.items():
                added = linear_map.adjoint(A)
                rows[name] = rows[name] + added if name in rows else added
        swept = sweep.from_program(rows, constant)
        return swept.coefficients, swept.constant

    def _sweep_with(
        self,
        relaxed: Mapping[Key, RelaxedGate],
        multipliers: Mapping[Key, Multiplier] | None = None,
        record: dict[Key, Tensor] | None = None,
    ) -> Sweep:
        return Sweep(
            self._program,
            lambda step, iteration: relaxed[id(step), iteration],
            lookback=self._lookback,
            states=self.states,
            multipliers=multipliers,
            record=record,
        )

    def _start(self, forms: list[AffineForm]) -> tuple[dict[str, Tensor], Tensor]:
        """Rows [1, 2N, n] = [M; −M] over each variable that the forms read, and ±bias [1, 2N]; kept."""
        key = tuple(id(form) for form in forms)
        if key not in self._starts:
            total = sum(form.size for form in forms)
            rows: dict[str, Tensor] = {}
            start = 0
            for form in forms:
                for name, linear_map in form.terms.items():
                    table = linear_map.rows()
                    if name not in rows:
                        rows[name] = table.new_zeros(total, table.shape[-1])
                    rows[name][start : start + form.size] = table
                start += form.size
            bias = torch.cat([form.bias for form in forms])
            both = {name: torch.cat([A, -A]).unsqueeze(0) for name, A in rows.items()}
            self._starts[key] = both, torch.cat([bias, -bias]).unsqueeze(0)
        return self._starts[key]


def never_nan(bound: Tensor) -> Tensor:
    """A bound that could not be computed, or overflowed, is no bound: −∞."""
    return torch.nan_to_num(bound, nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)
