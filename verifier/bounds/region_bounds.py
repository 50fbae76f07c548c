"""Bounds of linear functions of a network's outputs over a region."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from relaxations import Planes
from verifier.bounds.inheritance import Inherited
from verifier.bounds.intermediate import IntermediateBounds
from verifier.bounds.rows import never_nan
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import Block
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import Region
from verifier.propagation.interval import Interval, interval_of
from verifier.propagation.sites import RelaxedGate
from verifier.propagation.splits import Splits, SplitTerm


class Bounds:
    """Boxes and planes of every site of `program` over `region`, and bounds of linear functions of outputs.

    Computed once, when made. `backward=False` keeps forward intervals only; with `lookback` k, sweeps go
    at most k iterations back and end in the states' intervals. `lost` [B] marks instances for which some box
    overflowed: all their bounds are −∞.

    `splits` restrict every instance to a part of its region, where given operands lie in given parts. Bounds
    then hold for that part; `empty` [B] marks instances whose part has no point: their bounds are +∞. With
    what they have `inherited` they need no sweeps: boxes follow from the inherited ones, the splits, and
    intervals.

    `corners` cuts the boxes of those gates for which it pays (`Gate.corners`) by diagonals. `joint` wins back
    what gates cannot lose together (`verifier.bounds.multi_neuron`): for all boxes, or, inside of `inherited`
    ones, for objectives only; it is for float64, boxes of inputs, and sweeps without a `lookback`.

    Raises `OutOfTime` if the `deadline` (time.monotonic) comes before the end."""

    def __init__(
        self,
        program: Block,
        region: Region,
        arithmetic: RoundingModel,
        *,
        backward: bool = True,
        lookback: int | None = None,
        splits: Splits | None = None,
        inherited: Inherited | None = None,
        corners: bool = False,
        joint: bool = False,
        deadline: float = math.inf,
    ) -> None:
        self.program = program
        self.region = region
        self.arithmetic = arithmetic
        self.splits: Splits = {} if splits is None else splits
        self._backward = backward
        walk = IntermediateBounds(
            program,
            region,
            arithmetic,
            backward=backward,
            lookback=lookback,
            splits=self.splits,
            inherited=inherited,
            corners=corners,
            joint=joint,
            deadline=deadline,
        )
        with torch.no_grad():
            variables = walk.run()
            self._outputs = [
                interval_of(form, variables, arithmetic, program.width, len(region))
                for form in program.outputs
            ]
        self.sites, self.operands = walk.sites, walk.operands
        self.lost, self.empty = walk.lost, walk.empty
        self._relaxed, self._rows, self._joint = walk.relaxed, walk.rows, walk.rows.joint

    def output_interval(self) -> Interval:
        """Interval of all outputs, flattened and concatenated [B, m], from intervals alone."""
        parts = [interval for interval, _ in self._outputs]
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
            plain = plain + self.region.minimum(objective.inputs.expand(len(self.region), -1, -1))
        best = never_nan(plain - self.uncertainty(objective))
        if self._backward:
            best = torch.maximum(best, never_nan(self._joint_minimum(objective)))
        return self.settled(best)

    def settled(self, bounds: Tensor) -> Tensor:
        """Bounds [B, R] with those of lost and of empty instances set."""
        bounds = bounds.masked_fill(self.lost.unsqueeze(-1), -torch.inf)
        return bounds.masked_fill((self.empty & ~self.lost).unsqueeze(-1), torch.inf)

    def swept_minimum(
        self,
        objective: Objective,
        relaxed: Mapping[SiteKey, RelaxedGate] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
        record: dict[SiteKey, Tensor] | None = None,
    ) -> Tensor:
        """The backward sweep of `minimum` alone, every gate for itself; differentiable in the planes of
        `relaxed`, which replace the sites' own, and in `multipliers` of the splits. `record` receives the
        coefficients of every gate. Meaningless for `lost` and for `empty` instances."""
        A, constant = self._swept(objective, relaxed, multipliers, record)
        return constant + self.region.minimum(A) - self.uncertainty(objective)

    def swept_rows(
        self,
        objective: Objective,
        relaxed: Mapping[SiteKey, RelaxedGate] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Linear functions of the inputs below the objective's rows: coefficients [B, R, N] and constants
        [B, R], those through the sites' own planes raised by what gates cannot lose together; arguments as
        for `swept_minimum`."""
        if self._joint is None or relaxed is not None:
            return self._swept(objective, relaxed, multipliers)
        record: dict[SiteKey, Tensor] = {}
        A, constant = self._swept(objective, None, multipliers, record)
        return A, constant + self._joint.raised(record, constant.shape[-1])

    def _joint_minimum(self, objective: Objective) -> Tensor:
        """`swept_minimum` through the sites' own planes, with what gates cannot lose together."""
        if self._joint is None:
            return self.swept_minimum(objective)
        record: dict[SiteKey, Tensor] = {}
        A, constant = self._swept(objective, record=record)
        found = torch.maximum(constant + self.region.minimum(A), self._joint.minimum(A, constant, 0, record))
        return found - self.uncertainty(objective)

    def _swept(
        self,
        objective: Objective,
        relaxed: Mapping[SiteKey, RelaxedGate] | None = None,
        multipliers: Mapping[OperandKey, SplitTerm] | None = None,
        record: dict[SiteKey, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        A, constant = self._rows.of_outputs(objective.outputs, self._outputs, relaxed, multipliers, record)
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
        return self._relaxed | {key: self.sites[key].relaxed(planes) for key, planes in chosen.items()}
