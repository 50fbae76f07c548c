"""Which bound over polygons a gate has: by their sides where these are known, else by strips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from relaxations.gate import Gate, Support
from relaxations.polygons import sigmoid_tanh as sigmoid_tanh_polygon
from relaxations.polygons import strips
from relaxations.polygons.polygon import Cut
from relaxations.polygons.strips import Problems, box_support

BY_SIDES = {"sigmoid_tanh": sigmoid_tanh_polygon.support}


def over_polygons(
    gate: Gate,
    scale: Tensor,
    slopes: Tensor,
    lower: Tensor,
    upper: Tensor,
    cut: Cut,
    parameters: Mapping[str, Any],
) -> Support:
    """Upper bounds [m, N] of scale·g − slopes·p over polygons in boxes [2, m, N], of diagonals [N], the
    margin included, and places that nearly attain them."""
    m = scale.shape[0]
    flat = slopes.flatten(1), lower.flatten(1), upper.flatten(1)
    problems = Problems(scale.flatten(), *flat, Cut(*(t.repeat(*[1] * (t.dim() - 1), m) for t in cut)))
    if gate.name not in BY_SIDES:
        found = strips.support(problems, gate, parameters)
    else:
        found, close = BY_SIDES[gate.name](*problems)
        rest = (~close).nonzero()[:, 0]
        if rest.numel():
            box = box_support(gate, *problems.pick(rest)[:4], parameters)
            better = box.value < found.value[rest]
            rest = rest[better]
            found = Support(
                found.value.index_copy(0, rest, box.value[better]),
                found.at.index_copy(1, rest, box.at[:, better]),
            )
    return Support(found.value.reshape(scale.shape), found.at.reshape(slopes.shape))
