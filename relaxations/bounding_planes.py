"""The three questions that a verifier asks of a gate: planes, offsets for given slopes, and the image of a
box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from relaxations.checks import check_box, check_diagonals, check_domain, resolved
from relaxations.gate import Gate
from relaxations.kernels import calls as compiled
from relaxations.polygons.polygon import Diagonals
from relaxations.polygons.strips import box_support
from relaxations.polygons.supports import over_polygons
from relaxations.slopes.least_volume import minimum_volume, secant, shift

CHUNK = 1024
"""Boxes solved at once: as many as stay in the processor's cache."""

Found = tuple[Tensor, Tensor]
"""Offsets [*S] of planes, and the places [k, *S] where they are attained, both float64."""


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
    quality: Literal["tight", "fast"] = "tight",
    lean: Sequence[float] | None = None,
    diagonals: Diagonals | None = None,
) -> Planes:
    """A lower and an upper plane of `gate` over every box [lower, upper], each [k, *S], or over the part that
    `diagonals` cut out of it (gates of two operands).

    `quality`: "tight" has nearly least volume, "fast" takes slopes in closed form.  `lean` [k] shifts the
    point of the box at which a tight plane is as close as can be (`relaxations.slopes.least_volume.LEAN`).

    Raises `InvalidBox` for lower > upper, NaN and infinite sides, `OutsideDomain` where the gate is not
    defined on the whole box, `UnknownGate` for a name or parameters that are not in the table.
    """
    gate, parameters = resolved(gate, parameters)
    check_diagonals(gate, lower, diagonals)
    if quality == "tight":
        found = compiled.planes(gate, lower, upper, shift(gate.arity, lean), diagonals)
        if found is not None:
            slopes = found[0].to(lower.dtype)
            below, above = _outward(found[1][0], found[1][1], lower.dtype)
            return Planes(slopes[0], below, slopes[1], above)
    check_box(gate, lower, upper)
    check_domain(gate, lower, upper, parameters)
    with torch.inference_mode():
        low, high = _flat_double(lower), _flat_double(upper)
        cut = None if diagonals is None else diagonals.trimmed(lower.double(), upper.double())

        def choose(l: Tensor, u: Tensor, start: int) -> Tensor:
            if quality == "fast":
                return torch.stack(secant(gate, l, u, parameters))
            part = None if cut is None else cut.map(lambda t: t[:, start : start + CHUNK]).pair(0)
            return torch.stack(minimum_volume(gate, l, u, parameters, lean, part))

        parts = [
            choose(l, u, i * CHUNK)
            for i, (l, u) in enumerate(zip(low.split(CHUNK, 1), high.split(CHUNK, 1), strict=True))
            if l.numel()
        ]
        slopes = torch.cat(parts, 2) if parts else low.new_zeros(2, *low.shape)
        slopes = slopes.reshape(2, *lower.shape).to(lower.dtype)
    slopes = slopes.clone()
    (below, _), (above, _) = _offsets(gate, slopes[0], slopes[1], lower, upper, parameters, diagonals)
    below, above = _outward(below, above, lower.dtype)
    return Planes(slopes[0], below, slopes[1], above)


def offsets(
    gate: Gate | str,
    lower_slope: Tensor,
    upper_slope: Tensor,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any] | None = None,
    diagonals: Diagonals | None = None,
) -> tuple[Tensor, Tensor]:
    """The (lower, upper) offsets [*S] that make planes with the given slopes sound, whatever the slopes.

    Slopes are [k, *R] where R broadcasts against S (many slopes for one box); the result has their common
    shape.  `diagonals` as for `planes`.  Differentiable in the slopes: by the envelope theorem the
    gradient of an offset is minus the place where it is attained.  Errors as for `planes`.
    """
    gate, parameters = resolved(gate, parameters)
    check_diagonals(gate, lower, diagonals)
    found = _compiled_offsets(gate, lower_slope, upper_slope, lower, upper, diagonals)
    if found is None:
        check_box(gate, lower, upper)
        check_domain(gate, lower, upper, parameters)
        found = _supports(gate, lower_slope, upper_slope, lower, upper, parameters, diagonals)
    (below, low), (above, high) = found
    below, above = _outward(below, above, lower.dtype)
    return (
        below + _envelope(lower_slope, low.to(lower.dtype)),
        above + _envelope(upper_slope, high.to(lower.dtype)),
    )


def _offsets(*problem: Any) -> tuple[Found, Found]:
    """Of the lower and the upper planes, of boxes that are known to be good; arguments as of `_supports`."""
    gate, lower_slope, upper_slope, lower, upper, _, diagonals = problem
    found = _compiled_offsets(gate, lower_slope, upper_slope, lower, upper, diagonals)
    return _supports(*problem) if found is None else found


def _compiled_offsets(
    gate: Gate,
    lower_slope: Tensor,
    upper_slope: Tensor,
    lower: Tensor,
    upper: Tensor,
    diagonals: Diagonals | None,
) -> tuple[Found, Found] | None:
    """As `_supports`, where the gate's compiled form is for these tensors."""
    if lower_slope.shape != upper_slope.shape:
        lower_slope, upper_slope = torch.broadcast_tensors(lower_slope, upper_slope)
    sides = []
    for sign, slope in zip(_signs(), (lower_slope, upper_slope), strict=True):
        found = compiled.offsets(gate, sign, slope, lower, upper, diagonals)
        if found is None:
            return None
        sides.append(found)
    return sides[0], sides[1]


@cache
def _signs() -> tuple[Tensor, Tensor]:
    below, above = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    return below, above


def offset(
    gate: Gate | str,
    below: Tensor,
    slope: Tensor,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any] | None = None,
    diagonals: Diagonals | None = None,
) -> Tensor:
    """The offset [*S] with which a plane of the given `slope` [k, *S] bounds the gate from below where
    `below` [*S], and from above elsewhere: half the work of `offsets` where one side is enough.

    Differentiable in the slope, errors, and proof as for `offsets`.
    """
    gate, parameters = resolved(gate, parameters)
    check_diagonals(gate, lower, diagonals)
    scale = torch.where(below, -1.0, 1.0).to(torch.float64)
    found = compiled.offsets(gate, scale, slope, lower, upper, diagonals)
    if found is not None:
        low, high = _outward(found[0], found[0], lower.dtype)
        value = low if low is high else torch.where(below, low, high)
        return value + _envelope(slope, found[1].to(lower.dtype))
    check_box(gate, lower, upper)
    check_domain(gate, lower, upper, parameters)
    with torch.inference_mode():
        slopes, low, high = (t.double().flatten(1).unsqueeze(1) for t in (slope * scale, lower, upper))
        cut = None if diagonals is None else diagonals.trimmed(lower, upper)
        value, at = _in_chunks(gate, scale.reshape(1, -1), slopes, low, high, parameters, cut)
        value = scale * value.reshape(below.shape)
        at = at.reshape(lower.shape).to(lower.dtype)
        low, high = _outward(value, value, lower.dtype)
        value = torch.where(below, low, high)
    return value.clone() + _envelope(slope, at.clone())


def image(
    gate: Gate | str, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any] | None = None
) -> tuple[Tensor, Tensor]:
    """An interval (lo, hi), each [*S], that contains the gate's values over the box: exact up to rounding.

    Where the gate is not defined on the whole box it is (−∞, ∞).  Errors as for `planes`.
    """
    gate, parameters = resolved(gate, parameters)
    found = compiled.image(gate, lower, upper)
    if found is not None:
        return _outward(*found, lower.dtype)
    check_box(gate, lower, upper)
    with torch.inference_mode():
        lower, upper, dtype = lower.double(), upper.double(), lower.dtype
        low, high = gate.image(lower, upper, **parameters)
        if gate.inside is not None:
            defined = gate.inside(lower, upper, **parameters)
            low, high = torch.where(defined, low, -torch.inf), torch.where(defined, high, torch.inf)
        low, high = _outward(low, high, dtype)
    return low.clone(), high.clone()


def _supports(
    gate: Gate,
    lower_slope: Tensor,
    upper_slope: Tensor,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any],
    diagonals: Diagonals | None = None,
) -> tuple[Found, Found]:
    """Offsets of the lower and of the upper planes, by supports a cache-full of boxes at a time.

    Both problems at once: max of −g + a⁻·p and of g − a⁺·p.
    """
    with torch.inference_mode():
        sides = torch.broadcast_tensors(lower_slope, upper_slope, lower, upper)
        slope_low, slope_high, low, high = (side.double() for side in sides)
        slopes = torch.stack([-slope_low, slope_high], 1)
        k, _, *shape = slopes.shape
        scale = slopes.new_tensor([[-1.0], [1.0]])
        flat = slopes.flatten(2), low.flatten(1).unsqueeze(1), high.flatten(1).unsqueeze(1)
        cut = None if diagonals is None else diagonals.trimmed(low, high)
        value, at = _in_chunks(gate, scale, *flat, parameters, cut)
        offset, at = (scale * value).reshape(2, *shape), at.reshape(k, 2, *shape)
    offset, at = offset.clone(), at.clone()
    return (offset[0], at[:, 0]), (offset[1], at[:, 1])


def _in_chunks(
    gate: Gate,
    scale: Tensor,
    slopes: Tensor,
    lower: Tensor,
    upper: Tensor,
    parameters: Mapping[str, Any],
    cut: Diagonals | None,
) -> tuple[Tensor, Tensor]:
    """Support values with their margins [m, N] and the places [k, m, N], for `scale` that broadcasts to [m,
    N], `slopes` [k, m, N] and boxes [k, 1, N]."""
    values, places = [slopes.new_zeros(slopes.shape[1], 0)], [slopes[..., :0]]
    size = 2 * CHUNK // slopes.shape[1]
    for start in range(0, slopes.shape[-1], size):
        a, l, u = (t[..., start : start + size] for t in (slopes, lower, upper))
        sign = scale.expand(slopes.shape[1:])[:, start : start + size]
        l, u = l.expand_as(a), u.expand_as(a)
        if cut is None:
            found = box_support(gate, sign, a, l, u, parameters)
        else:
            part = cut.map(lambda t, start=start: t[:, start : start + size]).pair(0)
            found = over_polygons(gate, sign, a, l, u, part, parameters)
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


def _flat_double(t: Tensor) -> Tensor:
    return t.detach().reshape(t.shape[0], -1).double()
