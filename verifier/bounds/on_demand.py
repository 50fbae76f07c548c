"""Bounds over one region, each made when it is first asked for, from the cheapest on."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from verifier.bounds.inheritance import Inherited
from verifier.bounds.multi_neuron import joins
from verifier.bounds.region_bounds import Bounds
from verifier.network.program import Block, gate_steps
from verifier.network.rounding import RoundingModel
from verifier.problem.halfspace import Halfspace
from verifier.problem.region import Region
from verifier.propagation.splits import Splits


class BoundsOnDemand:
    """One region and its bounds, each made when it is first asked for and kept: with backward passes that go
    back `lookback` time steps, None for all; a first, cheap pass goes back `few`. Making them raises
    `OutOfTime` at the `deadline` (time.monotonic)."""

    def __init__(
        self,
        program: Block,
        region: Region,
        arithmetic: RoundingModel,
        lookback: int | None,
        few: int | None,
        *,
        joint: bool = False,
        deadline: float = math.inf,
    ) -> None:
        self.region = region
        self.lookback = lookback
        self.few = few
        gates = [step.gate for step in gate_steps(program)]
        self.has_gates, self.corners = bool(gates), any(gate.corners for gate in gates)
        self._program = program
        self._arithmetic = arithmetic
        self._joint = joint
        self._deadline = deadline
        self._made: dict[str, Bounds] = {}

    @property
    def intervals(self) -> Bounds:
        return self._kept("intervals", backward=False, lookback=None)

    @property
    def short(self) -> Bounds:
        """Passes of `few` time steps."""
        return self._kept("short", lookback=self.few)

    @property
    def sweeps(self) -> Bounds:
        return self._kept("sweeps", joint=self._joint)

    @property
    def cut(self) -> Bounds:
        """With the corners of boxes cut off: slower, and much tighter where there are gates for it."""
        return self._kept("cut", corners=True, joint=self._joint)

    @property
    def deepest(self) -> Bounds:
        """The tightest bounds without a question."""
        return self.cut if self.corners else self.sweeps

    def inner(self, region: Region) -> Bounds:
        """Bounds over some region of the same network."""
        return self._make(region, joint=self._joint)

    def part(self, instances: Tensor, splits: Splits, inherited: Inherited, halfspace: Halfspace) -> Bounds:
        """Bounds of parts of the region's instances, cut by half-spaces."""
        region = self.region.select(instances).within(halfspace)
        return self._make(region, splits=splits, inherited=inherited, corners=self.corners, joint=self._joint)

    def select(self, instances: Tensor) -> BoundsOnDemand:
        """The instances at these places, in order."""
        if len(instances) == len(self.region):
            return self
        return self._over(self.region.select(instances), self._joint, self._deadline)

    def cut_by(self, instances: Tensor, halfspace: Halfspace) -> BoundsOnDemand:
        """The instances at these places, in order, each cut by its half-space."""
        region = self.region.select(instances).within(halfspace)
        return self._over(region, self._joint, self._deadline)

    def until(self, deadline: float) -> BoundsOnDemand:
        """The same with this deadline; what either makes, both have."""
        other = self._over(self.region, self._joint, deadline)
        other._made = self._made
        return other

    @property
    def can_join(self) -> bool:
        """Whether `jointly` gives anything."""
        return self.lookback is None and joins(self._program, self.region, self._arithmetic)

    def jointly(self, deadline: float) -> BoundsOnDemand:
        """The same region until `deadline`, where bounds win back what gates cannot lose together."""
        return self._over(self.region, True, deadline)

    def _kept(self, name: str, **options: Any) -> Bounds:
        if name not in self._made:
            self._made[name] = self._make(self.region, **options)
        return self._made[name]

    def _make(self, region: Region, **options: Any) -> Bounds:
        options = {"lookback": self.lookback, "deadline": self._deadline} | options
        return Bounds(self._program, region, self._arithmetic, **options)

    def _over(self, region: Region, joint: bool, deadline: float) -> BoundsOnDemand:
        arguments = (self._program, region, self._arithmetic, self.lookback, self.few)
        return BoundsOnDemand(*arguments, joint=joint, deadline=deadline)
