"""What the answer to one question may use."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum


class Depth(IntEnum):
    """The last method that may be tried."""

    short = 1
    backward = 2
    corners = 3
    slopes = 4
    clipping = 5
    branching = 6


@dataclass(frozen=True, slots=True)
class Budget:
    """Methods up to `depth`, until the `deadline` (time.monotonic); `progress` is called between pieces of
    work. Branching has no natural end and is used only where there is a deadline."""

    deadline: float = math.inf
    progress: Callable[[], None] = lambda: None
    depth: Depth = Depth.branching

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.deadline

    @property
    def branching(self) -> bool:
        return self.depth >= Depth.branching and math.isfinite(self.deadline)

    def share(self, part: float) -> Budget:
        """The same with this part of the time that is left."""
        now = time.monotonic()
        return replace(self, deadline=now + part * (self.deadline - now))
