"""Which bound over polygons a gate has: by their sides where these are known, else by strips."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from relaxations.gate import Support
from relaxations.gate_box import GateBox
from relaxations.octagon import Cut
from relaxations.polygons import sigmoid_tanh as sigmoid_tanh_polygon
from relaxations.polygons import strips
from relaxations.polygons.strips import Problems, box_support

BY_SIDES = {"sigmoid_tanh": sigmoid_tanh_polygon.support}


def over_polygons(box: GateBox, scale: Tensor, slopes: Tensor, cut: Cut) -> Support:
    """Upper bounds [m, N] of scale·g − slopes·p over polygons in boxes [2, m, N], of octagons [N], the
    margin included, and places that nearly attain them."""
    m = scale.shape[0]
    flat = replace(box, lower=box.lower.flatten(1), upper=box.upper.flatten(1))
    repeated = Cut(*(t.repeat(*[1] * (t.dim() - 1), m) for t in cut))
    problems = Problems(flat, scale.flatten(), slopes.flatten(1), repeated)
    if box.gate.name not in BY_SIDES:
        found = strips.support(problems)
    else:
        by_sides = BY_SIDES[box.gate.name]
        found, close = by_sides(problems.scale, problems.slopes, flat.lower, flat.upper, repeated)
        rest = (~close).nonzero()[:, 0]
        if rest.numel():
            some = problems.pick(rest)
            over_box = box_support(some.box, some.scale, some.slopes)
            better = over_box.value < found.value[rest]
            rest = rest[better]
            found = Support(
                found.value.index_copy(0, rest, over_box.value[better]),
                found.at.index_copy(1, rest, over_box.at[:, better]),
            )
    return Support(found.value.reshape(scale.shape), found.at.reshape(slopes.shape))
