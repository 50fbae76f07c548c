"""How a search goes on, and how long it would take."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(eq=False)
class Trend:
    """The worst part of every tree as a search goes on: after how many `parts`, how far `above` its goal
    [M]."""

    parts: list[int] = field(default_factory=list)
    above: list[Tensor] = field(default_factory=list)

    def note(self, parts: int, above: Tensor) -> None:
        self.parts.append(parts)
        self.above.append(above)

    def outlook(self) -> list[float]:
        """For every tree how many times more parts would likely decide it; +∞ without a trend.

        The worst bound rises about as fast as the tree grows deeper: by the same amount each time the number
        of parts doubles, which the second half of the search shows.
        """
        if len(self.parts) < 2:
            return [math.inf] * (len(self.above[0]) if self.above else 0)
        half = max(k for k, count in enumerate(self.parts) if k == 0 or 2 * count <= self.parts[-1])
        doublings = math.log2(self.parts[-1] / self.parts[half])
        factors = []
        for before, now in zip(self.above[half].tolist(), self.above[-1].tolist(), strict=True):
            rise = (now - before) / max(doublings, 1e-9)
            factors.append(1.0 if now > 0 else 2.0 ** min(-now / rise, 60.0) if rise > 1e-12 else math.inf)
        return factors
