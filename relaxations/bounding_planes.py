"""Bounding planes of gates (POPQORN, Ko et al. 2019), offsets for given slopes, and the image of a box.

POPQORN has two bounding planes for each gate, and so has this package.  Here their slopes are chosen
for the least volume between them, by a small linear program instead of by descent, and soundness rests on the
offset alone, which is bounded for whatever slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

import relaxations.gates  # noqa: F401  (fills the table that gates are looked up in)
from relaxations.gate import Gate
from relaxations.gate_box import GateBox
from relaxations.kernels import adapters
from relaxations.kernels.adapters import Found
from relaxations.kernels.kernel import INT, Kernel
from relaxations.octagon import Octagon
from relaxations.polygons.strips import box_support
from relaxations.polygons.supports import over_polygons
from relaxations.slopes.least_volume import minimum_volume, target

CHUNK = 1024
"""Boxes solved at once: as many as stay in the processor's cache."""


@dataclass(frozen=True)
class Planes:
    """For all p in the box:  Σₖ lower_slope[k]·pₖ + lower_offset ≤ g(p) ≤ Σₖ upper_slope[k]·pₖ +
    upper_offset, over the reals.  Slopes are [k, *S], offsets [*S], for a gate of k operands over boxes [k,
    *S]."""

    lower_slope: Tensor
    lower_offset: Tensor
    upper_slope: Tensor
    upper_offset: Tensor


def planes(
    gate: Gate | str,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any] | None = None,
    octagon: Octagon | None = None,
) -> Planes:
    """A lower and an upper plane of nearly least volume of `gate` over every box [lower, upper], each [k,
    *S], or over the part that `octagon` cut out of it (gates of two operands).

    Raises `InvalidBox` for lower > upper, NaN and infinite sides, `OutsideDomain` where the gate is not
    defined on the whole box, `UnknownGate` for a name or parameters that are not in the table.
    """
    return planes_over(GateBox.of(gate, lower, upper, parameters, octagon))


def planes_over(box: GateBox, tangent: Sequence[float] | None = None) -> Planes:
    """`planes` of a box, as close as can be at the point that lies `tangent` [k] half-widths from its centre
    towards the corner where the gate is extreme (`relaxations.slopes.least_volume.TANGENT`)."""
    slopes, (below, above) = PLANES(box, target(box.gate.arity, tangent))
    slopes = slopes.to(box.lower.dtype)
    below, above = _outward(below, above, box.lower.dtype)
    return Planes(slopes[0], below, slopes[1], above)


def offsets(
    gate: Gate | str,
    lower_slope: Tensor,
    upper_slope: Tensor,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any] | None = None,
    octagon: Octagon | None = None,
) -> tuple[Tensor, Tensor]:
    """The (lower, upper) offsets [*S] that make planes with the given slopes sound, whatever the slopes.

    Slopes are [k, *R] where R broadcasts against S (many slopes for one box); the result has their common
    shape.  `octagon` as for `planes`.  Differentiable in the slopes: by the envelope theorem the
    gradient of an offset is minus the place where it is attained.  Errors as for `planes`.
    """
    return offsets_over(GateBox.of(gate, lower, upper, parameters, octagon), lower_slope, upper_slope)


def offsets_over(box: GateBox, lower_slope: Tensor, upper_slope: Tensor) -> tuple[Tensor, Tensor]:
    """`offsets` of a box."""
    dtype = box.lower.dtype
    if lower_slope.shape != upper_slope.shape:
        lower_slope, upper_slope = torch.broadcast_tensors(lower_slope, upper_slope)
    below, above = _signs()
    (below, low), (above, high) = OFFSETS(box, ((below, lower_slope), (above, upper_slope)))
    below, above = _outward(below, above, dtype)
    return below + _envelope(lower_slope, low.to(dtype)), above + _envelope(upper_slope, high.to(dtype))


def offset_over(box: GateBox, below: Tensor, slope: Tensor) -> Tensor:
    """The offset [*S] with which a plane of the given `slope` [k, *S] bounds the gate from below where
    `below` [*S], and from above elsewhere: half the work of `offsets_over` where one side is enough.

    Differentiable in the slope, errors, and proof as for `offsets`.
    """
    dtype = box.lower.dtype
    sign = torch.where(below, -1.0, 1.0).to(torch.float64)
    ((value, at),) = OFFSETS(box, ((sign, slope),))
    low, high = _outward(value, value, dtype)
    value = low if low is high else torch.where(below, low, high)
    return value + _envelope(slope, at.to(dtype))


def image(
    gate: Gate | str, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any] | None = None
) -> tuple[Tensor, Tensor]:
    """An interval (lo, hi), each [*S], that contains the gate's values over the box: exact up to rounding.

    Where the gate is not defined on the whole box it is (−∞, ∞).  Errors as for `planes`.
    """
    return _outward(*IMAGE(GateBox.of(gate, lower, upper, parameters)), lower.dtype)


@cache
def _signs() -> tuple[Tensor, Tensor]:
    below, above = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    return below, above


# --- the references of the kernels
# ------------------------------------------------------------------------------


def _planes(box: GateBox, target: Sequence[float]) -> tuple[Tensor, Tensor]:
    """As `adapters.planes`."""
    box.check()
    lower, upper = box.lower, box.upper
    with torch.inference_mode():
        low, high = (t.detach().reshape(len(t), -1).double() for t in (lower, upper))
        cut = None if box.octagon is None else box.octagon.trimmed(lower.double(), upper.double())
        slopes = []
        for start in range(0, low.shape[1], CHUNK):
            l, u = (t[:, start : start + CHUNK] for t in (low, high))
            part = None if cut is None else cut.part(slice(start, start + CHUNK)).pair(0)
            slopes.append(torch.stack(minimum_volume(GateBox(box.gate, l, u, box.parameters), target, part)))
        chosen = torch.cat(slopes, 2) if slopes else low.new_zeros(2, *low.shape)
        chosen = chosen.reshape(2, *lower.shape).to(lower.dtype)
    chosen = chosen.clone()
    below, above = _signs()
    found = _supports(box, ((below, chosen[0]), (above, chosen[1])))
    return chosen.double(), torch.stack([offset for offset, _ in found])


def _offsets(box: GateBox, sides: Sequence[tuple[Tensor, Tensor]]) -> tuple[Found, ...]:
    """As `adapters.offsets`."""
    box.check()
    return _supports(box, sides)


def _image(box: GateBox) -> tuple[Tensor, Tensor]:
    """As `adapters.image`."""
    box.check(domain=False)
    gate, parameters = box.gate, box.parameters
    with torch.inference_mode():
        lower, upper = box.lower.double(), box.upper.double()
        low, high = gate.image(lower, upper, **parameters)
        if gate.inside is not None:
            defined = gate.inside(lower, upper, **parameters)
            low, high = torch.where(defined, low, -torch.inf), torch.where(defined, high, torch.inf)
    return low.clone(), high.clone()


def _supports(box: GateBox, sides: Sequence[tuple[Tensor, Tensor]]) -> tuple[Found, ...]:
    """Offsets by supports, a cache-full of boxes at a time, all sides at once: max of −g + a·p where the sign
    is negative, and of g − a·p."""
    with torch.inference_mode():
        device = box.lower.device
        *slopes, low, high = torch.broadcast_tensors(*(slope for _, slope in sides), box.lower, box.upper)
        low, high = low.double(), high.double()
        signs = [sign.to(device) for sign, _ in sides]
        signed = torch.stack([sign * slope.double() for sign, slope in zip(signs, slopes, strict=True)], 1)
        scale = torch.stack([sign.flatten() for sign in signs])
        cut = None if box.octagon is None else box.octagon.trimmed(low, high)
        flat = GateBox(box.gate, low.flatten(1), high.flatten(1), box.parameters, cut)
        value, at = _in_chunks(flat, scale, signed.flatten(2))
        value = (scale * value).reshape(signed.shape[1:])
        at = at.reshape(signed.shape)
    value, at = value.clone(), at.clone()
    return tuple((value[k], at[:, k]) for k in range(len(sides)))


def _in_chunks(box: GateBox, scale: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Support values with their margins [m, N] and the places [k, m, N], for `scale` that broadcasts to [m,
    N],
    `slopes` [k, m, N] and boxes [k, N] with a trimmed octagon."""
    values, places = [slopes.new_zeros(slopes.shape[1], 0)], [slopes[..., :0]]
    size = 2 * CHUNK // slopes.shape[1]
    lower, upper = box.lower.unsqueeze(1), box.upper.unsqueeze(1)
    for start in range(0, slopes.shape[-1], size):
        a, l, u = (t[..., start : start + size] for t in (slopes, lower, upper))
        sign = scale.expand(slopes.shape[1:])[:, start : start + size]
        here = GateBox(box.gate, l.expand_as(a), u.expand_as(a), box.parameters)
        if box.octagon is None:
            found = box_support(here, sign, a)
        else:
            found = over_polygons(here, sign, a, box.octagon.part(slice(start, start + size)).pair(0))
        values.append(found.value)
        places.append(found.at)
    return torch.cat(values, 1), torch.cat(places, 2)


def _envelope(slope: Tensor, at: Tensor) -> Tensor | float:
    """Zero, with gradient −at in the slopes."""
    return ((slope.detach() - slope) * at).sum(0) if slope.requires_grad else 0.0


def _outward(below: Tensor, above: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cast to `dtype`, away from the gate."""
    if dtype == torch.float64:
        return below, above
    infinite = torch.tensor(torch.inf, dtype=dtype, device=below.device)
    return torch.nextafter(below.to(dtype), -infinite), torch.nextafter(above.to(dtype), infinite)


PLANES = Kernel("planes", _planes, adapters.planes, adapters.PLANES, INT)
OFFSETS = Kernel("offsets", _offsets, adapters.offsets, adapters.OFFSETS, INT)
IMAGE = Kernel("image", _image, adapters.image, adapters.IMAGE, INT)
