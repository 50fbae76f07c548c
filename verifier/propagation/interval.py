"""Interval arithmetic (Moore 1966; IBP: Gowal et al. 2018) of affine forms, with their rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from verifier.network.affine import AffineForm
from verifier.network.rounding import RoundingModel


@dataclass(frozen=True, eq=False)
class Interval:
    """`lower ≤ value ≤ upper`, all [B, n].

    `error` bounds how far the value may be from its affine form over exact gate outputs; `tight` says
    that the interval already stands on a backward pass (or is exact) and needs no other.
    """

    lower: Tensor
    upper: Tensor
    error: Tensor
    tight: bool = False

    @cached_property
    def magnitude(self) -> Tensor:
        return torch.maximum(self.lower.abs(), self.upper.abs())

    @cached_property
    def centre(self) -> Tensor:
        return (self.lower + self.upper) / 2

    @cached_property
    def sizes(self) -> Tensor:
        """Radius, magnitude and error [3, B, n], which every form that reads the value asks for."""
        return torch.stack([(self.upper - self.lower) / 2, self.magnitude, self.error])

    def is_point(self) -> bool:
        return bool((self.lower == self.upper).all())

    def slice(self, start: int, stop: int) -> Interval:
        return Interval(
            self.lower[:, start:stop], self.upper[:, start:stop], self.error[:, start:stop], self.tight
        )

    def intersect(self, lower: Tensor, upper: Tensor, tight: bool) -> tuple[Interval, Tensor]:
        """The common part with another valid interval, and which instances [B] have none.

        Where the two cross by a hair, as rounding makes them, the hull of the crossing is kept.
        """
        lower, upper = torch.maximum(self.lower, lower), torch.minimum(self.upper, upper)
        empty = (lower > upper).any(-1)
        if bool(empty.any()):
            empty = (lower - upper > 1e-6 * (1 + self.magnitude)).any(-1)
            lower, upper = torch.minimum(lower, upper), torch.maximum(lower, upper)
        return Interval(lower, upper, self.error, tight), empty


def joined(parts: Sequence[Interval]) -> Interval:
    """The values of all parts, one after the other."""
    return Interval(
        torch.cat([part.lower for part in parts], -1),
        torch.cat([part.upper for part in parts], -1),
        torch.cat([part.error for part in parts], -1),
        all(part.tight for part in parts),
    )


class Operand(NamedTuple):
    """The interval of an affine form, and the `magnitude` [B, n] of all its terms together."""

    interval: Interval
    magnitude: Tensor


def interval_of(
    form: AffineForm, variables: Mapping[str, Interval], rounding: RoundingModel, width: int, batch: int
) -> Operand:
    """The interval of `form` and the magnitude of all its terms.

    With centres c and radii r of the variables: M c + b ± |M| r, widened by γ·(|M| |s| + |b|). A sum of terms
    none of which is negative is not negative in floating point either, which keeps roots in their domain.
    """
    if (source := form.source) is not None:
        return Operand(variables[source], variables[source].magnitude)
    centre, sums = form.bias.expand(batch, -1), None
    for name, linear_map in form.terms.items():
        v = variables[name]
        centre = centre + linear_map.apply(v.centre)
        more = linear_map.apply_absolute(v.sizes)
        sums = more if sums is None else sums + more
    if sums is None:
        sums = centre.new_zeros(3, *centre.shape)
    radius, magnitude, error = sums.unbind()
    magnitude = magnitude + form.bias_magnitude
    added = rounding.affine(form.depth, width) * magnitude
    reach = radius + added
    lower, upper = centre - reach, centre + reach
    if form.nonnegative and all(bool((variables[name].lower >= 0).all()) for name in form.terms):
        lower = lower.clamp_min(0.0)
    return Operand(Interval(lower, upper, error + added), magnitude)
