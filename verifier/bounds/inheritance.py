"""What a subproblem takes over from the one it was split off: pre-activation bounds, and mostly their planes.

What holds on a region holds on every part of it; so a subproblem needs no backward passes of its own before
its question can be asked. Planes are made anew where a split has made the gate's box smaller, and only there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from relaxations import Octagon, Planes, offsets, planes
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import GateStep
from verifier.propagation.splits import Splits

SHRUNK = 0.9  # of the old width: below it slopes are chosen anew, not only offsets


@dataclass(frozen=True, slots=True, eq=False)
class Inherited:
    """`boxes` of operands ([B, n], [B, n]), `planes` of sites, and `octagons` of those whose boxes are cut
    by octagon constraints. Without planes, everything is made anew inside the boxes."""

    boxes: Mapping[OperandKey, tuple[Tensor, ...]]
    planes: Mapping[SiteKey, Planes] | None = None
    octagons: Mapping[SiteKey, Octagon] = field(default_factory=dict)

    def select(self, instances: Tensor) -> Inherited:
        """The boxes of these instances."""
        return Inherited({key: (low[instances], high[instances]) for key, (low, high) in self.boxes.items()})


@dataclass(frozen=True, slots=True, eq=False)
class Subproblem:
    """What makes an instance a part of its region: the parts in which given operands lie, and what is known
    from the region that it was cut out of."""

    splits: Splits = field(default_factory=dict)
    inherited: Inherited | None = None

    @property
    def anew(self) -> bool:
        """Whether planes are made anew, by backward passes of its own."""
        return self.inherited is None or self.inherited.planes is None


def inherited_planes(step: GateStep, time: int, lower: Tensor, upper: Tensor, inherited: Inherited) -> Planes:
    """Planes over boxes [k, B, n] that lie in the inherited ones."""
    assert inherited.planes is not None
    held = inherited.planes[step.at(time)]
    old = [inherited.boxes[form.at(time)] for form in step.operands]
    ratio = torch.stack(
        [
            (u - l) / (high - low).clamp_min(1e-300)
            for l, u, (low, high) in zip(lower, upper, old, strict=True)
        ]
    )
    least = ratio.amin(0)
    changed, shrunk = least < 1.0, least < SHRUNK
    if not bool(changed.any()):
        return held
    octagon = inherited.octagons.get(step.at(time))
    low_slope, high_slope = held.lower_slope.clone(), held.upper_slope.clone()
    low, high = held.lower_offset.clone(), held.upper_offset.clone()
    for where, fresh in ((shrunk, True), (changed & ~shrunk, False)):
        place = torch.nonzero(where, as_tuple=True)
        if not len(place[0]):
            continue
        pick = (slice(None), *place)
        box = lower[pick], upper[pick]
        cut = None if octagon is None else octagon.map(lambda t, pick=pick: t[pick])
        if fresh:
            found = planes(step.gate, *box, step.parameters, octagon=cut)
            low_slope[pick], high_slope[pick] = found.lower_slope, found.upper_slope
            low[place], high[place] = found.lower_offset, found.upper_offset
        else:
            low[place], high[place] = offsets(
                step.gate, low_slope[pick], high_slope[pick], *box, step.parameters, cut
            )
    return Planes(low_slope, low, high_slope, high)
