"""Backward linear bound propagation (CROWN: Zhang et al. 2018; as back-substitution in DeepPoly: Singh et al.
2019), from rows over some value down to the inputs.

A pass carries coefficients Λ (`Coefficients`) through the steps of a block in reverse. A gate replaces its
coefficients by those of its operands through its planes (`RelaxedGate.pull`); a scan takes its body from the
last time step to the first, the state's coefficients going from one time step to the one before. Every row is
a *lower* bound; an upper bound is the lower bound of the negated row.

What differs here: gates of several operands have planes of their own, recurrences are passed without being
unrolled, and every rounding is covered. The constants of rows are added up in float64, whatever the
arithmetic: a margin that is proportional to each gate's own part could not cover roundings as many as there
are time steps (`chain` counts them for float64).

With `lookback` k a scan is passed k time steps deep at most; there the coefficients of its states meet the
states' own intervals, and in a second version of the result the states' own linear bounds. Work then grows as
T·k, not T².
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from verifier.network.affine import AffineForm
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import Block, ScanStep
from verifier.propagation.coefficients import Coefficients, Tables
from verifier.propagation.compiled_cell import CompiledCell, Packed, Workspace, compiled_cell
from verifier.propagation.linear_functions import LinearFunctions
from verifier.propagation.lookback import Ends, StateBox, Window
from verifier.propagation.sites import RelaxedGate
from verifier.propagation.splits import SplitTerm


class Prepared:
    """What all passes through one program share, made when it is first needed: stacked tables, and compiled
    cells by the number of the scan and which of its outputs have coefficients. A copy in another process
    begins empty."""

    def __init__(self) -> None:
        self.tables = Tables()
        self._cells: dict[tuple[int, tuple[bool, ...]], CompiledCell | None] = {}

    def __reduce__(self) -> tuple[type[Prepared], tuple[()]]:
        return Prepared, ()

    def cell(self, scan: ScanStep, given: tuple[bool, ...]) -> CompiledCell | None:
        key = scan.number, given
        if key not in self._cells:
            self._cells[key] = compiled_cell(scan.body, given)
        return self._cells[key]


class BackwardPass:
    """Substitutes backward through `program` with the planes of the gates in `relaxed`; `lookback` needs the
    `states`.

    `multipliers` add the splits' Lagrange terms; `record` receives the coefficients of every gate's output.
    """

    def __init__(
        self,
        program: Block,
        relaxed: Mapping[SiteKey, RelaxedGate],
        prepared: Prepared,
        lookback: int | None = None,
        states: Mapping[SiteKey, list[StateBox]] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
        record: dict[SiteKey, Tensor] | None = None,
    ) -> None:
        self._program = program
        self._relaxed = relaxed
        self._prepared = prepared
        self._lookback = lookback
        self._states = {} if states is None else states
        self._multipliers = multipliers or {}
        self._record = record
        self._packed: dict[tuple[SiteKey, ...], Packed] = {}
        self._space = Workspace()

    def __reduce__(self) -> tuple[type[BackwardPass], tuple[Any, ...]]:
        return BackwardPass, (
            self._program,
            self._relaxed,
            self._prepared,
            self._lookback,
            self._states,
            self._multipliers,
            self._record,
        )

    def from_program(self, rows: Mapping[str, Tensor], constant: Tensor) -> LinearFunctions:
        """From rows [B, R, n] over variables of the program and their constant [B, R]."""
        run = self._begin(constant)
        return self._finish(Coefficients(self._prepared.tables, rows), run, constant.dtype)

    def from_time(
        self, scan: ScanStep, time: int, rows: Mapping[str, Tensor], constant: Tensor
    ) -> LinearFunctions:
        """The same for rows over variables of the body of `scan` at `time`."""
        run, outer = self._begin(constant), Coefficients(self._prepared.tables)
        entry = _Entry(time, time, inside=Coefficients(self._prepared.tables, rows))
        self._scan(scan, entry, outer, run)
        return self._finish(outer, run, constant.dtype)

    def _begin(self, constant: Tensor) -> _Run:
        return _Run(constant.double().unsqueeze(-1), self._multipliers, self._record)

    def _finish(self, coefficients: Coefficients, run: _Run, dtype: torch.dtype) -> LinearFunctions:
        self._block(self._program, 0, coefficients, run)
        constant = run.constant.squeeze(-1).to(dtype)
        found = self._over_inputs(coefficients, constant, run.ends.windows)
        return replace(found, met=run.ends.met(dtype))

    def _over_inputs(
        self, coefficients: Coefficients, constant: Tensor, windows: Mapping[str, Window]
    ) -> LinearFunctions:
        found = dict(zip(self._program.inputs, coefficients.take_all(self._program.inputs), strict=True))
        if len(windows) == 1 and all(A is None for A in found.values()):
            ((name, window),) = windows.items()
            before = self._program.inputs[: self._program.inputs.index(name)]
            start = sum(self._program.variables[other] for other in before) + window.start
            return LinearFunctions(window.coefficients, constant, start)
        parts = []
        for name, A in found.items():
            size = self._program.variables[name]
            if name in windows:
                whole = windows[name].within(size)
                A = whole if A is None else A + whole
            parts.append(constant.new_zeros(*constant.shape, size) if A is None else A)
        batch = max(A.shape[0] for A in parts)
        return LinearFunctions(torch.cat([A.expand(batch, -1, -1) for A in parts], dim=-1), constant, 0)

    def _block(self, block: Block, time: int, coefficients: Coefficients, run: _Run) -> None:
        """Carry `coefficients` from the variables of `block` to its inputs."""
        for step in reversed(block.steps):
            if isinstance(step, ScanStep):
                self._whole_scan(step, coefficients, run)
                continue
            A = coefficients.take(step.output)
            if A is None:
                continue
            operands = run.through_gate(step.at(time), self._relaxed[step.at(time)], A)
            for form, found in zip(step.operands, operands, strict=True):
                coefficients.pull(form, run.with_split(form.at(time), found))

    def _whole_scan(self, scan: ScanStep, outer: Coefficients, run: _Run) -> None:
        """From coefficients of the scan's outputs; time steps that no row needs are not passed."""
        finals, stacked = outer.take_all(scan.finals), outer.take_all(scan.stacked)
        parts = [None if A is None else A.unflatten(-1, (scan.length, -1)) for A in stacked]
        needed = _needed(scan, parts)
        if any(A is not None for A in finals):
            last = scan.length - 1
        elif needed:
            last = needed[-1]
        else:
            return
        oldest = min(needed, default=last)
        self._scan(scan, _Entry(last, oldest, states=finals, stacked=parts), outer, run)

    def _scan(self, scan: ScanStep, entry: _Entry, outer: Coefficients, run: _Run) -> None:
        """Time steps `entry.last` … 0, as far as `lookback` reaches, and always to `entry.oldest`. Where it
        starts inside of the body, coefficients of parts of an input go to the windows of the run's ends."""
        body, states, inside = scan.body, entry.states, entry.inside
        sequences: list[dict[int, Tensor]] = [{} for _ in scan.sequences]
        reach = entry.last + 1 if self._lookback is None else self._lookback
        first = max(0, min(entry.last + 1 - reach, entry.oldest))
        for time in range(entry.last, first - 1, -1):
            position = scan.position(time)
            if inside is None:
                given = states + [None if A is None else A[:, :, position] for A in entry.stacked]
                found = self._time_step(scan, time, given, run)
            else:
                self._block(body, time, inside, run)
                found, inside = inside.take_all(body.inputs), None
            states = found[: body.states]
            for parts, A in zip(sequences, found[body.states :], strict=True):
                if A is not None:
                    parts[position] = A
        if first > 0:
            for A, box in zip(states, self._states[scan.at(first)], strict=True):
                if A is not None:
                    run.constant = run.constant + run.ends.meet(A, box)
        else:
            for form, A in zip(scan.initial, states, strict=True):
                run.pull(outer, form, None if A is None else self._space.released(A))
        windows = run.ends.windows if entry.inside is not None else None
        for form, parts in zip(scan.sequences, sequences, strict=True):
            if parts and not (windows is not None and self._is_window(form, parts, windows)):
                run.pull(outer, form, _assemble(parts, range(scan.length)))

    def _is_window(self, form: AffineForm, parts: Mapping[int, Tensor], windows: dict[str, Window]) -> bool:
        """Put the coefficients of a sequence that is an input of the program, where there are none of it yet,
        to the `windows`; whether it is one."""
        if form.source not in self._program.inputs or form.source in windows:
            return False
        start = min(parts)
        A = _assemble(parts, range(start, max(parts) + 1))
        windows[form.source] = Window(start * A.shape[-1] // (max(parts) + 1 - start), A)
        return True

    def _time_step(
        self, scan: ScanStep, time: int, given: Sequence[Tensor | None], run: _Run
    ) -> list[Tensor | None]:
        """From coefficients of the outputs of the body to those of its inputs. What is given and what is
        found may lie in the workspace, where the next time step but one overwrites it: here and at the
        scan's end it is released before it is kept."""
        cell = None
        if self._record is None and not self._multipliers:
            cell = self._prepared.cell(scan, tuple(A is not None for A in given))
        if cell is not None:
            planes = self._planes_of(cell, time)
            rows = [A for A in given if A is not None]
            if cell.takes(planes, rows, run.constant):
                found, run.constant = cell.step(planes, rows, run.constant, self._space)
                return found
        coefficients = Coefficients(self._prepared.tables)
        for form, A in zip(scan.body.outputs, given, strict=False):
            run.pull(coefficients, form, None if A is None else self._space.released(A))
        self._block(scan.body, time, coefficients, run)
        return coefficients.take_all(scan.body.inputs)

    def _planes_of(self, cell: CompiledCell, time: int) -> Packed:
        """The planes of the gates of a compiled cell, packed once for all passes through them."""
        sites = tuple(step.at(time) for step in cell.gates)
        if sites not in self._packed:
            self._packed[sites] = Packed([self._relaxed[site] for site in sites], cell.dtype)
        return self._packed[sites]


@dataclass(slots=True, eq=False)
class _Run:
    """What one substitution carries beside the coefficients: the `constant` [B, R, 1] of its rows, in
    float64; the terms of splits, each to be added once; the `record`; and where it has ended."""

    constant: Tensor
    multipliers: Mapping[OperandKey, SplitTerm]
    record: dict[SiteKey, Tensor] | None
    ends: Ends = field(default_factory=Ends)
    _added: set[OperandKey] = field(default_factory=set)
    _held: tuple[Tensor, Tensor] | None = None  # the last coefficients of a gate, and their magnitudes

    def through_gate(self, key: SiteKey, gate: RelaxedGate, A: Tensor) -> list[Tensor]:
        """Coefficients A [B, R, n] of a gate's output ↦ those of its operands."""
        if self.record is not None:
            self.record[key] = A
        if self._held is None or self._held[0] is not A:  # gates that are added up have the same coefficients
            self._held = A, A.abs()
        operands, self.constant = gate.pull(A, self._held[1], self.constant)
        return operands

    def with_split(self, key: OperandKey, A: Tensor) -> Tensor:
        """Coefficients of an operand, and the term of its split; an operand of two gates counts once."""
        term = self.multipliers.get(key)
        if term is None or key in self._added:
            return A
        self._added.add(key)
        self.constant = self.constant + term.constant
        return A + term.row

    def pull(self, coefficients: Coefficients, form: AffineForm, A: Tensor | None) -> None:
        """Replace A·p by the coefficients and the constant that the form p is made of."""
        if A is None:
            return
        coefficients.pull(form, A)
        if form.has_bias:
            self.constant = self.constant + A @ form.bias.unsqueeze(-1)


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """Where a scan is entered: at time step `last`, `inside` its body; or after it, with coefficients of the
    `states` and, by position, of the `stacked` outputs, `oldest` being the first time step that has some."""

    last: int
    oldest: int
    inside: Coefficients | None = None
    states: list[Tensor | None] = field(default_factory=list)
    stacked: list[Tensor | None] = field(default_factory=list)


def chain(program: Block, dtype: torch.dtype) -> int:
    """Additions to the constant of a row on its way through `program`, at most, each of which rounds all that
    was added before by the unit of float64. None that count in float32, with its larger unit: 2^20 of them
    are less than one of its roundings."""
    if dtype != torch.float64:
        return 1
    bodies = [(step.body, step.length) for step in program.steps if isinstance(step, ScanStep)]
    each = [(len(b.steps) + len(b.outputs) + 2) * times for b, times in [(program, 1), *bodies]]
    return 2 * sum(each)


def _needed(scan: ScanStep, stacked: list[Tensor | None]) -> list[int]:
    """The time steps whose outputs have coefficients in `stacked`, in order."""
    present = [(A != 0).flatten(0, 1).any(0).any(-1) for A in stacked if A is not None]
    if not present:
        return []
    used = torch.stack(present).any(0).tolist()
    return [time for time in range(scan.length) if used[scan.position(time)]]


def _assemble(parts: Mapping[int, Tensor], wanted: range) -> Tensor:
    """Coefficients by position, zero where missing, as one [B, R, len(wanted)·n]."""
    batch = max(A.shape[0] for A in parts.values())
    some = next(iter(parts.values()))
    zero = some.new_zeros(1, 1, 1)
    return torch.cat([parts.get(k, zero).expand(batch, some.shape[1], some.shape[2]) for k in wanted], dim=-1)
