"""What the answer to one question may use."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# (instance [k], the row of it that is open [k], points [k, n]) → which instances are settled [k]
Refute = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]


class Depth(IntEnum):
    """The last method that may be tried."""

    short = 1
    backward = 2
    corners = 3
    slopes = 4
    clipping = 5
    joint = 6
    branching = 7


@dataclass(frozen=True, slots=True)
class Budget:
    """Methods up to `depth`, until the `deadline` (time.monotonic); `progress` is called between pieces of
    work. Branching has no natural end and is used only where there is a deadline. Without `slopes`, deeper
    methods are tried without climbing slopes first.

    `refute` looks for counterexamples from points that an unfinished proof has found; an instance that it
    settles is not bounded any further, and stays unproved whatever `refute` says."""

    deadline: float = math.inf
    progress: Callable[[], None] = lambda: None
    depth: Depth = Depth.branching
    slopes: bool = True
    refute: Refute | None = None

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.deadline

    @property
    def joint(self) -> bool:
        """It takes seconds: where nobody asked for it, only where there is a deadline."""
        return self.depth == Depth.joint or self.branching

    @property
    def branching(self) -> bool:
        return self.depth >= Depth.branching and math.isfinite(self.deadline)

    def share(self, part: float) -> Budget:
        """The same with this part of the time that is left."""
        now = time.monotonic()
        return replace(self, deadline=now + part * (self.deadline - now))

    def renumbered(self, outer: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Budget:
        """For a part of the question: `outer` are its instances and rows [k] as the question numbers them."""
        refute = self.refute
        if refute is None:
            return self
        return replace(self, refute=lambda instance, row, starts: refute(*outer(instance, row), starts))

    def among(self, instances: Tensor) -> Budget:
        """For a question about these instances only."""
        return self.renumbered(lambda instance, row: (instances[instance], row))
