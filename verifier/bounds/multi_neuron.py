"""Multi-neuron bounds: what many gates cannot lose together (the aim of PRIMA: Müller et al. 2022; here by a
Lagrangian dual of the summed gaps, not by facets of hulls of small groups).

A backward pass puts a plane in the place of every gate, as if each were as far from its gate as it can be.
What it drops is known: with λ the coefficient of gate j in the pass of a row,

    row = A·x + b + Σⱼ |λⱼ|·(distance of gate j from its plane)
        ≥ A·x + b + Σⱼ |λⱼ|·(constantⱼ − Σₖ curvatureⱼₖ·p̂ⱼₖ²),

p̂ being the places of its operands in their intervals (`relaxations.quadratic_gap`). A zonotope
(`verifier.propagation.zonotope`) says how they depend on the inputs and on the relaxation error of earlier
gates: |p̂ⱼₖ − cⱼₖ − sⱼₖ·z| ≤ eⱼₖ, with |zᵢ| ≤ 1, e being rounding. So is p̂² ≤ (1 + τ)(c + s·z)² + (1 +
1/τ)e² for any τ > 0. The inputs are middle + radius·z, and with any set J of gates and ωⱼₖ = (1 +
τ)|λⱼ|·curvatureⱼₖ

    row ≥ A·middle + b + (A·radius)·z
            + Σ_J (|λⱼ|(constantⱼ − (1 + 1/τ)·Σₖ curvatureⱼₖ·eⱼₖ²) − Σₖ ωⱼₖ(cⱼₖ + sⱼₖ·z)²).

That is concave in z, and how low it is, `verifier.bounds.concave` says. It is where it counts that gates are
many: if all p̂² could be 1 at once, nothing would be left of their constants, but the same z would have to
serve hundreds of gates at a time, and the linear function, and keep to the half-space that cuts the region.

Every row has its own J and its own dual variables: one for all rows loses a factor of two to three. Rows may
be the objective's, or those of operands; where linear functions are asked for, it is their constants that are
raised, by the least value of the sum alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from relaxations.quadratic_gap import QuadraticGap
from relaxations.rounding import relative_margin
from verifier.bounds.concave import LANES, Half, Terms, least
from verifier.network.keys import SiteKey
from verifier.network.program import Block, GateStep
from verifier.network.rounding import RoundingModel
from verifier.problem.region import Region
from verifier.propagation.zonotope import Zonotope, Zonotopes

GATES = 4096  # units of gates that count at most
ENTRIES = 1 << 25  # of the generators of one value, at most
HEAVIEST = 256  # gates of a row that are looked at, and
SHARED = 850  # over the root of the number of rows: what they cost goes with their square
TAU = 1e-4  # τ: errors are rounding, so that 1/τ of their squares is nothing
FAINT = 1e-12  # of what the heaviest gate is worth: what is less is left out
TINY = 1e-30


def multi_neuron_applies(program: Block, region: Region, rounding: RoundingModel) -> bool:
    """Whether gates can be taken together: inputs in a box, in float64, of a network of a size for it."""
    if region.cutting_ball is not None or rounding.dtype != torch.float64:
        return False
    widest = max(_sizes(program), default=0)
    return widest * (region.lower.shape[1] + GATES) <= ENTRIES


def _sizes(block: Block) -> list[int]:
    """Of all forms of a block."""
    sizes = [form.size for form in block.outputs]
    for step in block.steps:
        if isinstance(step, GateStep):
            sizes.append(step.size)
        else:
            sizes += [form.size for form in (*step.initial, *step.sequences)] + _sizes(step.body)
    return sizes


@dataclass(frozen=True, slots=True, eq=False)
class _Gates:
    """U gates of up to m operands: `place` (c, s) [B, U, m, G] of the operands over (1, z), float32; `value`
    constant − (1 + 1/τ)·Σ curvature·e² [B, 2, U] and `curvature` (1 + τ)·curvature [B, 2, U, m] of the lower
    planes and of the upper ones, all 0 where there is nothing to win."""

    place: Tensor
    value: Tensor
    curvature: Tensor


class MultiNeuron:
    """Collects gates while a region's boxes are made, and says what rows of backward passes win back by
    them: those of outputs and, with `boxes`, those of operands too."""

    def __init__(self, region: Region, rounding: RoundingModel, boxes: bool = True) -> None:
        self.boxes = boxes
        self.zonotopes = Zonotopes(region, rounding)
        self._batch = len(region)
        self._halves = self._halfspaces(region)
        self._sites: list[_Gates] = []
        self._places: dict[SiteKey, int] = {}
        self._count = 0
        self._all: _Gates | None = None

    def _halfspaces(self, region: Region) -> list[Half | None]:
        """The half-space of each instance, over (1, z)."""
        half = region.halfspace
        if half is None:
            return [None] * len(region)
        middle, radius = self.zonotopes.middle, self.zonotopes.radius
        margin = relative_margin(middle.shape[-1], middle.dtype)
        size = (half.normal.abs() * (middle.abs() + radius)).sum(-1) + half.constant.abs()
        constant = (half.normal * middle).sum(-1) + half.constant - 2 * margin * size
        normal = pad(half.normal * radius, (1, 0))
        return [Half.of(n, float(h)) for n, h in zip(normal, constant, strict=True)]

    def takes(self, units: int) -> bool:
        """Whether there is room for a site of that many units."""
        return self._count + units <= GATES

    def add(self, key: SiteKey, gap: QuadraticGap, operands: Sequence[Zonotope]) -> None:
        """The gates of a site: lower bounds of what their planes lose, and zonotopes of their operands."""
        places = [
            self.zonotopes.sum([operand], scale[None], shift)
            for operand, scale, shift in zip(operands, gap.scale, gap.shift, strict=True)
        ]
        error = torch.stack([p.error for p in places])
        value = gap.constant - (1 + 1 / TAU) * (gap.curvature * error * error).sum(1)  # [2, B, n]
        finite = torch.isfinite(torch.stack([p.reach for p in places])).all(0)
        good = finite & (value > 0)
        place = torch.stack(
            [torch.cat([p.centre.unsqueeze(-1), p.generators], -1) for p in places], -2
        ).float()
        curvature = (1 + TAU) * gap.curvature
        self._sites.append(
            _Gates(
                place.masked_fill(~finite[..., None, None], 0.0),
                value.masked_fill(~good, 0.0).movedim(0, 1),
                curvature.masked_fill(~good.unsqueeze(1), 0.0).permute(2, 0, 3, 1),
            )
        )
        self._places[key] = self._count
        self._count += value.shape[-1]

    def minimum(
        self, rows: Tensor, constant: Tensor, start: int, coefficients: Mapping[SiteKey, Tensor]
    ) -> Tensor:
        """Lower bounds [B, R] of `rows` A of a pass [B or 1, R, k] over the k inputs from `start` on, plus
        `constant` [B or 1, R], with these `coefficients` [B or 1, R, n] of gates; −∞ where nothing is won."""
        if not self._used(coefficients):
            return constant.new_full((self._batch, constant.shape[-1]), -torch.inf)
        part = slice(start, start + rows.shape[-1])
        middle, radius = self.zonotopes.middle[:, part], self.zonotopes.radius[:, part]
        size = (rows.abs() @ (middle.abs() + radius).unsqueeze(-1)).squeeze(-1)
        above = constant + (rows @ middle.unsqueeze(-1)).squeeze(-1)
        above = above - 2 * relative_margin(rows.shape[-1], rows.dtype) * (size + constant.abs())
        return above + self._least(coefficients, pad(rows * radius.unsqueeze(1), (1 + start, 0)))

    def raised(self, coefficients: Mapping[SiteKey, Tensor], rows: int) -> Tensor:
        """By how much the constants of R `rows` of a pass with these `coefficients` [B or 1, R, n] can be
        raised [B, R], whatever the inputs are."""
        none = self.zonotopes.middle.new_zeros(self._batch, rows)
        if not self._used(coefficients):
            return none
        return torch.maximum(self._least(coefficients, none.unsqueeze(-1)), none)

    def _used(self, coefficients: Mapping[SiteKey, Tensor]) -> list[SiteKey]:
        return [key for key in coefficients if key in self._places]

    def _least(self, coefficients: Mapping[SiteKey, Tensor], linear: Tensor) -> Tensor:
        """The least value [B, R] of `linear` [B, R, k] over the first entries of (1, z) and of what gates
        lose."""
        gates = self._gathered()
        weights = linear.new_zeros(self._batch, linear.shape[1], self._count)
        for key in self._used(coefficients):
            A, first = coefficients[key], self._places[key]
            weights[..., first : first + A.shape[-1]] = A
        each = zip(weights, gates.place, gates.value, gates.curvature, linear, self._halves, strict=True)
        return torch.stack([_won(*one) for one in each])

    def _gathered(self) -> _Gates:
        if self._all is None or self._all.place.shape[1] < self._count:
            size = max(site.place.shape[-1] for site in self._sites)
            size = max(size, 1 + self.zonotopes.middle.shape[-1])
            parts = max(site.place.shape[-2] for site in self._sites)

            def wide(t: Tensor, last: int, more: int) -> Tensor:
                return pad(t, (0, last - t.shape[-1], 0, more)) if more else pad(t, (0, last - t.shape[-1]))

            self._all = _Gates(
                torch.cat([wide(s.place, size, parts - s.place.shape[-2]) for s in self._sites], 1),
                torch.cat([s.value for s in self._sites], -1),
                torch.cat([wide(s.curvature, parts, 0) for s in self._sites], 2),
            )
        return self._all


def _won(
    weights: Tensor, place: Tensor, value: Tensor, curvature: Tensor, linear: Tensor, half: Half | None
) -> Tensor:
    """The least value [R] of `linear` [R, k] and what U gates lose with coefficients `weights` [R, U], for
    gates at `place` [U, m, G] with `value` [2, U] and `curvature` [2, U, m], in the `half`-space."""
    used = (weights != 0).any(0)
    if not bool(used.any()):
        return weights.new_full(weights.shape[:1], -torch.inf)
    weights, place, value, curvature = weights[:, used], place[used], value[:, used], curvature[:, used]
    needed = (place != 0).any(0).any(0)
    needed[0] = True  # the number 1
    needed[: linear.shape[-1]] |= (linear != 0).any(0)
    columns = torch.nonzero(needed)[:, 0]
    more = -len(columns) % LANES
    place = pad(place[..., columns], (0, more)).contiguous()
    linear = pad(pad(linear, (0, len(needed) - linear.shape[-1]))[:, columns], (0, more))
    if half is not None:
        half = half.of_entries(columns, len(columns) + more)
    worth = torch.where(weights > 0, value[0], value[1]) * weights.abs()
    count = min(HEAVIEST, len(place), max(1, round(SHARED / len(weights) ** 0.5)))
    worth, heaviest = worth.topk(count, -1)
    weights = weights.gather(-1, heaviest)
    omega = torch.where(weights.unsqueeze(-1) > 0, curvature[0][heaviest], curvature[1][heaviest])
    omega = omega * weights.abs().unsqueeze(-1)
    scale = worth[:, :1].clamp_min(TINY)
    worth, omega = worth / scale, omega / scale.unsqueeze(-1)
    heavy = worth > FAINT
    worth, omega = worth.masked_fill(~heavy, 0.0), omega.masked_fill(~heavy.unsqueeze(-1), 0.0)
    return least(Terms(place, heaviest, omega, worth), linear / scale, half) * scale[:, 0]
