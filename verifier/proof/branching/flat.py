"""Where every operand and every plane of a network lies in one long vector.

Branch and bound keeps thousands of parts; with flat tensors [N, ..] selecting, joining and splitting them is
a handful of calls, however many gates and time steps there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations import Octagon, Planes
from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import OperandKey, SiteKey


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """`operands` key → slice of [.., P], P = `units`; `planes` key of a site → (slice of [.., S], arity);
    `diagonals` key of a site that has them → the same of [.., D]."""

    operands: Mapping[OperandKey, slice]
    planes: Mapping[SiteKey, tuple[slice, int]]
    diagonals: Mapping[SiteKey, tuple[slice, int]]
    units: int

    def boxes(self, bounds: Bounds) -> tuple[Tensor, Tensor]:
        """The boxes of all operands, [B, P] each."""
        found = [bounds.operands[key][0] for key in self.operands]
        return torch.cat([i.lower for i in found], -1), torch.cat([i.upper for i in found], -1)

    def by_operand(self, flat: Tensor) -> dict[OperandKey, Tensor]:
        """[.., P] ↦ views [.., n]."""
        return {key: flat[..., place] for key, place in self.operands.items()}

    def flat(self, found: Mapping[OperandKey, Tensor], like: Tensor) -> Tensor:
        """The inverse of `by_operand` for tensors [*, B, n]; [B, *, P] with zeros where an operand is
        missing. `like` [B, *, P] gives the shape."""
        flat = torch.zeros_like(like)
        for key, values in found.items():
            flat[..., self.operands[key]] = values.movedim(-2, 0)
        return flat

    def flat_planes(self, planes: Mapping[SiteKey, Planes]) -> Tensor:
        """Planes of every site ↦ [B, 2, S]: lower and upper; slopes, then the offset."""
        parts = []
        for key in self.planes:
            p = planes[key]
            lower = torch.cat([p.lower_slope, p.lower_offset.unsqueeze(0)])
            upper = torch.cat([p.upper_slope, p.upper_offset.unsqueeze(0)])
            parts.append(torch.stack([lower, upper]).permute(2, 0, 1, 3).flatten(2))
        return torch.cat(parts, -1)

    def by_site(self, flat: Tensor) -> dict[SiteKey, Planes]:
        """The inverse of `flat_planes`."""
        found = {}
        for key, (place, arity) in self.planes.items():
            lower, upper = flat[..., place].unflatten(-1, (arity + 1, -1)).permute(1, 2, 0, 3)
            found[key] = Planes(lower[:arity], lower[arity], upper[:arity], upper[arity])
        return found

    def flat_diagonals(self, bounds: Bounds) -> Tensor:
        """Octagon of every site that has them ↦ [B, D]: frames, then bounds."""
        parts = [bounds.lost.new_zeros(len(bounds.lost), 0, dtype=bounds.region.lower.dtype)]
        for key in self.diagonals:
            d = bounds.sites[key].diagonals
            assert d is not None
            parts.append(torch.cat([d.centre, d.half, *d.sides()]).movedim(1, 0).flatten(1))
        return torch.cat(parts, -1)

    def diagonals_by_site(self, flat: Tensor) -> dict[SiteKey, Octagon]:
        """The inverse of `flat_diagonals`."""
        found = {}
        for key, (place, arity) in self.diagonals.items():
            sizes = [arity, arity, *[arity - 1] * 4]
            values = flat[:, place].unflatten(-1, (sum(sizes), -1)).movedim(0, 1)
            found[key] = Octagon(*values.split(sizes))
        return found


def layout_of(bounds: Bounds) -> Layout:
    """The layout of every part of what `bounds` is about."""
    operands: dict[OperandKey, slice] = {}
    planes: dict[SiteKey, tuple[slice, int]] = {}
    diagonals: dict[SiteKey, tuple[slice, int]] = {}
    units = total = cuts = 0
    for key, site in bounds.sites.items():
        arity = len(site.lower)
        size = (arity + 1) * site.step.size
        planes[key] = slice(total, total + size), arity
        total += size
        if site.diagonals is not None:
            size = (6 * arity - 4) * site.step.size
            diagonals[key] = slice(cuts, cuts + size), arity
            cuts += size
        for form in site.step.operands:
            operand = form.at(site.time)
            if operand not in operands:
                operands[operand] = slice(units, units + form.size)
                units += form.size
    return Layout(operands, planes, diagonals, units)
