"""Bounds over one region, each made when it is first asked for, from the cheapest on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

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
    """One region and its bounds, each made when it is first asked for: with sweeps that go back `lookback`
    iterations, None for all."""

    def __init__(
        self,
        program: Block,
        region: Region,
        arithmetic: RoundingModel,
        lookback: int | None,
        few: int | None,
        progress: Callable[[], None],
        joint: bool = False,
    ) -> None:
        self.corners = any(step.gate.octagon for step in gate_steps(program))
        self._program = program
        self.region = region
        self._arithmetic = arithmetic
        self._lookback = lookback
        self._few = few
        self._progress = progress
        self._joint = joint

    @cached_property
    def intervals(self) -> Bounds:
        return Bounds(self._program, self.region, self._arithmetic, backward=False)

    @cached_property
    def short(self) -> Bounds | None:
        """Sweeps of `few` iterations, where those are to be tried first."""
        if self._few is None:
            return None
        return Bounds(
            self._program, self.region, self._arithmetic, lookback=self._few, progress=self._progress
        )

    @cached_property
    def sweeps(self) -> Bounds:
        return self.inner(self.region)

    @cached_property
    def cut(self) -> Bounds:
        """With the corners of boxes cut off: slower, and much tighter where there are gates for it."""
        return Bounds(
            self._program,
            self.region,
            self._arithmetic,
            lookback=self._lookback,
            corners=True,
            joint=self._joint,
            progress=self._progress,
        )

    @property
    def deepest(self) -> Bounds:
        """The tightest bounds without a question."""
        return self.cut if self.corners else self.sweeps

    def inner(self, region: Region) -> Bounds:
        """Bounds over some region of the same network."""
        return Bounds(
            self._program,
            region,
            self._arithmetic,
            lookback=self._lookback,
            joint=self._joint,
            progress=self._progress,
        )

    def part(self, instances: Tensor, splits: Splits, inherited: Inherited, halfspace: Halfspace) -> Bounds:
        """Bounds of parts of the region's instances, cut by half-spaces."""
        return Bounds(
            self._program,
            self.region.select(instances).within(halfspace),
            self._arithmetic,
            lookback=self._lookback,
            splits=splits,
            inherited=inherited,
            corners=self.corners,
            joint=self._joint,
            progress=self._progress,
        )

    def select(self, instances: Tensor) -> BoundsOnDemand:
        """The instances at these places, in order."""
        if len(instances) == len(self.region):
            return self
        return self._over(self.region.select(instances))

    def cut_by(self, instances: Tensor, halfspace: Halfspace) -> BoundsOnDemand:
        """The instances at these places, in order, each cut by its half-space."""
        return self._over(self.region.select(instances).within(halfspace))

    @property
    def can_join(self) -> bool:
        """Whether `jointly` gives anything."""
        return self._lookback is None and joins(self._program, self.region, self._arithmetic)

    def jointly(self, progress: Callable[[], None]) -> BoundsOnDemand:
        """The same region, where bounds win back what gates cannot lose together."""
        return BoundsOnDemand(
            self._program, self.region, self._arithmetic, self._lookback, self._few, progress, joint=True
        )

    def _over(self, region: Region) -> BoundsOnDemand:
        return BoundsOnDemand(
            self._program, region, self._arithmetic, self._lookback, self._few, self._progress, self._joint
        )
