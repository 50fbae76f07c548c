"""Lower bounds over a region of rows over a network's values: backward sweeps, in chunks that fit memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from verifier.bounds.multi_neuron import Joint
from verifier.network.affine import AffineForm
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import Block, ScanStep
from verifier.network.rounding import RoundingModel
from verifier.problem.region import Region
from verifier.propagation.backward import BackwardPass, chain
from verifier.propagation.forward import LinearBounds, LinearPass, LinearRules
from verifier.propagation.interval import Interval, interval_of
from verifier.propagation.linear_functions import LinearFunctions, joined
from verifier.propagation.lookback import StateBox, state_box
from verifier.propagation.sites import RelaxedGate, Site
from verifier.propagation.splits import SplitTerm

ROW_ENTRIES = 1 << 24  # coefficients that one sweep may hold per value; more rows are swept in chunks
REACH = 3  # how many times the inputs that a sweep reaches the linear bounds of states may read


class RowBounds:
    """Sweeps through the planes in `relaxed`, which may still be filled, over `region`.

    `chain` counts the additions to a row's constant, for the rounding model; with a `lookback` sweeps end in
    the boxes that are put into `states`. Where there is a `joint`, rows win back what its gates cannot lose
    together: those of outputs, and with `joint_boxes` all others too.
    """

    def __init__(
        self,
        program: Block,
        region: Region,
        arithmetic: RoundingModel,
        lookback: int | None,
        relaxed: Mapping[SiteKey, RelaxedGate],
        joint: Joint | None = None,
        joint_boxes: bool = True,
    ) -> None:
        self._program = program
        self._region = region
        self._arithmetic = arithmetic
        self._batch = len(region)
        self._lookback = lookback
        self._relaxed = relaxed
        self.joint = joint
        self._joint_boxes = joint is not None and joint_boxes
        self.rules = LinearRules(region, arithmetic)
        self.chain = chain(program, arithmetic.dtype)
        self.states: dict[SiteKey, list[StateBox]] = {}
        self._sweep = self._sweep_with(relaxed)
        self._starts: dict[tuple[int, ...], tuple[dict[str, Tensor], Tensor]] = {}

    def end_in(
        self, scan: ScanStep, iteration: int, states: Sequence[Interval], lines: Sequence[LinearBounds]
    ) -> None:
        """Sweeps may end in these intervals of all states before `iteration`, and in these linear bounds, if
        there are any. Where no frame of the scan is read, no sweep will end any more where the earliest do.
        """
        relative = self._arithmetic.affine(0, scan.body.width + self.chain)
        boxes = [state_box(state, relative) for state in states]
        for k, (line, state) in enumerate(zip(lines, states, strict=False)):
            boxes[k] = replace(boxes[k], lines=self.rules.state(line, state, relative))
        self.states[scan.at(iteration)] = boxes
        if self._lookback is not None and not scan.stacked:
            self.states.pop(scan.at(iteration - self._lookback), None)

    def linear(
        self,
        block: Block,
        iteration: int,
        intervals: Mapping[str, Interval],
        sites: Mapping[SiteKey, Site],
        known: Mapping[str, LinearBounds],
    ) -> LinearPass:
        """Linear bounds of the values of `block` at `iteration`."""

        def interval(form: AffineForm) -> tuple[Interval, Tensor]:
            return interval_of(form, intervals, self._arithmetic, block.width, self._batch)

        return LinearPass(block, iteration, self.rules, interval, intervals, sites, known)

    def minimum(
        self, rows: Mapping[str, Tensor], constant: Tensor, scan: ScanStep | None, iteration: int
    ) -> Tensor:
        """Lower bounds [B, R] of rows [B or 1, R, n] over variables of the body of `scan` at `iteration`, or
        of the program where there is no scan, plus `constant` [B or 1, R]."""
        found = []
        for swept, record in self._swept(rows, constant, scan, iteration):
            best = self._minimum(swept)[0]
            if self._joint_boxes and self.joint is not None:
                more = self.joint.minimum(swept.coefficients, swept.constant, swept.start, record)
                best = torch.maximum(best, more)
            found.append(best)
        return torch.cat(found, -1)

    def of_forms(
        self,
        forms: list[AffineForm],
        errors: list[Tensor],
        scan: ScanStep | None,
        iteration: int,
        linear: LinearPass | None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Lower and upper bounds [B, n] of every form, by one sweep of both signs of all of them; and in
        `linear` the functions that gave them."""
        sizes = [form.size for form in forms]
        if linear is None:
            found = self.minimum(*self._start(forms), scan, iteration)
        else:
            swept = joined([part for part, _ in self._swept(*self._start(forms), scan, iteration)])
            found, better = self._minimum(swept)
            start = 0
            for form, error in zip(forms, errors, strict=True):
                rows = torch.arange(start, start + form.size, device=found.device)
                rows = torch.cat([rows, rows + sum(sizes)])
                linear.swept[form.number] = partial(self._linear, swept, better, rows, error)
                start += form.size
        lower, negated = found.chunk(2, dim=-1)
        error = torch.cat(errors, -1)
        lower, upper = never_nan(lower - error), -never_nan(negated - error)
        return list(lower.split(sizes, -1)), list(upper.split(sizes, -1))

    def _linear(self, swept: LinearFunctions, better: Tensor, rows: Tensor, error: Tensor) -> LinearBounds:
        """From `rows` that bound a form from below, then its negation."""
        part = swept.select(rows)
        first, last = part.start, part.stop
        chosen = self._chosen(part, better[:, rows])
        width = REACH * (last - first)
        return self.rules.of_rows(chosen, error, min(first, last - width), max(last, first + width))

    def _swept(
        self, rows: Mapping[str, Tensor], constant: Tensor, scan: ScanStep | None, iteration: int
    ) -> Iterator[tuple[LinearFunctions, dict[SiteKey, Tensor]]]:
        """Sweeps of as many rows at a time as memory is for; with the coefficients of every gate, where its
        boxes win something by a `joint`."""
        entries = self._batch * max((A.shape[-1] for A in rows.values()), default=1)
        chunk = max(64, ROW_ENTRIES // entries)
        for first in range(0, constant.shape[-1], chunk):
            part = {name: A[:, first : first + chunk] for name, A in rows.items()}
            bias = constant[:, first : first + chunk]
            record: dict[SiteKey, Tensor] = {}
            sweep = self._sweep_with(self._relaxed, record=record) if self._joint_boxes else self._sweep
            if scan is None:
                yield sweep.from_program(part, bias), record
            else:
                yield sweep.from_iteration(scan, iteration, part, bias), record

    def _minimum(self, swept: LinearFunctions) -> tuple[Tensor, Tensor]:
        """Lower bounds [B, R], and whether they stand on linear bounds of states.

        The minimum of a sum of functions is not below the sum of their minima, and over a box, if they read
        different inputs, equal to it.
        """
        A = swept.coefficients.expand(self._batch, -1, -1)
        found = swept.constant + self._region.minimum(A, swept.start)
        met = swept.met
        if met is None:
            return found, torch.zeros_like(found, dtype=torch.bool)
        if self._region.cutting_ball is None:
            B = met.coefficients.expand(self._batch, -1, -1)
            high = found + (met.constant + self._region.minimum(B, met.start))
        else:
            whole = swept.whole()
            A = whole.coefficients.expand(self._batch, -1, -1)
            high = whole.constant + self._region.minimum(A, whole.start)
        better = high > never_nan(found)
        return torch.where(better, high, found), better

    def _chosen(self, swept: LinearFunctions, better: Tensor) -> LinearFunctions:
        """The functions that `_minimum` has found to be `better` [B, R]."""
        if swept.met is None:
            return swept.expand(self._batch)
        whole = swept.whole()
        plain = pad(swept.coefficients, (swept.start - whole.start, whole.stop - swept.stop))
        return LinearFunctions(
            torch.where(better.unsqueeze(-1), whole.coefficients, plain),
            torch.where(better, whole.constant, swept.constant),
            whole.start,
        )

    def of_outputs(
        self,
        outputs: Tensor,
        known: Sequence[tuple[Interval, Tensor]],
        relaxed: Mapping[SiteKey, RelaxedGate] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
        record: dict[SiteKey, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Linear functions of the inputs below rows `outputs` [B or 1, R, m] over all outputs in order, whose
        intervals and magnitudes are `known`: coefficients [B, R, N] and constants [B, R]. Differentiable
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
        swept = self._chosen(swept, self._minimum(swept)[1]) if swept.met else swept.expand(self._batch)
        return swept.coefficients, swept.constant

    def _sweep_with(
        self,
        relaxed: Mapping[SiteKey, RelaxedGate],
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
        record: dict[SiteKey, Tensor] | None = None,
    ) -> BackwardPass:
        return BackwardPass(
            self._program,
            lambda step, iteration: relaxed[step.at(iteration)],
            lookback=self._lookback,
            states=self.states,
            multipliers=multipliers,
            record=record,
        )

    def _start(self, forms: list[AffineForm]) -> tuple[dict[str, Tensor], Tensor]:
        """Rows [1, 2N, n] = [M; −M] over each variable that the forms read, and ±bias [1, 2N]; kept."""
        key = tuple(form.number for form in forms)
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
