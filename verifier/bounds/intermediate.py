"""The walk over sites: intervals, backward sweeps and planes, in the order of the network.

A *site* is one gate at one time of its scan. Walking the stages of a block in order, every operand
first gets the interval that its affine form has, then the intersection with a backward sweep started at
it through all planes made so far; with `corners`, diagonals of the gate's box are bounded the same way;
then the gate gets its planes, and its output an interval.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from parsers.errors import UnsoundBound
from relaxations import Diagonals, Planes, image, planes
from relaxations.slack import slack
from verifier.bounds.inheritance import Inherited, inherited_planes
from verifier.bounds.multi_neuron import Joint
from verifier.bounds.octagon import corner_rows
from verifier.bounds.rows import RowBounds
from verifier.network.affine import AffineForm
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import Block, GateStep, ScanStep, Stage
from verifier.network.rounding import RoundingModel, never_negative
from verifier.problem.budget import check
from verifier.problem.region import Region
from verifier.propagation.forward import LinearBounds, LinearPass
from verifier.propagation.interval import Interval, interval_of
from verifier.propagation.sites import RelaxedGate, Site
from verifier.propagation.splits import Splits
from verifier.propagation.zonotope import ScanZonotopes, Zonotope, ZonotopePass

GRID = 2.0**-38  # of boxes: a power of two, so that dividing by it is exact


class IntermediateBounds:
    """Walks `program` once, in `run`; options are those of `Bounds`.

    Gathers all `sites` and their planes `relaxed`, the intervals of their `operands`, each with the magnitude
    of all its terms, and the instances that are `lost` or `empty`.
    """

    def __init__(
        self,
        program: Block,
        region: Region,
        arithmetic: RoundingModel,
        *,
        backward: bool,
        lookback: int | None,
        splits: Splits,
        inherited: Inherited | None,
        corners: bool,
        joint: bool,
        deadline: float,
    ) -> None:
        self._program = program
        self._region = region
        self._arithmetic = arithmetic
        self._backward = backward
        self._lookback = lookback
        self._splits = splits
        self._inherited = inherited
        self._anew = inherited is None or inherited.planes is None
        self._corners = corners
        self._deadline = deadline
        self._batch = len(region)
        self.sites: dict[SiteKey, Site] = {}
        self.relaxed: dict[SiteKey, RelaxedGate] = {}
        self.operands: dict[OperandKey, tuple[Interval, Tensor]] = {}
        self.lost = torch.zeros(self._batch, dtype=torch.bool, device=region.lower.device)
        self.empty = torch.zeros_like(self.lost)
        self.rows = RowBounds(
            program,
            region,
            arithmetic,
            lookback,
            self.relaxed,
            Joint(region, arithmetic) if joint else None,
            joint_boxes=inherited is None,
        )

    def run(self) -> dict[str, Interval]:
        """The intervals of all variables of the program."""
        variables: dict[str, Interval] = {}
        known: dict[str, Zonotope] = {}
        start = 0
        for name in self._program.inputs:
            stop = start + self._program.variables[name]
            lower, upper = self._region.lower[:, start:stop], self._region.upper[:, start:stop]
            variables[name] = Interval(
                lower, upper, torch.zeros_like(lower), tight=self._region.halfspace is None
            )
            if self.rows.joint is not None:
                known[name] = self.rows.joint.zonotopes.inputs(start, stop)
            start = stop
        zonotopes = None
        if self.rows.joint is not None:
            zonotopes = ZonotopePass(self.rows.joint.zonotopes, self._program, known)
        self._block(self._program, variables, None, 0, zonotopes=zonotopes)
        return variables

    def _block(
        self,
        block: Block,
        variables: dict[str, Interval],
        scan: ScanStep | None,
        time: int,
        linear: LinearPass | None = None,
        zonotopes: ZonotopePass | None = None,
    ) -> list[Interval]:
        """Bound all steps of `block`, adding to its `variables`; returns the intervals of its outputs."""
        for stage in block.stages:
            self.operands |= self._operands(block, stage, variables, scan, time, linear)
            gates = [step for step in stage.steps if isinstance(step, GateStep)]
            boxes = {step.number: self._box(step, time) for step in gates}
            cuts = self._diagonals(gates, boxes, scan, time, block.width)
            for step in stage.steps:
                if isinstance(step, GateStep):
                    box, cut = boxes[step.number], cuts.get(step.number)
                    variables[step.output] = self._gate(step, box, cut, time, block.width)
                    self._join(step, time, zonotopes)
                else:
                    variables |= self._scan(step, block, variables, zonotopes)
        # a state whose form was an operand is as tight as that operand
        held = [self.operands.get(form.at(time)) for form in block.outputs]
        return [
            self._interval(block, form, variables)[0] if operand is None else operand[0]
            for form, operand in zip(block.outputs, held, strict=True)
        ]

    def _operands(
        self,
        block: Block,
        stage: Stage,
        variables: dict[str, Interval],
        scan: ScanStep | None,
        time: int,
        linear: LinearPass | None,
    ) -> dict[OperandKey, tuple[Interval, Tensor]]:
        """The operands of `stage`: the interval of each form, cut by everything that is known of it."""
        known = {form.at(time): self._interval(block, form, variables) for form in stage.forms}
        if self._inherited is not None:
            for key in known:
                known[key] = self._narrowed(known[key], *self._inherited.boxes[key])
        self._split(known)
        keys = [key for key, (interval, _) in known.items() if not (interval.tight or interval.is_point())]
        if self._backward and self._anew and keys:
            forms = [form for form in stage.forms if form.at(time) in keys]
            errors = [known[key][0].error for key in keys]
            lower, upper = self.rows.of_forms(forms, errors, scan, time, linear)
            for key, low, high in zip(keys, lower, upper, strict=True):
                known[key] = self._narrowed(known[key], low, high, tight=True)
            check(self._deadline)
        return known

    def _narrowed(
        self, held: tuple[Interval, Tensor], lower: Tensor, upper: Tensor, *, tight: bool = False
    ) -> tuple[Interval, Tensor]:
        """Two bounds of one value, intersected. Both contain it, so they overlap, unless splits or a
        half-space have left an instance nothing; without these it means that one of them is wrong."""
        interval, empty = held[0].intersect(lower, upper, tight or held[0].tight)
        empty = empty & ~self.lost
        if bool(empty.any()):
            if not self._splits and self._inherited is None and self._region.halfspace is None:
                raise UnsoundBound("two bounds of one value do not overlap")
            self.empty = self.empty | empty
        return interval, held[1]

    def _split(self, known: dict[OperandKey, tuple[Interval, Tensor]]) -> None:
        """Cut the operands that have splits to their parts; what cannot be met makes an instance empty."""
        for key in known:
            part = self._splits.get(key)
            if part is not None:
                known[key] = self._narrowed(known[key], part.lower, part.upper)

    def _box(self, step: GateStep, time: int) -> tuple[Tensor, Tensor]:
        """The box [k, B, n] of the operands of a gate."""
        operands = [self.operands[form.at(time)][0] for form in step.operands]
        lower, upper = _on_grid(
            torch.stack([interval.lower for interval in operands]),
            torch.stack([interval.upper for interval in operands]),
        )
        return self._without_lost(lower, upper, torch.isfinite(lower) & torch.isfinite(upper))

    def _diagonals(
        self,
        gates: list[GateStep],
        boxes: Mapping[int, tuple[Tensor, Tensor]],
        scan: ScanStep | None,
        time: int,
        width: int,
    ) -> dict[int, Diagonals]:
        """Bounds that cut the corners of the boxes of `gates`, by number of the gate."""
        gates = [step for step in gates if step.gate.corners]
        if self._inherited is not None and not self._anew:
            held = self._inherited.diagonals
            return {step.number: held[step.at(time)] for step in gates if step.at(time) in held}
        if not self._corners or not self._backward:
            return {}
        found = {}
        relative = self._arithmetic.affine(0, width + self.rows.chain)
        for step in gates:
            operands = [self.operands[form.at(time)] for form in step.operands]
            cut = corner_rows(step, *boxes[step.number], operands, relative)
            found[step.number] = cut.diagonals(self.rows.minimum(cut.rows, cut.constant, scan, time))
            check(self._deadline)
        return found

    def _gate(
        self,
        step: GateStep,
        box: tuple[Tensor, Tensor],
        cut: Diagonals | None,
        time: int,
        width: int,
    ) -> Interval:
        lower, upper = box
        operands = [self.operands[form.at(time)] for form in step.operands]
        low, high = image(step.gate, lower, upper, step.parameters)
        # else overflowed, or outside of the gate's domain
        bounded = torch.isfinite(low) & torch.isfinite(high)
        if not bool(bounded.all()):
            lower, upper = self._without_lost(lower, upper, bounded.unsqueeze(0))
            low, high = image(step.gate, lower, upper, step.parameters)
        size = torch.maximum(low.abs(), high.abs())
        reach = [interval.magnitude for interval, _ in operands]
        gate_error = self._arithmetic.gate(step, reach, size)
        if self._backward:
            site = Site(
                step,
                time,
                lower,
                upper,
                self._planes(step, time, lower, upper, cut),
                tuple(magnitude for _, magnitude in operands),
                tuple(i.error for i, _ in operands),
                gate_error,
                self._arithmetic.affine(0, width + self.rows.chain),
                cut,
            )
            self.sites[step.at(time)] = site
            self.relaxed[step.at(time)] = site.relaxed()
        low, high = low - gate_error, high + gate_error
        if never_negative(step):
            low = low.clamp_min(0.0)
        return Interval(low, high, torch.zeros_like(low))

    def _join(self, step: GateStep, time: int, zonotopes: ZonotopePass | None) -> None:
        """Add the gate to those of which rows win something back together."""
        joint = self.rows.joint
        if joint is None or zonotopes is None:
            return
        site = self.sites[step.at(time)]
        taken = joint.takes(step.size)
        if taken:
            found = slack(step.gate, site.planes, site.lower, site.upper, step.parameters, site.diagonals)
            joint.add(site.key, found, zonotopes.operands(step))
        zonotopes.gate(site, fresh=taken)
        check(self._deadline)

    def _planes(
        self, step: GateStep, time: int, lower: Tensor, upper: Tensor, cut: Diagonals | None
    ) -> Planes:
        if self._inherited is None or self._anew:
            return planes(step.gate, lower, upper, step.parameters, diagonals=cut)
        return inherited_planes(step, time, lower, upper, self._inherited)

    def _without_lost(self, lower: Tensor, upper: Tensor, good: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [k, B, n] where instances that are not `good` all over become the point 1, which lies in the
        domain of every gate; they count as lost from now on."""
        broken = ~good.all(0).all(-1)
        if not bool(broken.any()):
            return lower, upper
        self.lost = self.lost | broken
        return lower.masked_fill(broken[:, None], 1.0), upper.masked_fill(broken[:, None], 1.0)

    def _scan(
        self,
        scan: ScanStep,
        block: Block,
        variables: Mapping[str, Interval],
        zonotopes: ZonotopePass | None,
    ) -> dict[str, Interval]:
        body = scan.body
        states = [self._interval(block, form, variables)[0] for form in scan.initial]
        sequences = [self._interval(block, form, variables)[0] for form in scan.sequences]
        lines: list[LinearBounds] = []
        frames_out: list[dict[int, Interval]] = [{} for _ in scan.stacked]
        followed = None if zonotopes is None else ScanZonotopes(scan, zonotopes)
        for time in range(scan.length):
            frame = scan.position(time)
            if self._lookback is not None:
                self.rows.end_in(scan, time, states, lines)
            inputs = dict(zip(body.inputs, states, strict=False))
            for name, sequence in zip(body.inputs[body.states :], sequences, strict=True):
                size = body.variables[name]
                inputs[name] = sequence.slice(frame * size, (frame + 1) * size)
            linear = None
            if self._lookback is not None and time < scan.length - self._lookback:
                given = dict(zip(body.inputs, lines, strict=False))
                linear = self.rows.linear(body, time, inputs, self.sites, given)
            inner = None if followed is None else followed.enter(frame)
            outputs = self._block(body, inputs, scan, time, linear, inner)
            if followed is not None:
                followed.leave(frame)
            states = outputs[: body.states]
            lines = [] if linear is None else linear.states()
            for frames, interval in zip(frames_out, outputs[body.states :], strict=True):
                frames[frame] = interval
        if followed is not None:
            followed.end()
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
        return interval_of(form, variables, self._arithmetic, block.width, self._batch)


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
