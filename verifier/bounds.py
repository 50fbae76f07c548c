"""The loop over sites: intervals, backward sweeps and planes, in the order of the network.

A *site* is one gate at one iteration of its scan. Walking the stages of a block in order, every operand
first gets the interval that its affine form has, then the intersection with a backward sweep started at
it through all planes made so far; with `corners`, diagonals of the gate's box are bounded the same way;
then the gate gets its planes, and its output an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations import Diagonals, Planes, image, planes
from verifier.affine import AffineForm
from verifier.arithmetic import Arithmetic, never_negative
from verifier.corners import corner_rows
from verifier.inherit import Inherited, inherited_planes
from verifier.interval import Interval, interval_of
from verifier.program import Block, GateStep, ScanStep, Stage
from verifier.region import Region
from verifier.relaxed import RelaxedGate
from verifier.site import Key, Site
from verifier.splits import Multiplier, Splits
from verifier.sweep import StateBox, Sweep, chain

GRID = 2.0**-38  # of boxes: a power of two, so that dividing by it is exact
ROW_ENTRIES = 1 << 24  # coefficients that one sweep may hold per value; more rows are swept in chunks


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """Rows of a linear function: `outputs` [B or 1, R, m] over all outputs in order, `inputs` [B or 1, R, N].

    `uncertainty` [R]: each coefficient is known up to this relative error only.
    """

    outputs: Tensor
    inputs: Tensor | None = None
    uncertainty: Tensor | None = None


class Bounds:
    """Boxes and planes of every site of `program` over `region`, and bounds of linear functions of outputs.

    Computed once, when made. `backward=False` keeps forward intervals only; with `lookback` k, sweeps go
    at most k iterations back and end in the states' intervals. `lost` [B] marks instances for which some box
    overflowed: all their bounds are −∞.

    `splits` restrict every instance to a part of its region, where given operands lie in given parts. Bounds
    then hold for that part; `empty` [B] marks instances whose part has no point: their bounds are +∞. With
    what they have `inherited` they need no sweeps: boxes follow from the inherited ones, the splits, and
    intervals.

    `corners` cuts the boxes of those gates for which it pays (`Gate.corners`) by diagonals.
    """

    def __init__(
        self,
        program: Block,
        region: Region,
        arithmetic: Arithmetic,
        *,
        backward: bool = True,
        lookback: int | None = None,
        splits: Splits | None = None,
        inherited: Inherited | None = None,
        corners: bool = False,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.program = program
        self.region = region
        self.arithmetic = arithmetic
        self.sites: dict[Key, Site] = {}
        self._relaxed: dict[Key, RelaxedGate] = {}
        self._backward = backward
        self._progress = progress
        self._batch = region.lower.shape[0]
        self.lost = torch.zeros(self._batch, dtype=torch.bool, device=region.lower.device)
        self.empty = torch.zeros_like(self.lost)
        self.splits: Splits = {} if splits is None else splits
        self.operands: dict[Key, tuple[Interval, Tensor]] = {}  # with the magnitude of all their terms
        self._inherited = inherited
        self._corners = corners
        self._lookback = lookback
        self._chain = chain(program, arithmetic.dtype)
        self._states: dict[Key, list[StateBox]] = {}
        self._sweep = self._sweep_with(self._relaxed)
        self._starts: dict[tuple[int, ...], tuple[dict[str, Tensor], Tensor]] = {}
        with torch.no_grad():
            self.variables = self._program_bounds()

    # --- outputs -------------------------------------------------------------------------------------

    def output_interval(self) -> Interval:
        """Interval of all outputs, flattened and concatenated [B, m], from intervals alone."""
        parts = [self._interval(self.program, form, self.variables)[0] for form in self.program.outputs]
        return Interval(
            torch.cat([p.lower for p in parts], -1),
            torch.cat([p.upper for p in parts], -1),
            torch.cat([p.error for p in parts], -1),
        )

    def minimum(self, objective: Objective) -> Tensor:
        """Lower bounds [B, R] of the objective's rows over the region: the best of interval and sweep."""
        C = objective.outputs
        outputs = self.output_interval()
        centre, radius = (outputs.lower + outputs.upper) / 2, (outputs.upper - outputs.lower) / 2
        slack = self.arithmetic.affine(C.shape[-1] + 2, 0) * outputs.magnitude
        plain = (C * centre.unsqueeze(1)).sum(-1) - (C.abs() * (radius + slack).unsqueeze(1)).sum(-1)
        if objective.inputs is not None:
            plain = plain + self.region.minimum(objective.inputs.expand(self._batch, -1, -1))
        best = _never_nan(plain - self.uncertainty(objective))
        if self._backward:
            best = torch.maximum(best, _never_nan(self.swept_minimum(objective)))
        return self.settled(best)

    def settled(self, bounds: Tensor) -> Tensor:
        """Bounds [B, R] with those of lost and of empty instances set."""
        bounds = bounds.masked_fill(self.lost.unsqueeze(-1), -torch.inf)
        return bounds.masked_fill((self.empty & ~self.lost).unsqueeze(-1), torch.inf)

    def swept_minimum(
        self,
        objective: Objective,
        relaxed: Mapping[Key, RelaxedGate] | None = None,
        multipliers: Mapping[Key, Multiplier] | None = None,
        record: dict[Key, Tensor] | None = None,
    ) -> Tensor:
        """The backward sweep of `minimum` alone; differentiable in the planes of `relaxed`, which replace
        the sites' own, and in `multipliers` of the splits. `record` receives the coefficients of every gate.
        Meaningless for `lost` and for `empty` instances."""
        A, constant = self.swept_rows(objective, relaxed, multipliers, record)
        return constant + self.region.minimum(A) - self.uncertainty(objective)

    def swept_rows(
        self,
        objective: Objective,
        relaxed: Mapping[Key, RelaxedGate] | None = None,
        multipliers: Mapping[Key, Multiplier] | None = None,
        record: dict[Key, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Linear functions of the inputs below the objective's rows: coefficients [B, R, N] and constants
        [B, R]; arguments as for `swept_minimum`."""
        C = objective.outputs
        sweep = self._sweep
        if relaxed is not None or multipliers is not None or record is not None:
            sweep = self._sweep_with(self._relaxed if relaxed is None else relaxed, multipliers, record)
        rows: dict[str, Tensor] = {}
        constant = C.new_zeros(C.shape[:2])
        start = 0
        for form in self.program.outputs:
            A = C[..., start : start + form.size]
            start += form.size
            interval, magnitude = self._interval(self.program, form, self.variables)
            relative = self.arithmetic.affine(form.depth, self.program.width + self._chain)
            constant = constant + A @ form.bias
            constant = constant - (A.abs() * (interval.error + relative * magnitude).unsqueeze(1)).sum(-1)
            for name, linear_map in form.terms.items():
                added = linear_map.adjoint(A)
                rows[name] = rows[name] + added if name in rows else added
        swept = sweep.from_program(rows, constant)
        A = swept.coefficients if objective.inputs is None else swept.coefficients + objective.inputs
        return A.expand(self._batch, -1, -1), swept.constant

    def _sweep_with(
        self,
        relaxed: Mapping[Key, RelaxedGate],
        multipliers: Mapping[Key, Multiplier] | None = None,
        record: dict[Key, Tensor] | None = None,
    ) -> Sweep:
        return Sweep(
            self.program,
            lambda step, iteration: relaxed[id(step), iteration],
            lookback=self._lookback,
            states=self._states,
            multipliers=multipliers,
            record=record,
        )

    def uncertainty(self, objective: Objective) -> Tensor | float:
        """What the unknown digits of the coefficients can change: uncertainty · Σ |coefficient| |value|."""
        if objective.uncertainty is None:
            return 0.0
        reach = (objective.outputs.abs() * self.output_interval().magnitude.unsqueeze(1)).sum(-1)
        if objective.inputs is not None:
            farthest = torch.maximum(self.region.lower.abs(), self.region.upper.abs())
            reach = reach + (objective.inputs.abs() * farthest.unsqueeze(1)).sum(-1)
        return 1.001 * objective.uncertainty * reach

    def relaxed_with(self, chosen: Mapping[Key, Planes]) -> dict[Key, RelaxedGate]:
        """Every site relaxed, with the `chosen` planes where there are some."""
        return self._relaxed | {key: self.sites[key].relaxed(planes) for key, planes in chosen.items()}

    # --- walking the network -------------------------------------------------------------------------

    def _program_bounds(self) -> dict[str, Interval]:
        variables: dict[str, Interval] = {}
        start = 0
        for name in self.program.inputs:
            stop = start + self.program.variables[name]
            lower, upper = self.region.lower[:, start:stop], self.region.upper[:, start:stop]
            variables[name] = Interval(lower, upper, torch.zeros_like(lower), tight=True)
            start = stop
        self._block(self.program, variables, None, 0)
        return variables

    def _block(
        self, block: Block, variables: dict[str, Interval], scan: ScanStep | None, iteration: int
    ) -> list[Interval]:
        """Bound all steps of `block`, adding to its `variables`; returns the intervals of its outputs."""
        known: dict[int, tuple[Interval, Tensor]] = {}
        for stage in block.stages:
            known |= self._operands(block, stage, variables, scan, iteration)
            boxes = {id(step): self._box(step, known) for step in stage.steps if isinstance(step, GateStep)}
            cuts = self._diagonals(stage, boxes, known, scan, iteration, block.width)
            for step in stage.steps:
                if isinstance(step, GateStep):
                    box, cut = boxes[id(step)], cuts.get(id(step))
                    variables[step.output] = self._gate(step, box, cut, known, iteration, block.width)
                else:
                    variables |= self._scan(step, block, variables)
        # a state whose form was an operand is as tight as that operand
        return [
            known[id(form)][0] if id(form) in known else self._interval(block, form, variables)[0]
            for form in block.outputs
        ]

    def _operands(
        self,
        block: Block,
        stage: Stage,
        variables: dict[str, Interval],
        scan: ScanStep | None,
        iteration: int,
    ) -> dict[int, tuple[Interval, Tensor]]:
        known = {id(form): self._interval(block, form, variables) for form in stage.forms}
        if self._inherited is not None:
            for form in stage.forms:
                known[id(form)] = self._narrowed(known[id(form)], *self._inherited.boxes[id(form), iteration])
        self._split(known, iteration)
        open_forms = [f for f in stage.forms if not (known[id(f)][0].tight or known[id(f)][0].is_point())]
        if self._backward and self._inherited is None and open_forms:
            lower, upper = self._bound_forms(
                open_forms, [known[id(f)][0].error for f in open_forms], scan, iteration
            )
            for form, low, high in zip(open_forms, lower, upper, strict=True):
                known[id(form)] = self._narrowed(known[id(form)], low, high, tight=True)
            self._progress()
        self.operands |= {(form, iteration): held for form, held in known.items()}
        return known

    def _narrowed(
        self, held: tuple[Interval, Tensor], lower: Tensor, upper: Tensor, *, tight: bool = False
    ) -> tuple[Interval, Tensor]:
        """Two bounds of one value, intersected. Both contain it, so they overlap, unless splits have left an
        instance nothing; without splits it means that one of them is wrong."""
        interval, empty = held[0].intersect(lower, upper, tight or held[0].tight)
        empty = empty & ~self.lost
        if bool(empty.any()):
            if not self.splits and self._inherited is None:
                raise AssertionError("two sound bounds of one value do not overlap")
            self.empty = self.empty | empty
        return interval, held[1]

    def _split(self, known: dict[int, tuple[Interval, Tensor]], iteration: int) -> None:
        """Cut the operands that have splits to their parts; what cannot be met makes an instance empty."""
        for form in known:
            part = self.splits.get((form, iteration))
            if part is not None:
                known[form] = self._narrowed(known[form], part.lower, part.upper)

    def _box(self, step: GateStep, known: Mapping[int, tuple[Interval, Tensor]]) -> tuple[Tensor, Tensor]:
        """The box [k, B, n] of the operands of a gate."""
        operands = [known[id(form)][0] for form in step.operands]
        lower, upper = _on_grid(
            torch.stack([interval.lower for interval in operands]),
            torch.stack([interval.upper for interval in operands]),
        )
        return self._without_lost(lower, upper, torch.isfinite(lower) & torch.isfinite(upper))

    def _diagonals(
        self,
        stage: Stage,
        boxes: Mapping[int, tuple[Tensor, Tensor]],
        known: Mapping[int, tuple[Interval, Tensor]],
        scan: ScanStep | None,
        iteration: int,
        width: int,
    ) -> dict[int, Diagonals]:
        """Bounds that cut the corners of the boxes of gates of `stage`, by identity of the gate."""
        gates = [step for step in stage.steps if isinstance(step, GateStep) and step.gate.corners]
        if self._inherited is not None:
            held = self._inherited.diagonals
            return {id(step): held[id(step), iteration] for step in gates if (id(step), iteration) in held}
        if not self._corners or not self._backward:
            return {}
        found = {}
        relative = self.arithmetic.affine(0, width + self._chain)
        for step in gates:
            operands = [known[id(form)] for form in step.operands]
            cut = corner_rows(step, *boxes[id(step)], operands, relative)
            found[id(step)] = cut.diagonals(self._swept(cut.rows, cut.constant, scan, iteration))
            self._progress()
        return found

    def _gate(
        self,
        step: GateStep,
        box: tuple[Tensor, Tensor],
        cut: Diagonals | None,
        known: Mapping[int, tuple[Interval, Tensor]],
        iteration: int,
        width: int,
    ) -> Interval:
        lower, upper = box
        operands = [known[id(form)] for form in step.operands]
        low, high = image(step.gate, lower, upper, step.parameters)
        bounded = torch.isfinite(low) & torch.isfinite(
            high
        )  # else overflowed, or outside of the gate's domain
        if not bool(bounded.all()):
            lower, upper = self._without_lost(lower, upper, bounded.unsqueeze(0))
            low, high = image(step.gate, lower, upper, step.parameters)
        size = torch.maximum(low.abs(), high.abs())
        reach = [interval.magnitude for interval, _ in operands]
        gate_error = self.arithmetic.gate(step, reach, size)
        if self._backward:
            site = Site(
                step, iteration, lower, upper, self._planes(step, iteration, lower, upper, cut),
                tuple(magnitude for _, magnitude in operands), tuple(i.error for i, _ in operands),
                gate_error, self.arithmetic.affine(0, width + self._chain), cut,
            )  # fmt: skip
            self.sites[id(step), iteration] = site
            self._relaxed[id(step), iteration] = site.relaxed()
        low, high = low - gate_error, high + gate_error
        if never_negative(step):
            low = low.clamp_min(0.0)
        return Interval(low, high, torch.zeros_like(low))

    def _planes(
        self, step: GateStep, iteration: int, lower: Tensor, upper: Tensor, cut: Diagonals | None
    ) -> Planes:
        if self._inherited is None:
            return planes(step.gate, lower, upper, step.parameters, diagonals=cut)
        return inherited_planes(step, iteration, lower, upper, self._inherited)

    def _without_lost(self, lower: Tensor, upper: Tensor, good: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [k, B, n] where instances that are not `good` all over become the point 1, which lies in the
        domain of every gate; they count as lost from now on."""
        broken = ~good.all(0).all(-1)
        if not bool(broken.any()):
            return lower, upper
        self.lost = self.lost | broken
        return lower.masked_fill(broken[:, None], 1.0), upper.masked_fill(broken[:, None], 1.0)

    def _scan(self, scan: ScanStep, block: Block, variables: Mapping[str, Interval]) -> dict[str, Interval]:
        body = scan.body
        states = [self._interval(block, form, variables)[0] for form in scan.initial]
        sequences = [self._interval(block, form, variables)[0] for form in scan.sequences]
        frames_out: list[dict[int, Interval]] = [{} for _ in scan.stacked]
        for iteration in range(scan.length):
            frame = scan.frame(iteration)
            if self._lookback is not None:
                relative = self.arithmetic.affine(0, body.width + self._chain)
                self._states[id(scan), iteration] = [_state_box(state, relative) for state in states]
            inputs = dict(zip(body.inputs, states, strict=False))
            for name, sequence in zip(body.inputs[body.states :], sequences, strict=True):
                size = body.variables[name]
                inputs[name] = sequence.slice(frame * size, (frame + 1) * size)
            outputs = self._block(body, inputs, scan, iteration)
            states = outputs[: body.states]
            for frames, interval in zip(frames_out, outputs[body.states :], strict=True):
                frames[frame] = interval
        bounds = dict(zip(scan.finals, states, strict=True))
        for name, frames in zip(scan.stacked, frames_out, strict=True):
            ordered = [frames[k] for k in range(scan.length)]
            bounds[name] = Interval(
                torch.cat([i.lower for i in ordered], -1),
                torch.cat([i.upper for i in ordered], -1),
                torch.cat([i.error for i in ordered], -1),
                all(i.tight for i in ordered),
            )
        return bounds

    def _interval(
        self, block: Block, form: AffineForm, variables: Mapping[str, Interval]
    ) -> tuple[Interval, Tensor]:
        return interval_of(form, variables, self.arithmetic, block.width, self._batch)

    # --- one sweep for all operands of a stage ----------------------------------------------------------

    def _bound_forms(
        self, forms: list[AffineForm], errors: list[Tensor], scan: ScanStep | None, iteration: int
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Lower and upper bounds [B, n] of every form, by one sweep of both signs of all of them."""
        found = self._swept(*self._start(forms), scan, iteration)
        error = torch.cat(errors, -1)
        lower, negated = found.chunk(2, dim=-1)
        sizes = [form.size for form in forms]
        lower, upper = _never_nan(lower - error), -_never_nan(negated - error)
        return list(lower.split(sizes, -1)), list(upper.split(sizes, -1))

    def _swept(
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
            found.append(swept.constant + self.region.minimum(A, swept.start))
        return torch.cat(found, -1)

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


def _on_grid(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes rounded outward to multiples of GRID, points as they are.

    Which of two nearly equal planes is best can hang on a last digit, so the same cell written in another
    form, or run in another batch, would get other planes. On a grid their boxes are the same.
    """
    wide = lower < upper
    return (
        torch.where(wide, torch.floor(lower / GRID) * GRID, lower),
        torch.where(wide, torch.ceil(upper / GRID) * GRID, upper),
    )


def _state_box(state: Interval, relative: float) -> StateBox:
    """The middle, and a radius that covers the rounding of A·middle − |A|·radius for any A [.., n]."""
    middle = (state.lower + state.upper) / 2
    radius = torch.maximum(state.upper - middle, middle - state.lower) + 2 * relative * state.magnitude
    return StateBox(middle.unsqueeze(-1), radius.unsqueeze(-1))


def _never_nan(bound: Tensor) -> Tensor:
    """A bound that could not be computed, or overflowed, is no bound: −∞."""
    return torch.nan_to_num(bound, nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)
