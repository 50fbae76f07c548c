"""Slopes of the planes of one gate, as free parameters (the α of α-CROWN: Xu et al. 2021).

Any slopes are sound with the offsets of `relaxations.offsets`, so every operand of a multivariate gate has
its own. Over boxes that octagon constraints cut, exact offsets are dear; on the way to better slopes,
offsets over samples will do.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from relaxations import Planes
from relaxations.bounding_planes import offset_over, offsets_over
from relaxations.gate_box import GateBox
from relaxations.polygons.samples import polygon_samples
from verifier.bounds.octagon import joined
from verifier.network.keys import SiteKey
from verifier.network.program import GateStep
from verifier.propagation.sites import Site


class Slopes:
    """Slopes of one gate step at all its time steps, [k, T, B, n], in units of rise over run of its box."""

    def __init__(self, sites: list[Site]) -> None:
        self._step: GateStep = sites[0].step
        self._keys = [site.key for site in sites]
        self._lower = torch.stack([site.lower for site in sites], 1)
        self._upper = torch.stack([site.upper for site in sites], 1)
        self._origin = Planes(
            torch.stack([site.planes.lower_slope for site in sites], 1),
            torch.stack([site.planes.lower_offset for site in sites]),
            torch.stack([site.planes.upper_slope for site in sites], 1),
            torch.stack([site.planes.upper_offset for site in sites]),
        )
        cuts = [site.octagon for site in sites if site.octagon is not None]
        self._octagon = joined(cuts) if len(cuts) == len(sites) else None
        step = self._step
        self._box = GateBox.of(step.gate, self._lower, self._upper, step.parameters, self._octagon)
        self._samples = None
        if self._octagon is not None:
            self._samples = polygon_samples(
                self._step.gate, self._lower, self._upper, self._step.parameters, self._octagon
            )
        gap = torch.stack([site.gap() for site in sites])
        width = (self._upper - self._lower).clamp_min(1e-12)
        self._unit = (gap / width).clamp_max(1e3)
        self.steps = tuple(torch.zeros_like(width, requires_grad=True) for _ in range(2))

    def _values(self) -> tuple[Tensor, Tensor]:
        below, above = self.steps
        return (
            self._origin.lower_slope + self._unit * below,
            self._origin.upper_slope + self._unit * above,
        )

    def planes(
        self, coefficients: Mapping[SiteKey, Tensor] | None, exact: bool
    ) -> list[tuple[SiteKey, Planes]]:
        """Both planes of every site. Where `coefficients` [B, 1, n] of the last pass are given, only the
        plane that their signs ask for; the other one is still the first. Unless they are to be `exact`,
        offsets may come from samples, and planes are not sound then."""
        lower_slope, upper_slope = self._values()
        samples = None if exact else self._samples
        if coefficients is None:
            if samples is None:
                low, high = offsets_over(self._box, lower_slope, upper_slope)
            else:
                below = torch.ones_like(self._lower[0], dtype=torch.bool)
                low, high = samples.offset(below, lower_slope), samples.offset(~below, upper_slope)
        else:
            below = torch.stack([self._asked(coefficients.get(key)) for key in self._keys])
            lower_slope = torch.where(below, lower_slope, self._origin.lower_slope)
            upper_slope = torch.where(below, self._origin.upper_slope, upper_slope)
            slope = torch.where(below, lower_slope, upper_slope)
            exactly = samples is None
            found = offset_over(self._box, below, slope) if exactly else samples.offset(below, slope)
            low = torch.where(below, found, self._origin.lower_offset)
            high = torch.where(below, self._origin.upper_offset, found)
        return [
            (key, Planes(lower_slope[:, t], low[t], upper_slope[:, t], high[t]))
            for t, key in enumerate(self._keys)
        ]

    @property
    def sampled(self) -> bool:
        """Whether planes that need not be exact are cheaper."""
        return self._samples is not None

    def _asked(self, coefficients: Tensor | None) -> Tensor:
        """Whether the lower plane is asked for [B, n]."""
        shape = self._lower.shape[-2:]
        if coefficients is None:
            return torch.ones(shape, dtype=torch.bool, device=self._lower.device)
        return (coefficients[:, 0] >= 0).expand(shape)


def detached(planes: Planes) -> Planes:
    """Without their history of gradients."""
    return Planes(
        planes.lower_slope.detach(),
        planes.lower_offset.detach(),
        planes.upper_slope.detach(),
        planes.upper_offset.detach(),
    )
