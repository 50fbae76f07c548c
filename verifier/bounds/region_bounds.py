"""Bounds of a network over a region: `bound_region` computes them, `Bounds` holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations import Planes
from verifier.bounds.inheritance import Subproblem
from verifier.bounds.intermediate import IntermediateBounds
from verifier.bounds.options import BoundOptions
from verifier.bounds.rows import RowBounds, never_nan
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import Block
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import Region
from verifier.propagation.backward import Prepared
from verifier.propagation.interval import Interval, Operand, interval_of, joined
from verifier.propagation.sites import RelaxedGate, Site
from verifier.propagation.splits import Splits, SplitTerm


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Bounds:
    """What is known of every value of `program` over `region`: all `sites` with their boxes and planes, the
    `operands` of gates, the `outputs`; and bounds of linear functions of the outputs, which cost one backward
    pass each.

    `lost` [B] marks instances for which some box overflowed: all their bounds are −∞. `splits` restrict
    every instance to a part of its region; bounds hold for that part, and `empty` [B] marks instances whose
    part has no point: their bounds are +∞. `rows` passes backward through the planes of the sites.
    """

    program: Block
    region: Region
    rounding: RoundingModel
    options: BoundOptions
    splits: Splits
    sites: Mapping[SiteKey, Site]
    operands: Mapping[OperandKey, Operand]
    outputs: tuple[Operand, ...]
    lost: Tensor
    empty: Tensor
    rows: RowBounds

    def __repr__(self) -> str:
        return (
            f"<Bounds of '{self.program.name}': {len(self.region)} instances, {len(self.sites)} sites, "
            f"{int(self.lost.sum())} lost, {int(self.empty.sum())} empty, {self.options}>"
        )

    def output_interval(self) -> Interval:
        """Interval of all outputs, flattened and concatenated [B, m], from intervals alone."""
        return joined([operand.interval for operand in self.outputs])

    def minimum(self, objective: Objective) -> Tensor:
        """Lower bounds [B, R] of the objective's rows over the region: the best of interval and backward
        pass."""
        C = objective.outputs
        outputs = self.output_interval()
        centre, radius = (outputs.lower + outputs.upper) / 2, (outputs.upper - outputs.lower) / 2
        margin = self.rounding.affine(C.shape[-1] + 2, 0) * outputs.magnitude
        plain = (C * centre.unsqueeze(1)).sum(-1) - (C.abs() * (radius + margin).unsqueeze(1)).sum(-1)
        if objective.inputs is not None:
            plain = plain + self.region.minimum(objective.inputs.expand(len(self.region), -1, -1))
        best = never_nan(plain - self.uncertainty(objective))
        if self.options.backward:
            best = torch.maximum(best, never_nan(self._best_backward_minimum(objective)))
        return self.settled(best)

    def settled(self, bounds: Tensor) -> Tensor:
        """Bounds [B, R] with those of lost and of empty instances set."""
        bounds = bounds.masked_fill(self.lost.unsqueeze(-1), -torch.inf)
        return bounds.masked_fill((self.empty & ~self.lost).unsqueeze(-1), torch.inf)

    def backward_minimum(
        self,
        objective: Objective,
        relaxed: Mapping[SiteKey, RelaxedGate] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
        record: dict[SiteKey, Tensor] | None = None,
    ) -> Tensor:
        """The backward pass of `minimum` alone, every gate for itself; differentiable in the planes of
        `relaxed`, which replace the sites' own, and in `multipliers` of the splits. `record` receives the
        coefficients of every gate. Meaningless for `lost` and for `empty` instances."""
        A, constant = self._backward(objective, relaxed, multipliers, record)
        return constant + self.region.minimum(A) - self.uncertainty(objective)

    def backward_rows(
        self,
        objective: Objective,
        relaxed: Mapping[SiteKey, RelaxedGate] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Linear functions of the inputs below the objective's rows: coefficients [B, R, N] and constants
        [B, R], those through the sites' own planes raised by what gates cannot lose together; arguments as
        for `backward_minimum`."""
        together = self.rows.multi_neuron
        if together is None or relaxed is not None:
            return self._backward(objective, relaxed, multipliers)
        record: dict[SiteKey, Tensor] = {}
        A, constant = self._backward(objective, None, multipliers, record)
        return A, constant + together.raised(record, constant.shape[-1])

    def _best_backward_minimum(self, objective: Objective) -> Tensor:
        """`backward_minimum` through the sites' own planes, with what gates cannot lose together."""
        together = self.rows.multi_neuron
        if together is None:
            return self.backward_minimum(objective)
        record: dict[SiteKey, Tensor] = {}
        A, constant = self._backward(objective, record=record)
        found = torch.maximum(constant + self.region.minimum(A), together.minimum(A, constant, 0, record))
        return found - self.uncertainty(objective)

    def _backward(
        self,
        objective: Objective,
        relaxed: Mapping[SiteKey, RelaxedGate] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
        record: dict[SiteKey, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        A, constant = self.rows.of_outputs(objective.outputs, self.outputs, relaxed, multipliers, record)
        if objective.inputs is not None:
            A = A + objective.inputs
        return A, constant

    def uncertainty(self, objective: Objective) -> Tensor | float:
        """What the unknown digits of the coefficients can change: uncertainty · Σ |coefficient| |value|."""
        if objective.uncertainty is None:
            return 0.0
        reach = (objective.outputs.abs() * self.output_interval().magnitude.unsqueeze(1)).sum(-1)
        if objective.inputs is not None:
            farthest = torch.maximum(self.region.lower.abs(), self.region.upper.abs())
            reach = reach + (objective.inputs.abs() * farthest.unsqueeze(1)).sum(-1)
        return 1.001 * objective.uncertainty * reach

    def relaxed_with(self, chosen: Mapping[SiteKey, Planes]) -> dict[SiteKey, RelaxedGate]:
        """Every site relaxed, with the `chosen` planes where there are some."""
        return self.rows.relaxed | {key: self.sites[key].relaxed(planes) for key, planes in chosen.items()}


def bound_region(
    program: Block,
    region: Region,
    rounding: RoundingModel,
    options: BoundOptions = BoundOptions(),
    part: Subproblem = Subproblem(),
    prepared: Prepared | None = None,
    deadline: float = math.inf,
) -> Bounds:
    """Bound every value of `program` over `region`, with the errors of `rounding` included.

    `part` restricts every instance to where given operands lie in given parts; with what it has inherited no
    backward passes are needed: boxes follow from the inherited ones, the splits, and intervals. Who bounds a
    program often keeps what is `prepared` for it. Raises `OutOfTime` if the `deadline` (time.monotonic) comes
    before the end."""
    prepared = Prepared() if prepared is None else prepared
    found = IntermediateBounds(program, region, rounding, options, part, prepared, deadline)
    with torch.no_grad():
        variables = found.run()
        outputs = tuple(
            interval_of(form, variables, rounding, program.width, len(region)) for form in program.outputs
        )
    return Bounds(
        program,
        region,
        rounding,
        options,
        part.splits,
        found.sites,
        found.operands,
        outputs,
        found.lost,
        found.empty,
        found.rows,
    )
