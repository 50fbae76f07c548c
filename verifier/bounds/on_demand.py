"""Bounds over one region, each made when it is first asked for, from the cheapest on."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from verifier.bounds.inheritance import Inherited, Subproblem
from verifier.bounds.multi_neuron import multi_neuron_applies
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import Bounds, bound_region
from verifier.network.program import Block, gate_steps
from verifier.network.rounding import RoundingModel
from verifier.problem.halfspace import Halfspace
from verifier.problem.region import Region
from verifier.propagation.backward import Prepared
from verifier.propagation.splits import Splits


class BoundsOnDemand:
    """One region and its bounds, each made when it is first asked for and kept: with the look-back of
    `options`; a first, cheap pass goes back `few` time steps. Making them raises `OutOfTime` at the
    `deadline` (time.monotonic)."""

    def __init__(
        self,
        program: Block,
        region: Region,
        rounding: RoundingModel,
        options: BoundOptions = BoundOptions(),
        few: int | None = None,
        prepared: Prepared | None = None,
        deadline: float = math.inf,
    ) -> None:
        self.region = region
        self.few = few
        self.lookback = options.lookback
        gates = [step.gate for step in gate_steps(program)]
        self.has_gates, self.octagon = bool(gates), any(gate.octagon for gate in gates)
        self._program = program
        self._rounding = rounding
        self._options = options
        self._prepared = Prepared() if prepared is None else prepared
        self._deadline = deadline
        self._made: dict[BoundOptions, Bounds] = {}

    def intervals(self) -> Bounds:
        """Interval arithmetic alone."""
        return self._once(BoundOptions(backward=False))

    def truncated(self) -> Bounds:
        """Backward passes of `few` time steps."""
        return self._once(BoundOptions(lookback=self.few))

    def backward(self) -> Bounds:
        """Backward passes, as far back as the options say."""
        return self._once(self._options)

    def deepest(self) -> Bounds:
        """The tightest bounds without a question: with octagon constraints, slower, and much tighter where
        there are gates for them."""
        return self._once(self._cut) if self.octagon else self.backward()

    def inner(self, region: Region) -> Bounds:
        """Bounds over some region of the same network."""
        return bound_region(
            self._program,
            region,
            self._rounding,
            self._options,
            prepared=self._prepared,
            deadline=self._deadline,
        )

    def part(self, instances: Tensor, splits: Splits, inherited: Inherited, halfspace: Halfspace) -> Bounds:
        """Bounds of parts of the region's instances, cut by half-spaces."""
        return bound_region(
            self._program,
            self.region.select(instances).within(halfspace),
            self._rounding,
            self._cut if self.octagon else self._options,
            Subproblem(splits, inherited),
            self._prepared,
            self._deadline,
        )

    def select(self, instances: Tensor) -> BoundsOnDemand:
        """The instances at these places, in order."""
        if len(instances) == len(self.region):
            return self
        return self._over(self.region.select(instances))

    def cut_by(self, instances: Tensor, halfspace: Halfspace) -> BoundsOnDemand:
        """The instances at these places, in order, each cut by its half-space."""
        return self._over(self.region.select(instances).within(halfspace))

    def until(self, deadline: float) -> BoundsOnDemand:
        """The same with this deadline; what either makes, both have."""
        other = self._over(self.region, deadline=deadline)
        other._made = self._made
        return other

    @property
    def allows_multi_neuron(self) -> bool:
        """Whether `with_multi_neuron` gives anything."""
        return self.lookback is None and multi_neuron_applies(self._program, self.region, self._rounding)

    def with_multi_neuron(self, deadline: float) -> BoundsOnDemand:
        """The same region until `deadline`, where bounds win back what gates cannot lose together."""
        return self._over(self.region, replace(self._options, multi_neuron=True), deadline)

    @property
    def _cut(self) -> BoundOptions:
        return replace(self._options, octagon=True)

    def _over(
        self,
        region: Region,
        options: BoundOptions | None = None,
        deadline: float | None = None,
    ) -> BoundsOnDemand:
        return BoundsOnDemand(
            self._program,
            region,
            self._rounding,
            self._options if options is None else options,
            self.few,
            self._prepared,
            self._deadline if deadline is None else deadline,
        )

    def _once(self, options: BoundOptions) -> Bounds:
        if options not in self._made:
            self._made[options] = bound_region(
                self._program,
                self.region,
                self._rounding,
                options,
                prepared=self._prepared,
                deadline=self._deadline,
            )
        return self._made[options]
