"""What octagon constraints gain: planes over octagons against planes over their boxes.

`python -m benchmarks.relaxations.polygons`

Boxes as in `benchmarks.relaxations`, cut to octagons at û ± v̂ = ±(0.4 … 2), uniformly.  The volume between
both planes over the polygon, by sampling it, for planes over the box; for planes over the polygon; and for
the latter moved to where the samples allow, which no offset can beat ("bound").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import begin, print_table, seconds
from benchmarks.relaxations.boxes import random_boxes
from relaxations import GATES, Gate, Octagon, Planes, planes
from relaxations.bounding_planes import planes_over
from relaxations.gate_box import GateBox

NAMES = (
    "product",
    "sigmoid_product",
    "tanh_product",
    "sigmoid_tanh",
    "sigmoid_relu",
    "hard_sigmoid_tanh",
    "max",
)
BOXES, SAMPLES = 500, 20000
CENTRE = (0.0, 0.0)  # planes of least volume, with no shift of their target


def random_cuts(lower: Tensor, upper: Tensor) -> Octagon:
    generator = torch.Generator().manual_seed(1)
    depth = 0.4 + 1.6 * torch.rand(4, 1, lower.shape[1], generator=generator, dtype=torch.float64)
    middle, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    return Octagon(middle, half, -depth[0], depth[1], -depth[2], depth[3])


def samples(lower: Tensor, upper: Tensor, cut: Octagon) -> tuple[Tensor, Tensor]:
    """Points [2, m, n] of the boxes, and which of them lie in the polygons [m, n]."""
    generator = torch.Generator().manual_seed(2)
    u, v = at = 2 * torch.rand(2, SAMPLES, 1, generator=generator, dtype=torch.float64) - 1
    total, difference = u + v, u - v
    inside = (cut.sum_lower <= total) & (total <= cut.sum_upper)
    inside &= (cut.difference_lower <= difference) & (difference <= cut.difference_upper)
    return 0.5 * (lower + upper)[:, None] + 0.5 * (upper - lower)[:, None] * at, inside


def volume(found: Planes, points: Tensor, inside: Tensor) -> Tensor:
    distance = ((found.upper_slope - found.lower_slope)[:, None] * points).sum(0)
    distance = distance + found.upper_offset - found.lower_offset
    return torch.where(inside, distance, 0.0).sum(0) / inside.sum(0)


def milliseconds(
    gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any], cut: Octagon | None
) -> float:
    """Of one call with the first 32 boxes."""
    few = lower[:, :32], upper[:, :32]
    return 1e3 * seconds(lambda: planes(gate, *few, parameters, octagon=cut)).cpu


def row(gate: Gate) -> tuple[str, ...]:
    parameters = gate.example[0]
    lower, upper = random_boxes(gate, BOXES, parameters)
    cut = random_cuts(lower, upper)
    boxed = planes_over(GateBox(gate, lower, upper, parameters), CENTRE)
    found = planes_over(GateBox(gate, lower, upper, parameters, cut), CENTRE)
    points, inside = samples(lower, upper, cut)
    value = gate.function(*points, **parameters)
    low, high = (value - (s[:, None] * points).sum(0) for s in (found.lower_slope, found.upper_slope))
    moved = Planes(
        found.lower_slope,
        torch.where(inside, low, torch.inf).amin(0),
        found.upper_slope,
        torch.where(inside, high, -torch.inf).amax(0),
    )
    base = volume(boxed, points, inside)
    bent = base > 1e-9 + 1e-6 * gate.magnitude(lower, upper, **parameters)  # elsewhere both are exact
    ours, least = ((volume(p, points, inside) / base)[bent] for p in (found, moved))
    shares = ours.mean(), ours.quantile(0.1), ours.quantile(0.9), least.mean()
    few = cut.map(lambda t: t[:, :32])
    cost = [milliseconds(gate, lower, upper, parameters, d) for d in (few, None)]
    return gate.name, *(f"{float(share):.3f}" for share in shares), *(f"{spent:.1f}" for spent in cost)


def main() -> None:
    begin("Planes over polygons")
    print_table(
        "gate | volume, polygon : box | 10 % | 90 % | bound | 32 boxes, ms | of these boxes",
        (row(GATES[name]) for name in NAMES),
    )


if __name__ == "__main__":
    main()
