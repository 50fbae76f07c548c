"""What a part of a region takes over from the part it was cut out of: boxes, and slopes of planes.

A box that holds on a region holds on every part of it, and any slope is sound; so a part needs no sweeps of
its own before its question can be asked. Only where a split has made a box clearly smaller are the slopes
worth choosing anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations import Planes, offsets, planes
from verifier.program import GateStep
from verifier.site import Key

SHRUNK = 0.9  # of the old width: below it slopes are chosen anew


@dataclass(frozen=True, slots=True, eq=False)
class Inherited:
    """`boxes` of operands ([B, n], [B, n]), keyed by (identity of the form, iteration), and `slopes` of sites
    (lower, upper), [k, B, n] each."""

    boxes: Mapping[Key, tuple[Tensor, Tensor]]
    slopes: Mapping[Key, tuple[Tensor, Tensor]]


def inherited_planes(
    step: GateStep, iteration: int, lower: Tensor, upper: Tensor, inherited: Inherited
) -> Planes:
    """Planes over the boxes [k, B, n] with inherited slopes, or fresh ones where a box has shrunk."""
    low_slope, high_slope = inherited.slopes[id(step), iteration]
    old = [inherited.boxes[id(form), iteration] for form in step.operands]
    shrunk = torch.zeros_like(lower[0], dtype=torch.bool)
    for k, (low, high) in enumerate(old):
        shrunk |= upper[k] - lower[k] < SHRUNK * (high - low)
    where = torch.nonzero(shrunk, as_tuple=True)
    if len(where[0]):
        pick = (slice(None), *where)
        fresh = planes(step.gate, lower[pick], upper[pick], step.parameters)
        low_slope, high_slope = low_slope.clone(), high_slope.clone()
        low_slope[pick], high_slope[pick] = fresh.lower_slope, fresh.upper_slope
    low, high = offsets(step.gate, low_slope, high_slope, lower, upper, step.parameters)
    return Planes(low_slope, low, high_slope, high)
