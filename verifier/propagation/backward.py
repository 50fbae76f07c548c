"""Backward substitution: one sweep from rows over some value down to the inputs.

A sweep carries coefficients Λ (`Coefficients`) through the steps of a block in reverse. A gate replaces its
coefficients by those of its operands through its planes (`RelaxedGate.pull`); a scan walks its body from
the last iteration to the first, the state's coefficients going from one iteration to the one before.
Every row is a *lower* bound; an upper bound is the lower bound of the negated row.

The constants of rows are added up in float64, whatever the arithmetic: a margin that is proportional to each
gate's own part could not cover roundings as many as there are iterations (`chain` counts them for float64).

With `lookback` k a scan is walked k iterations deep at most; there the coefficients of its states meet the
states' own intervals, and in a second version of the result the states' own linear bounds. Work then grows as
T·k, not T².
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from verifier.network.affine import AffineForm
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import Block, GateStep, ScanStep
from verifier.propagation.coefficients import Coefficients
from verifier.propagation.compiled_cell import Packed, Workspace, compiled_cell
from verifier.propagation.linear_functions import LinearFunctions
from verifier.propagation.lookback import Ends, StateBox, Window
from verifier.propagation.sites import RelaxedGate
from verifier.propagation.splits import SplitTerm

Planes = Callable[[GateStep, int], RelaxedGate]  # (step, iteration; 0 outside scans) → its planes


class BackwardPass:
    """Substitutes backward through `program` with the gates' `planes`; `lookback` needs the `states`.

    `multipliers` add the splits' Lagrange terms; `record` receives the coefficients of every gate's output.
    """

    def __init__(
        self,
        program: Block,
        planes: Planes,
        lookback: int | None = None,
        states: Mapping[SiteKey, list[StateBox]] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
        record: dict[SiteKey, Tensor] | None = None,
    ) -> None:
        self._program = program
        self._planes = planes
        self._lookback = lookback
        self._states = {} if states is None else states
        self._multipliers = multipliers or {}
        self._record = record
        self._packed: dict[tuple[SiteKey, ...], Packed] = {}
        self._space = Workspace()

    def from_program(self, rows: Mapping[str, Tensor], constant: Tensor) -> LinearFunctions:
        """From rows [B, R, n] over variables of the program and their constant [B, R]."""
        cotangents = Coefficients(self._program.fused, rows)
        return self._finish(cotangents, constant.double().unsqueeze(-1), Ends(), constant.dtype)

    def from_iteration(
        self, scan: ScanStep, iteration: int, rows: Mapping[str, Tensor], constant: Tensor
    ) -> LinearFunctions:
        """The same for rows over variables of the body of `scan` at `iteration`."""
        cotangents = Coefficients(scan.body.fused, rows)
        outer = Coefficients(self._program.fused)
        ends = Ends()
        start = constant.double().unsqueeze(-1)
        found = self._scan(scan, iteration, cotangents, [], [], outer, start, ends)
        return self._finish(outer, found, ends, constant.dtype)

    def _finish(
        self, cotangents: Coefficients, constant: Tensor, ends: Ends, dtype: torch.dtype
    ) -> LinearFunctions:
        constant = self._block(self._program, 0, cotangents, constant, ends).squeeze(-1)
        swept = self._swept(cotangents, constant.to(dtype), ends.windows)
        return replace(swept, met=ends.met(dtype))

    def _swept(
        self, cotangents: Coefficients, constant: Tensor, windows: Mapping[str, Window]
    ) -> LinearFunctions:
        found = dict(zip(self._program.inputs, cotangents.take_all(self._program.inputs), strict=True))
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

    def _block(
        self, block: Block, iteration: int, cotangents: Coefficients, constant: Tensor, ends: Ends
    ) -> Tensor:
        """Carry `cotangents` from the variables of `block` to its inputs; constants are [B, R, 1] in here."""
        added: set[int] = set()
        held = magnitude = constant  # gates that are added up have the same coefficients
        for step in reversed(block.steps):
            if isinstance(step, GateStep):
                A = cotangents.take(step.output)
                if A is None:
                    continue
                if A is not held:
                    held, magnitude = A, A.abs()
                operands, constant = self._planes(step, iteration).pull(A, magnitude, constant)
                if self._record is not None:
                    self._record[step.at(iteration)] = A
                for form, coefficients in zip(step.operands, operands, strict=True):
                    multiplier = self._multipliers.get(form.at(iteration))
                    if (
                        multiplier is not None and form.number not in added
                    ):  # an operand of two gates counts once
                        added.add(form.number)
                        coefficients = coefficients + multiplier.row
                        constant = constant + multiplier.constant
                    cotangents.pull(form, coefficients)
            else:
                finals = cotangents.take_all(step.finals)
                stacked = cotangents.take_all(step.stacked)
                constant = self._whole_scan(step, finals, stacked, cotangents, constant, ends)
        return constant

    def _whole_scan(
        self,
        scan: ScanStep,
        finals: list[Tensor | None],
        stacked: list[Tensor | None],
        outer: Coefficients,
        constant: Tensor,
        ends: Ends,
    ) -> Tensor:
        """From coefficients of the scan's outputs; frames that no row needs are not walked."""
        frames = [None if A is None else A.unflatten(-1, (scan.length, -1)) for A in stacked]
        needed = self._needed(scan, frames)
        if any(A is not None for A in finals):
            last = scan.length - 1
        elif needed:
            last = needed[-1]
        else:
            return constant
        oldest = min(needed, default=last)
        return self._scan(scan, last, None, finals, frames, outer, constant, ends, oldest)

    @staticmethod
    def _needed(scan: ScanStep, frames: list[Tensor | None]) -> list[int]:
        """The iterations whose frames have coefficients, in order."""
        present = [(A != 0).flatten(0, 1).any(0).any(-1) for A in frames if A is not None]
        if not present:
            return []
        used = torch.stack(present).any(0).tolist()
        return [k for k in range(scan.length) if used[scan.position(k)]]

    def _scan(
        self,
        scan: ScanStep,
        last: int,
        cotangents: Coefficients | None,
        states: list[Tensor | None],
        stacked: list[Tensor | None],
        outer: Coefficients,
        constant: Tensor,
        ends: Ends,
        oldest: int | None = None,
    ) -> Tensor:
        """CompiledCell iterations `last` … 0, starting from what `cotangents` holds over the body at `last`,
        or from coefficients of the `states` after it, as far as `lookback` reaches; always to `oldest`, the
        first iteration with coefficients in `stacked`. Where it starts inside of the body, coefficients of
        frames of an input go to the windows of `ends`."""
        body = scan.body
        windows = None if cotangents is None else ends.windows
        sequences: list[dict[int, Tensor]] = [{} for _ in scan.sequences]
        reach = last + 1 if self._lookback is None else self._lookback
        first = max(0, min(last + 1 - reach, last if oldest is None else oldest))
        for iteration in range(last, first - 1, -1):
            frame = scan.position(iteration)
            if cotangents is None:
                given = states + [None if A is None else A[:, :, frame] for A in stacked]
                found, constant = self._iteration(body, iteration, given, constant, ends)
            else:
                constant = self._block(body, iteration, cotangents, constant, ends)
                found, cotangents = cotangents.take_all(body.inputs), None
            states = found[: body.states]
            for frames, A in zip(sequences, found[body.states :], strict=True):
                if A is not None:
                    frames[frame] = A
        if first > 0:
            for A, box in zip(states, self._states[scan.at(first)], strict=True):
                if A is not None:
                    constant = constant + ends.meet(A, box)
        else:
            for form, A in zip(scan.initial, states, strict=True):
                constant = _pull(outer, form, None if A is None else self._space.released(A), constant)
        for form, frames in zip(scan.sequences, sequences, strict=True):
            if not frames:
                continue
            if windows is not None and form.source in self._program.inputs and form.source not in windows:
                start = min(frames)
                A = _assemble(frames, range(start, max(frames) + 1))
                windows[form.source] = Window(start * A.shape[-1] // (max(frames) + 1 - start), A)
            else:
                constant = _pull(outer, form, _assemble(frames, range(scan.length)), constant)
        return constant

    def _iteration(
        self, body: Block, iteration: int, given: list[Tensor | None], constant: Tensor, ends: Ends
    ) -> tuple[list[Tensor | None], Tensor]:
        """From coefficients of the outputs of `body` to those of its inputs."""
        walk = None
        if self._record is None and not self._multipliers:
            walk = compiled_cell(body, tuple(A is not None for A in given))
        if walk is not None:
            sites = tuple(step.at(iteration) for step in walk.gates)
            planes = self._packed.get(sites)
            if planes is None:
                planes = Packed([self._planes(step, iteration) for step in walk.gates], walk.dtype)
                self._packed[sites] = planes
            rows = [A for A in given if A is not None]
            if walk.takes(planes, rows, constant):
                return walk.step(planes, rows, constant, self._space)
        cotangents = Coefficients(body.fused)
        for form, A in zip(body.outputs, given, strict=False):
            constant = _pull(cotangents, form, None if A is None else self._space.released(A), constant)
        constant = self._block(body, iteration, cotangents, constant, ends)
        return cotangents.take_all(body.inputs), constant


def chain(program: Block, dtype: torch.dtype) -> int:
    """Additions to the constant of a row on its way through `program`, at most, each of which rounds all that
    was added before by the unit of float64. None that count in float32, with its larger unit: 2^20 of them
    are less than one of its roundings."""
    if dtype != torch.float64:
        return 1
    bodies = [(step.body, step.length) for step in program.steps if isinstance(step, ScanStep)]
    each = [(len(b.steps) + len(b.outputs) + 2) * times for b, times in [(program, 1), *bodies]]
    return 2 * sum(each)


def _pull(cotangents: Coefficients, form: AffineForm, A: Tensor | None, constant: Tensor) -> Tensor:
    if A is None:
        return constant
    cotangents.pull(form, A)
    return constant + A @ form.bias.unsqueeze(-1) if form.has_bias else constant


def _assemble(frames: Mapping[int, Tensor], wanted: range) -> Tensor:
    """Coefficients by frame, zero where missing, as one [B, R, len(wanted)·n]."""
    batch = max(A.shape[0] for A in frames.values())
    some = next(iter(frames.values()))
    zero = some.new_zeros(1, 1, 1)
    return torch.cat(
        [frames.get(k, zero).expand(batch, some.shape[1], some.shape[2]) for k in wanted], dim=-1
    )
