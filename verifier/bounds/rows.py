"""Lower bounds over a region of rows over a network's values: backward passes, in chunks that fit memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from verifier.bounds.multi_neuron import MultiNeuron
from verifier.network.affine import AffineForm
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import Block, ScanStep
from verifier.network.rounding import RoundingModel
from verifier.problem.region import Region
from verifier.propagation.backward import BackwardPass, Prepared, chain
from verifier.propagation.forward import LinearBounds, LinearPass, LinearRules
from verifier.propagation.interval import Interval, Operand, interval_of
from verifier.propagation.linear_functions import LinearFunctions, joined
from verifier.propagation.lookback import StateBox, state_box
from verifier.propagation.sites import RelaxedGate, Site
from verifier.propagation.splits import SplitTerm

ROW_ENTRIES = 1 << 24  # coefficients that one pass may hold per value; more rows are passed in chunks
REACH = 3  # how many times the inputs that a pass reaches the linear bounds of states may read


@dataclass(frozen=True, slots=True, eq=False)
class FormFunctions:
    """The `rows` [2n] of a backward pass that are below a form, then below its negation, known up to `error`
    [B, n]: of the `functions` of all rows, where the linear bounds of states may be `better` [B, R]."""

    functions: LinearFunctions
    better: Tensor
    rows: Tensor
    error: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class FormBounds:
    """Bounds `lower` and `upper` [B, n] of a form; where they were wanted, the functions that gave them."""

    lower: Tensor
    upper: Tensor
    functions: FormFunctions | None


class RowBounds:
    """Backward passes over `region` through the planes `relaxed` of all sites that were `put` in so far.

    `chain` counts the additions to a row's constant, for the rounding model; with a `lookback` passes end in
    the boxes of states that `end_in` is told. Where there is a `multi_neuron`, rows win back what its gates
    cannot lose together: those of outputs and, with its `boxes`, all others too.
    """

    def __init__(
        self,
        program: Block,
        region: Region,
        rounding: RoundingModel,
        lookback: int | None,
        prepared: Prepared,
        multi_neuron: MultiNeuron | None = None,
    ) -> None:
        self._program = program
        self._region = region
        self._rounding = rounding
        self._batch = len(region)
        self._lookback = lookback
        self._prepared = prepared
        self.multi_neuron = multi_neuron
        self.relaxed: dict[SiteKey, RelaxedGate] = {}
        self.rules = LinearRules(region, rounding)
        self.chain = chain(program, rounding.dtype)
        self._states: dict[SiteKey, list[StateBox]] = {}
        self._plain = self._pass()
        self._starts: dict[tuple[int, ...], tuple[dict[str, Tensor], Tensor]] = {}

    def put(self, site: Site) -> None:
        """The planes of one more gate, through which passes go from now on."""
        self.relaxed[site.key] = site.relaxed()

    def end_in(
        self, scan: ScanStep, time: int, states: Sequence[Interval], lines: Sequence[LinearBounds]
    ) -> None:
        """Passes may end in these intervals of all states before `time`, and in these linear bounds, if there
        are any. Where the scan has no outputs but its states, none will end any more where the earliest do.
        """
        relative = self._rounding.affine(0, scan.body.width + self.chain)
        boxes = [state_box(state, relative) for state in states]
        for k, (line, state) in enumerate(zip(lines, states, strict=False)):
            boxes[k] = replace(boxes[k], lines=self.rules.state(line, state, relative))
        self._states[scan.at(time)] = boxes
        if self._lookback is not None and not scan.stacked:
            self._states.pop(scan.at(time - self._lookback), None)

    def linear(
        self,
        block: Block,
        time: int,
        intervals: Mapping[str, Interval],
        sites: Mapping[SiteKey, Site],
        known: Mapping[str, LinearBounds],
    ) -> LinearPass:
        """Linear bounds of the values of `block` at `time`."""

        def operand(form: AffineForm) -> Operand:
            return interval_of(form, intervals, self._rounding, block.width, self._batch)

        return LinearPass(block, time, self.rules, operand, intervals, sites, known)

    def minimum(
        self, rows: Mapping[str, Tensor], constant: Tensor, scan: ScanStep | None, time: int
    ) -> Tensor:
        """Lower bounds [B, R] of rows [B or 1, R, n] over variables of the body of `scan` at `time`, or of
        the program where there is no scan, plus `constant` [B or 1, R]."""
        found = []
        for functions, record in self._functions(rows, constant, scan, time):
            best = self._minimum(functions)[0]
            if self.multi_neuron is not None and self.multi_neuron.boxes:
                f = functions
                more = self.multi_neuron.minimum(f.coefficients, f.constant, f.start, record)
                best = torch.maximum(best, more)
            found.append(best)
        return torch.cat(found, -1)

    def of_forms(
        self, forms: list[AffineForm], errors: list[Tensor], scan: ScanStep | None, time: int, keep: bool
    ) -> list[FormBounds]:
        """Bounds of every form, known up to `errors`, by one pass of both signs of all of them; `keep` the
        functions that gave them."""
        sizes = [form.size for form in forms]
        kept: list[FormFunctions | None] = [None] * len(forms)
        if keep:
            functions = joined([part for part, _ in self._functions(*self._start(forms), scan, time)])
            found, better = self._minimum(functions)
            rows = torch.arange(sum(sizes), device=found.device).split(sizes)
            kept = [
                FormFunctions(functions, better, torch.cat([part, part + sum(sizes)]), error)
                for part, error in zip(rows, errors, strict=True)
            ]
        else:
            found = self.minimum(*self._start(forms), scan, time)
        lower, negated = found.chunk(2, dim=-1)
        error = torch.cat(errors, -1)
        lower, upper = never_nan(lower - error), -never_nan(negated - error)
        each = zip(lower.split(sizes, -1), upper.split(sizes, -1), kept, strict=True)
        return [FormBounds(*one) for one in each]

    def linear_bounds(self, found: FormFunctions) -> LinearBounds:
        """The functions of a form as linear bounds on both sides."""
        functions = found.functions.select(found.rows)
        first, last = functions.start, functions.stop
        chosen = self._chosen(functions, found.better[:, found.rows])
        width = REACH * (last - first)
        return self.rules.of_rows(chosen, found.error, min(first, last - width), max(last, first + width))

    def _functions(
        self, rows: Mapping[str, Tensor], constant: Tensor, scan: ScanStep | None, time: int
    ) -> Iterator[tuple[LinearFunctions, dict[SiteKey, Tensor]]]:
        """Passes of as many rows at a time as memory is for; with the coefficients of every gate, where boxes
        win something by a `multi_neuron`."""
        entries = self._batch * max((A.shape[-1] for A in rows.values()), default=1)
        chunk = max(64, ROW_ENTRIES // entries)
        recorded = self.multi_neuron is not None and self.multi_neuron.boxes
        for first in range(0, constant.shape[-1], chunk):
            part = {name: A[:, first : first + chunk] for name, A in rows.items()}
            bias = constant[:, first : first + chunk]
            record: dict[SiteKey, Tensor] = {}
            backward = self._pass(record=record) if recorded else self._plain
            if scan is None:
                yield backward.from_program(part, bias), record
            else:
                yield backward.from_time(scan, time, part, bias), record

    def _minimum(self, functions: LinearFunctions) -> tuple[Tensor, Tensor]:
        """Lower bounds [B, R], and whether they stand on linear bounds of states.

        The minimum of a sum of functions is not below the sum of their minima, and over a box, if they read
        different inputs, equal to it.
        """
        A = functions.coefficients.expand(self._batch, -1, -1)
        found = functions.constant + self._region.minimum(A, functions.start)
        met = functions.met
        if met is None:
            return found, torch.zeros_like(found, dtype=torch.bool)
        if self._region.cutting_ball is None:
            B = met.coefficients.expand(self._batch, -1, -1)
            high = found + (met.constant + self._region.minimum(B, met.start))
        else:
            whole = functions.whole()
            A = whole.coefficients.expand(self._batch, -1, -1)
            high = whole.constant + self._region.minimum(A, whole.start)
        better = high > never_nan(found)
        return torch.where(better, high, found), better

    def _chosen(self, functions: LinearFunctions, better: Tensor) -> LinearFunctions:
        """The functions that `_minimum` has found to be `better` [B, R]."""
        if functions.met is None:
            return functions.expand(self._batch)
        whole = functions.whole()
        plain = pad(functions.coefficients, (functions.start - whole.start, whole.stop - functions.stop))
        return LinearFunctions(
            torch.where(better.unsqueeze(-1), whole.coefficients, plain),
            torch.where(better, whole.constant, functions.constant),
            whole.start,
        )

    def of_outputs(
        self,
        outputs: Tensor,
        known: Sequence[Operand],
        relaxed: Mapping[SiteKey, RelaxedGate] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
        record: dict[SiteKey, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Linear functions of the inputs below rows `outputs` [B or 1, R, m] over all outputs in order, whose
        intervals and magnitudes are `known`: coefficients [B, R, N] and constants [B, R]. Differentiable
        in the planes of `relaxed`, which replace those of the object, and in `multipliers` of the splits;
        `record` receives the coefficients of every gate."""
        backward = self._plain
        if relaxed is not None or multipliers is not None or record is not None:
            backward = self._pass(relaxed, multipliers, record)
        rows: dict[str, Tensor] = {}
        constant = outputs.new_zeros(outputs.shape[:2])
        start = 0
        for form, (interval, magnitude) in zip(self._program.outputs, known, strict=True):
            A = outputs[..., start : start + form.size]
            start += form.size
            relative = self._rounding.affine(form.depth, self._program.width + self.chain)
            constant = constant + A @ form.bias
            constant = constant - (A.abs() * (interval.error + relative * magnitude).unsqueeze(1)).sum(-1)
            for name, linear_map in form.terms.items():
                added = linear_map.adjoint(A)
                rows[name] = rows[name] + added if name in rows else added
        functions = backward.from_program(rows, constant)
        if functions.met is None:
            functions = functions.expand(self._batch)
        else:
            functions = self._chosen(functions, self._minimum(functions)[1])
        return functions.coefficients, functions.constant

    def _pass(
        self,
        relaxed: Mapping[SiteKey, RelaxedGate] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
        record: dict[SiteKey, Tensor] | None = None,
    ) -> BackwardPass:
        return BackwardPass(
            self._program,
            self.relaxed if relaxed is None else relaxed,
            self._prepared,
            lookback=self._lookback,
            states=self._states,
            multipliers=multipliers,
            record=record,
        )

    def _start(self, forms: list[AffineForm]) -> tuple[dict[str, Tensor], Tensor]:
        """Rows [1, 2N, n] = [M; −M] over each variable that the forms read, and ±bias [1, 2N]; kept, as every
        time step of a scan asks for the same."""
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
