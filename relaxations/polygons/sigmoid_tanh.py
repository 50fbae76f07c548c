"""The support of σ(x)·tanh(y) over polygons, almost exact: by their sides.

The greatest F = σ(x)·tanh y − a·x − b·y over a polygon lies on one of its sides or is a local maximum inside.

  * On sides of the box x or y is constant: the support of a curve.
  * On slanted sides: `segments`.
  * A local maximum inside is one of y for its x, hence on the curve tanh y = t(s) of `sigmoid_tanh`, and one
    of Ψ along it.  Ψ' = G is concave for a ≥ 0, so that only its larger root is one; for a < 0, G > 0 and
    there is none.  So there is at most one, wherever the polygon ends.  It is left out where Newton's method
    shows that it is not in the polygon: there is no root on the curve inside the box, or its s lies in a
    bracket, at whose ends G is positive and negative by more than rounding, and the points of the curve
    there, which rise with s, lie outside.

Where rounding decides whether there is a root, |G| is at most its rounding error, 64u(1 + …), from there to
the point where the curve meets a side, and Ψ exceeds F there by no more: the margin covers it.

scale = −1 is the same problem with y mirrored, which swaps the bounds of û + v̂ and û − v̂.
"""

from __future__ import annotations

import torch
from torch import Tensor

from relaxations.curves import sigmoid, tanh
from relaxations.curves.curve import between, largest
from relaxations.gate import Support
from relaxations.octagon import Cut, thick, unit_box
from relaxations.polygons import segments
from relaxations.polygons.polygon import sides
from relaxations.products import sigmoid_tanh
from relaxations.rounding import UNIT, margin

APART = 1e-7
"""Rounding of x and y on the curve, relative and absolute: y is the inverse of a square root."""


def support(scale: Tensor, slopes: Tensor, lower: Tensor, upper: Tensor, cut: Cut) -> tuple[Support, Tensor]:
    """An upper bound [N] of scale·σ(x)·tanh(y) − slopes·p over the polygons in boxes [2, N], the margin
    included, and the place; and [N] whether it is as close as wanted.  Where it is not, or is no number, the
    bound over the box may be better."""
    a, b, cut = slopes[0], scale * slopes[1], _mirrored(scale, cut)
    ends = scale * lower[1], scale * upper[1]
    lower, upper = (
        torch.stack([x[0], y])
        for x, y in zip((lower, upper), (torch.minimum(*ends), torch.maximum(*ends)), strict=True)
    )
    low, high = unit_box(lower, upper, cut.centre, cut.half)
    found = sides(low, high, cut)
    # sides of the box, a little longer
    outward = (16 * UNIT) * (cut.centre.abs() + largest(lower, upper))
    (xs, ys), (h, k) = torch.stack([lower, upper], 1), outward
    starts, stops = found.first[:4].unflatten(0, (2, 2)), found.last[:4].unflatten(0, (2, 2))
    x0, x1 = (
        between(cut.centre[0] + cut.half[0] * u + s, lower[0], upper[0])
        for u, s in ((starts[0], -h), (stops[0], h))
    )
    y0, y1 = (
        between(cut.centre[1] + cut.half[1] * v + s, lower[1], upper[1])
        for v, s in ((starts[1], -k), (stops[1], k))
    )
    flat = sigmoid.SIGMOID.support(torch.tanh(ys), a, x0, torch.maximum(x0, x1))
    steep = tanh.TANH.support(torch.sigmoid(xs), b, y0, torch.maximum(y0, y1))
    inside, place = _inside(a, b, lower, upper, low, high, cut)
    values = torch.cat([flat.value - b * ys, steep.value - a * xs])
    values = torch.cat([torch.where(found.present[:4], values, -torch.inf), inside[None]])
    places = torch.stack([torch.cat([flat.at, xs, place[:1]]), torch.cat([ys, steep.at, place[1:]])])
    best, index = values.max(0, keepdim=True)
    at = places.gather(1, index.expand(2, *index.shape))[:, 0]
    # slanted sides
    width = (found.last - found.first)[4:].clamp(min=0.0)
    sign = torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=a.dtype, device=a.device)[:, None]
    lines = segments.between(
        cut.centre[0] + cut.half[0] * found.first[4:],
        cut.centre[1] + cut.half[1] * found.other[0, 4:],
        cut.half[0] * width,
        sign * (cut.half[1] * width),
        a.expand(4, -1),
        b.expand(4, -1),
    )
    value, at, close = segments.greatest(lines, found.present[4:], best[0], at)
    at = torch.minimum(torch.maximum(at, lower), upper)
    # |∂F| ≤ 1 + |slope|, and places err by few units of all that they are computed from
    reach = cut.centre.abs() + 2 * cut.half + largest(lower, upper)
    value = value + margin(1 + (1 + a.abs()) * reach[0] + (1 + b.abs()) * reach[1])
    usable = thick(lower, upper).all(0) & found.present.any(0) & value.isfinite()
    value = torch.where(usable, value, torch.inf)
    return Support(value, torch.stack([at[0], scale * at[1]])), usable & close


def _mirrored(scale: Tensor, cut: Cut) -> Cut:
    """Of y' = scale·y:  û + v̂' = û − v̂ where that is −y."""
    same = scale > 0
    sums, differences = (cut.sum_lower, cut.sum_upper), (cut.difference_lower, cut.difference_upper)
    return Cut(
        torch.stack([cut.centre[0], scale * cut.centre[1]]),
        cut.half,
        *(torch.where(same, s, d) for s, d in zip(sums, differences, strict=True)),
        *(torch.where(same, d, s) for s, d in zip(sums, differences, strict=True)),
    )


def _inside(
    a: Tensor, b: Tensor, lower: Tensor, upper: Tensor, low: Tensor, high: Tensor, cut: Cut
) -> tuple[Tensor, Tensor]:
    """A bound [N] of F at a local maximum inside the polygons, −∞ where there is none; its place [2, N]."""
    arc = sigmoid_tanh.arc(b, lower[0], upper[0], lower[1], upper[1])
    zero = torch.zeros_like(a)
    root = sigmoid_tanh.larger_root(a, b, zero, torch.tanh(upper[1]), arc)
    none = ~arc.present | (a < 0) | (root.s <= root.least) | root.rising
    # the bracket
    reach = 2 * root.move + 1e-10 * torch.minimum(root.s, root.rest)
    left, right = torch.maximum(root.s - reach, root.least), torch.minimum(root.s + reach, root.first)
    s = torch.stack([left, right])
    rest = root.rest + (root.s - s)
    value, steep, _ = sigmoid_tanh.slope(a, b, zero, s, rest)
    error = (64 * UNIT) * (1 + steep)
    seen = (value[0] > error[0]) | (left <= root.least)
    seen &= (value[1] < -error[1]) | (right >= root.first)
    x, y = torch.log(s / rest), sigmoid_tanh.on_curve(b, s)
    off = torch.tensor([-APART, APART], dtype=x.dtype, device=x.device)[:, None]
    u = (x + off * (1 + x.abs()) - cut.centre[0]) / cut.half[0]
    v = (y + off * (1 + y.abs()) - cut.centre[1]) / cut.half[1]
    outside = (u[0] + v[0] > cut.sum_upper) | (u[1] + v[1] < cut.sum_lower)
    outside |= (u[0] - v[1] > cut.difference_upper) | (u[1] - v[0] < cut.difference_lower)
    outside |= (u[0] > high[0]) | (u[1] < low[0]) | (v[0] > high[1]) | (v[1] < low[1])
    found = torch.where(none | (seen & outside), -torch.inf, root.value)
    return found, torch.stack([root.x, root.y])
