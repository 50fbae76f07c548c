"""Intermediate bounds: intervals, backward passes and planes of all gates, in the order of the network.

A *site* is one gate at one time step of its scan. Stage by stage of a block, every operand first gets the
interval that its affine form has, then the intersection with a backward pass started at it through all planes
made so far (CROWN: Zhang et al. 2018, with every intermediate bound by a pass of its own); with `octagon`,
sums and differences of a gate's operands are bounded the same way; then the gate gets its planes, and its
output an interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from parsers.errors import UnsoundBound
from relaxations import Octagon, Planes, image, planes
from relaxations.quadratic_gap import quadratic_gap
from verifier.bounds.inheritance import Subproblem, inherited_planes
from verifier.bounds.multi_neuron import MultiNeuron
from verifier.bounds.octagon import octagon_rows
from verifier.bounds.options import BoundOptions
from verifier.bounds.rows import RowBounds
from verifier.network.affine import AffineForm
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import Block, GateStep, ScanStep, Stage
from verifier.network.rounding import RoundingModel
from verifier.problem.budget import check
from verifier.problem.region import Region
from verifier.propagation.backward import Prepared
from verifier.propagation.forward import LinearBounds, LinearPass
from verifier.propagation.interval import Interval, Operand, interval_of, joined
from verifier.propagation.sites import Site
from verifier.propagation.zonotope import ScanZonotopes, Zonotope, ZonotopePass

GRID = 2.0**-38  # of boxes: a power of two, so that dividing by it is exact


class IntermediateBounds:
    """Takes the gates of `program` in order, once, in `run`; arguments are those of `bound_region`.

    Gathers all `sites`, the `operands` of gates, and the instances that are `lost` or `empty`; `rows` has the
    planes of the sites so far.
    """

    def __init__(
        self,
        program: Block,
        region: Region,
        rounding: RoundingModel,
        options: BoundOptions,
        part: Subproblem,
        prepared: Prepared,
        deadline: float,
    ) -> None:
        self._program = program
        self._region = region
        self._rounding = rounding
        self._options = options
        self._part = part
        self._deadline = deadline
        self._batch = len(region)
        self.sites: dict[SiteKey, Site] = {}
        self.operands: dict[OperandKey, Operand] = {}
        self.lost = torch.zeros(self._batch, dtype=torch.bool, device=region.lower.device)
        self.empty = torch.zeros_like(self.lost)
        together = None
        if options.multi_neuron:
            together = MultiNeuron(region, rounding, boxes=part.inherited is None)
        self.rows = RowBounds(program, region, rounding, options.lookback, prepared, together)

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
            if self.rows.multi_neuron is not None:
                known[name] = self.rows.multi_neuron.zonotopes.inputs(start, stop)
            start = stop
        zonotopes = None
        if self.rows.multi_neuron is not None:
            zonotopes = ZonotopePass(self.rows.multi_neuron.zonotopes, self._program, known)
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
            cuts = self._octagons(gates, boxes, scan, time, block.width)
            for step in stage.steps:
                if isinstance(step, GateStep):
                    box, cut = boxes[step.number], cuts.get(step.number)
                    variables[step.output] = self._gate(step, box, cut, time, block.width)
                    self._together(step, time, zonotopes)
                else:
                    variables |= self._scan(step, block, variables, zonotopes)
        # a state whose form was an operand is as tight as that operand
        held = [self.operands.get(form.at(time)) for form in block.outputs]
        return [
            (self._operand(block, form, variables) if operand is None else operand).interval
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
    ) -> dict[OperandKey, Operand]:
        """The operands of `stage`: the interval of each form, cut by everything that is known of it."""
        known = {form.at(time): self._operand(block, form, variables) for form in stage.forms}
        for key in known:
            if self._part.inherited is not None:
                known[key] = self._narrowed(known[key], *self._part.inherited.boxes[key])
        for key in known:
            split = self._part.splits.get(key)
            if split is not None:  # what cannot be met makes an instance empty
                known[key] = self._narrowed(known[key], split.lower, split.upper)
        keys = [key for key, (interval, _) in known.items() if not (interval.tight or interval.is_point())]
        if self._options.backward and self._part.anew and keys:
            forms = [form for form in stage.forms if form.at(time) in keys]
            errors = [known[key].interval.error for key in keys]
            found = self.rows.of_forms(forms, errors, scan, time, keep=linear is not None)
            for key, form, f in zip(keys, forms, found, strict=True):
                known[key] = self._narrowed(known[key], f.lower, f.upper, tight=True)
                if linear is not None and f.functions is not None:
                    linear.give(form, partial(self.rows.linear_bounds, f.functions))
            check(self._deadline)
        return known

    def _narrowed(self, held: Operand, lower: Tensor, upper: Tensor, *, tight: bool = False) -> Operand:
        """Two bounds of one value, intersected. Both contain it, so they overlap, unless splits or a
        half-space have left an instance nothing; without these it means that one of them is wrong."""
        interval, empty = held.interval.intersect(lower, upper, tight or held.interval.tight)
        empty = empty & ~self.lost
        if bool(empty.any()):
            if not self._part.splits and self._part.inherited is None and self._region.halfspace is None:
                raise UnsoundBound("two bounds of one value do not overlap")
            self.empty = self.empty | empty
        return Operand(interval, held.magnitude)

    def _box(self, step: GateStep, time: int) -> tuple[Tensor, Tensor]:
        """The box [k, B, n] of the operands of a gate."""
        intervals = [self.operands[form.at(time)].interval for form in step.operands]
        lower, upper = _on_grid(
            torch.stack([interval.lower for interval in intervals]),
            torch.stack([interval.upper for interval in intervals]),
        )
        return self._without_lost(lower, upper, torch.isfinite(lower) & torch.isfinite(upper))

    def _octagons(
        self,
        gates: list[GateStep],
        boxes: Mapping[int, tuple[Tensor, Tensor]],
        scan: ScanStep | None,
        time: int,
        width: int,
    ) -> dict[int, Octagon]:
        """Octagon constraints that cut the boxes of `gates`, by number of the gate."""
        gates = [step for step in gates if step.gate.octagon]
        if self._part.inherited is not None and not self._part.anew:
            held = self._part.inherited.octagons
            return {step.number: held[step.at(time)] for step in gates if step.at(time) in held}
        if not self._options.octagon or not self._options.backward:
            return {}
        found = {}
        relative = self._rounding.affine(0, width + self.rows.chain)
        for step in gates:
            operands = [self.operands[form.at(time)] for form in step.operands]
            cut = octagon_rows(step, *boxes[step.number], operands, relative)
            found[step.number] = cut.octagon(self.rows.minimum(cut.rows, cut.constant, scan, time))
            check(self._deadline)
        return found

    def _gate(
        self,
        step: GateStep,
        box: tuple[Tensor, Tensor],
        cut: Octagon | None,
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
        gate_error = self._rounding.gate(step, reach, size)
        if self._options.backward:
            site = Site(
                step,
                time,
                lower,
                upper,
                self._planes(step, time, lower, upper, cut),
                tuple(magnitude for _, magnitude in operands),
                tuple(i.error for i, _ in operands),
                gate_error,
                self._rounding.affine(0, width + self.rows.chain),
                cut,
            )
            self.sites[site.key] = site
            self.rows.put(site)
        low, high = low - gate_error, high + gate_error
        if step.gate.never_negative(**step.parameters):
            low = low.clamp_min(0.0)
        return Interval(low, high, torch.zeros_like(low))

    def _together(self, step: GateStep, time: int, zonotopes: ZonotopePass | None) -> None:
        """Add the gate to those of which rows win something back together."""
        together = self.rows.multi_neuron
        if together is None or zonotopes is None:
            return
        site = self.sites[step.at(time)]
        taken = together.takes(step.size)
        if taken:
            found = quadratic_gap(site.box, site.planes)
            together.add(site.key, found, zonotopes.operands(step))
        zonotopes.gate(site, fresh=taken)
        check(self._deadline)

    def _planes(self, step: GateStep, time: int, lower: Tensor, upper: Tensor, cut: Octagon | None) -> Planes:
        if self._part.inherited is None or self._part.anew:
            return planes(step.gate, lower, upper, step.parameters, octagon=cut)
        return inherited_planes(step, time, lower, upper, self._part.inherited)

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
        states = [self._operand(block, form, variables).interval for form in scan.initial]
        sequences = [self._operand(block, form, variables).interval for form in scan.sequences]
        lines: list[LinearBounds] = []
        stacked: list[dict[int, Interval]] = [{} for _ in scan.stacked]
        followed = None if zonotopes is None else ScanZonotopes(scan, zonotopes)
        for time in range(scan.length):
            position = scan.position(time)
            if self._options.lookback is not None:
                self.rows.end_in(scan, time, states, lines)
            inputs = dict(zip(body.inputs, states, strict=False))
            for name, sequence in zip(body.inputs[body.states :], sequences, strict=True):
                size = body.variables[name]
                inputs[name] = sequence.slice(position * size, (position + 1) * size)
            linear = None
            if self._options.lookback is not None and time < scan.length - self._options.lookback:
                given = dict(zip(body.inputs, lines, strict=False))
                linear = self.rows.linear(body, time, inputs, self.sites, given)
            inner = None if followed is None else followed.enter(position)
            outputs = self._block(body, inputs, scan, time, linear, inner)
            if followed is not None:
                followed.leave(position)
            states = outputs[: body.states]
            lines = [] if linear is None else linear.states()
            for parts, interval in zip(stacked, outputs[body.states :], strict=True):
                parts[position] = interval
        if followed is not None:
            followed.end()
        bounds = dict(zip(scan.finals, states, strict=True))
        for name, parts in zip(scan.stacked, stacked, strict=True):
            bounds[name] = joined([parts[k] for k in range(scan.length)])
        return bounds

    def _operand(self, block: Block, form: AffineForm, variables: Mapping[str, Interval]) -> Operand:
        return interval_of(form, variables, self._rounding, block.width, self._batch)


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
