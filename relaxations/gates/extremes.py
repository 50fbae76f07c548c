"""max and min of two operands: linear on either side of the diagonal x = y.

So the greatest value of ±max(x, y) minus a linear function is at a vertex of one of the two parts of the box:
a corner, or an end of the diagonal's segment inside the box.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from relaxations.curves.curve import between, largest
from relaxations.gate import WITHIN_4_ULP, Gate, Support, register
from relaxations.rounding import margin


def extreme(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> Gate:
    def image(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        low, high = function(lower[0], lower[1]), function(upper[0], upper[1])
        return low - margin(low.abs()), high + margin(high.abs())

    def nodes(lower: Tensor, upper: Tensor) -> tuple[Tensor, ...]:
        first, last = lower.amax(0), upper.amin(0)  # the diagonal's segment, where first ≤ last
        x0, y0 = (between(first, lower[j], upper[j]) for j in range(2))
        x1, y1 = (between(last, lower[j], upper[j]) for j in range(2))
        return torch.stack([lower[0], x0, x1, upper[0]]), torch.stack([lower[1], y0, y1, upper[1]])

    def support(scale: Tensor, slopes: Tensor, lower: Tensor, upper: Tensor) -> Support:
        xs, ys = nodes(lower, upper)
        vertices = [(xs[i], ys[j]) for i, j in ((0, 0), (0, -1), (-1, 0), (-1, -1), (1, 1), (2, 2))]
        values = [scale * function(x, y) - slopes[0] * x - slopes[1] * y for x, y in vertices]
        found = torch.stack(values).max(dim=0)
        places = torch.stack([torch.stack(pair) for pair in zip(*vertices, strict=True)])
        index = found.indices.expand(2, 1, *found.indices.shape)
        return Support(found.values, places.gather(1, index)[:, 0])

    def magnitude(lower: Tensor, upper: Tensor) -> Tensor:
        return largest(lower, upper).amax(0)

    return Gate(name, 2, (), function, image, support, nodes, magnitude, error=WITHIN_4_ULP)


register(extreme("max", torch.maximum))
register(extreme("min", torch.minimum))
