"""Lagrange multipliers of splits, as free parameters (the β of β-CROWN: Wang et al. 2021): any β ≥ 0 is
sound.

Here they belong to operands of any gate, split anywhere (`verifier.propagation.splits`)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import OperandKey, SiteKey
from verifier.propagation.splits import SplitTerm, split_term


class Multipliers:
    """β of all splits, in units of what the gates that read the operand lose per width of its box."""

    def __init__(
        self, bounds: Bounds, coefficients: Mapping[SiteKey, Tensor], start: Mapping[OperandKey, Tensor]
    ) -> None:
        self._units = {
            key: torch.maximum(unit, start[key].amax(0)) if key in start else unit
            for key, unit in _units(bounds, coefficients).items()
        }
        self.steps = {
            key: start[key] / unit.clamp_min(1e-300) if key in start else unit.new_zeros(2, *unit.shape)
            for key, unit in self._units.items()
        }
        for tensor in self.steps.values():
            tensor.requires_grad_(True)

    def beta(self) -> dict[OperandKey, Tensor]:
        """[2, B, n] by operand."""
        return {key: self._units[key] * steps.clamp_min(0.0) for key, steps in self.steps.items()}

    @torch.no_grad()
    def project(self) -> None:
        for tensor in self.steps.values():
            tensor.clamp_(min=0.0)


def multipliers(bounds: Bounds, beta: Mapping[OperandKey, Tensor]) -> dict[OperandKey, SplitTerm]:
    """The Lagrange terms of the splits of `bounds` for β [2, B, n] ≥ 0 by operand."""
    read = {
        form.at(site.time): (form.bias, site.relative)
        for site in bounds.sites.values()
        for form in site.step.operands
    }
    found = {}
    for key, (below, above) in beta.items():
        part = bounds.splits[key]
        below = below * torch.isfinite(part.upper)
        above = above * torch.isfinite(part.lower)
        (interval, magnitude), (bias, relative) = bounds.operands[key], read[key]
        found[key] = split_term(below, above, part, bias, interval.error, magnitude, relative)
    return found


def _units(bounds: Bounds, coefficients: Mapping[SiteKey, Tensor]) -> dict[OperandKey, Tensor]:
    """Scale [B, n] of β by split operand: Σ |λ|·gap / width over the gates that read it."""
    units: dict[OperandKey, Tensor] = {}
    if not bounds.splits:
        return units
    for key, site in bounds.sites.items():
        split = [form.at(site.time) in bounds.splits for form in site.step.operands]
        if key not in coefficients or not any(split):
            continue
        loss = coefficients[key].abs().amax(1) * site.gap()
        for k, form in enumerate(site.step.operands):
            if split[k]:
                operand = form.at(site.time)
                unit = loss / (site.upper[k] - site.lower[k]).clamp_min(1e-9)
                units[operand] = units[operand] + unit if operand in units else unit
    return units
