"""Where every operand and every plane of a program lies in one long vector: offsets by number and time step.

Branch and bound keeps thousands of parts; with flat tensors [N, ..] selecting, joining and splitting them is
a handful of calls, however many gates and time steps there are. Bounds read them by key, through views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from relaxations import Octagon, Planes
from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import Block, sites_of

Key = TypeVar("Key", OperandKey, SiteKey)
Value = TypeVar("Value")
Where = TypeVar("Where")


class Views(Mapping[Key, Value], Generic[Key, Where, Value]):
    """What lies at each place of some flat tensors, cut out when it is asked for."""

    def __init__(self, places: Mapping[Key, Where], view: Callable[[Where], Value]) -> None:
        self._places, self._view = places, view

    def __getitem__(self, key: Key) -> Value:
        return self._view(self._places[key])

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places


class Place(NamedTuple):
    """The entries of a site, for a gate of that `arity`."""

    entries: slice
    arity: int


@dataclass(frozen=True, slots=True, eq=False)
class Offsets:
    """`operands` are slices of [.., P], P = `units`; `planes` places of [.., S]; `octagons`, of sites that
    octagon constraints cut, places of [.., D]."""

    operands: Mapping[OperandKey, slice]
    planes: Mapping[SiteKey, Place]
    octagons: Mapping[SiteKey, Place]
    units: int

    def boxes(self, bounds: Bounds) -> tuple[Tensor, Tensor]:
        """The boxes of all operands, [B, P] each."""
        found = [bounds.operands[key].interval for key in self.operands]
        return torch.cat([i.lower for i in found], -1), torch.cat([i.upper for i in found], -1)

    def by_operand(self, *flat: Tensor) -> Mapping[OperandKey, tuple[Tensor, ...]]:
        """The entries [.., n] of an operand in each of the tensors [.., P]."""
        return Views(self.operands, lambda place: tuple(t[..., place] for t in flat))

    def flat(self, found: Mapping[OperandKey, Tensor], like: Tensor) -> Tensor:
        """Tensors [*, B, n] of operands ↦ [B, *, P] with zeros where an operand is missing. `like`
        [B, *, P] gives the shape."""
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

    def planes_of(self, flat: Tensor) -> Mapping[SiteKey, Planes]:
        """The inverse of `flat_planes`."""

        def view(place: Place) -> Planes:
            arity = place.arity
            lower, upper = flat[..., place.entries].unflatten(-1, (arity + 1, -1)).permute(1, 2, 0, 3)
            return Planes(lower[:arity], lower[arity], upper[:arity], upper[arity])

        return Views(self.planes, view)

    def flat_octagons(self, bounds: Bounds) -> Tensor:
        """The octagon constraints of every site that has some ↦ [B, D]."""
        parts = [bounds.lost.new_zeros(len(bounds.lost), 0, dtype=bounds.region.lower.dtype)]
        for key in self.octagons:
            o = bounds.sites[key].octagon
            assert o is not None
            parts.append(torch.cat([o.centre, o.half, *o.sides()]).movedim(1, 0).flatten(1))
        return torch.cat(parts, -1)

    def octagons_of(self, flat: Tensor) -> Mapping[SiteKey, Octagon]:
        """The inverse of `flat_octagons`."""

        def view(place: Place) -> Octagon:
            sizes = [place.arity, place.arity, *[place.arity - 1] * 4]
            values = flat[:, place.entries].unflatten(-1, (sum(sizes), -1)).movedim(0, 1)
            return Octagon(*values.split(sizes))

        return Views(self.octagons, view)


def offsets_of(program: Block, octagon: bool) -> Offsets:
    """The offsets of all of `program`; with `octagon`, of the constraints of gates for which they pay."""
    operands: dict[OperandKey, slice] = {}
    planes: dict[SiteKey, Place] = {}
    octagons: dict[SiteKey, Place] = {}
    units = total = cuts = 0
    for step, time in sites_of(program):
        arity = len(step.operands)
        size = (arity + 1) * step.size
        planes[step.at(time)] = Place(slice(total, total + size), arity)
        total += size
        if octagon and step.gate.octagon:
            size = (6 * arity - 4) * step.size
            octagons[step.at(time)] = Place(slice(cuts, cuts + size), arity)
            cuts += size
        for form in step.operands:
            if form.at(time) not in operands:
                operands[form.at(time)] = slice(units, units + form.size)
                units += form.size
    return Offsets(operands, planes, octagons, units)
