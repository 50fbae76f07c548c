"""Slopes and multipliers optimised for the question asked.

Any slopes are sound, and so are any multipliers ≥ 0 of splits: both are free parameters. They are found by
gradient ascent on the objective's lower bound, through the last sweep, with offsets recomputed for every
step (their gradient is −p*, the point where the plane touches: relaxations.offsets). The boxes of the sites
stay as they are; every iterate is a valid bound, and the best one of each row is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from relaxations import Planes, offsets
from verifier.adam import Adam
from verifier.bounds import Bounds, Objective
from verifier.program import GateStep
from verifier.site import Key, Site
from verifier.splits import Multiplier, multiplier


class _Slopes:
    """Slopes of one gate step at all its iterations, [k, T, B, n], in units of rise over run of its box."""

    def __init__(self, sites: list[Site]) -> None:
        self.step: GateStep = sites[0].step
        self.iterations = [site.iteration for site in sites]
        self.lower = torch.stack([site.lower for site in sites], 1)
        self.upper = torch.stack([site.upper for site in sites], 1)
        self._origin_lower = torch.stack([site.planes.lower_slope for site in sites], 1)
        self._origin_upper = torch.stack([site.planes.upper_slope for site in sites], 1)
        gap = torch.stack([site.gap() for site in sites], 0)
        width = (self.upper - self.lower).clamp_min(1e-12)
        self._unit = (gap / width).clamp_max(1e3)
        self.lower_steps = torch.zeros_like(self._origin_lower, requires_grad=True)
        self.upper_steps = torch.zeros_like(self._origin_upper, requires_grad=True)

    def planes(self) -> list[tuple[Key, Planes]]:
        lower_slope = self._origin_lower + self._unit * self.lower_steps
        upper_slope = self._origin_upper + self._unit * self.upper_steps
        low, high = offsets(
            self.step.gate, lower_slope, upper_slope, self.lower, self.upper, self.step.parameters
        )
        return [
            ((id(self.step), iteration), Planes(lower_slope[:, t], low[t], upper_slope[:, t], high[t]))
            for t, iteration in enumerate(self.iterations)
        ]


class _Multipliers:
    """β of all splits, in units of what the gates that read the operand lose per width of its box."""

    def __init__(self, bounds: Bounds, objective: Objective) -> None:
        self._bounds = bounds
        self._units = _units(bounds, objective) if bounds.splits else {}
        self._biases = {
            (id(form), site.iteration): form.bias
            for site in bounds.sites.values()
            for form in site.step.operands
        }
        self.steps = {
            key: torch.zeros(2, *bounds.splits[key].lower.shape, dtype=unit.dtype, device=unit.device)
            for key, unit in self._units.items()
        }
        for tensor in self.steps.values():
            tensor.requires_grad_(True)

    def values(self) -> dict[Key, Multiplier]:
        found = {}
        relative = self._bounds.arithmetic.affine(0, self._bounds.program.width)
        for key, steps in self.steps.items():
            part = self._bounds.splits[key]
            below, above = self._units[key] * steps.clamp_min(0.0)
            below = below * torch.isfinite(part.upper)
            above = above * torch.isfinite(part.lower)
            interval, magnitude = self._bounds.split_operands[key]
            found[key] = multiplier(
                below, above, part, self._biases[key], interval.error, magnitude, relative
            )
        return found

    @torch.no_grad()
    def project(self) -> None:
        for tensor in self.steps.values():
            tensor.clamp_(min=0.0)


def _units(bounds: Bounds, objective: Objective) -> dict[Key, Tensor]:
    """Scale [B, n] of β by operand: Σ |λ|·gap / width over the gates that read it."""
    record: dict[Key, Tensor] = {}
    with torch.no_grad():
        bounds.swept_minimum(objective, record=record)
    units: dict[Key, Tensor] = {}
    for key, site in bounds.sites.items():
        if key not in record:
            continue
        loss = record[key].abs().amax(1) * site.gap()
        for form, lower, upper in zip(site.step.operands, site.lower, site.upper, strict=True):
            operand = (id(form), site.iteration)
            if operand in bounds.splits:
                unit = loss / (upper - lower).clamp_min(1e-9)
                units[operand] = units[operand] + unit if operand in units else unit
    return units


def optimise_slopes(
    bounds: Bounds,
    objective: Objective,
    *,
    steps: int = 40,
    rate: float = 0.1,
    target: Tensor | float = 0.0,
    any_row: bool = False,
    deadline: float = float("inf"),
    progress: Callable[[], None] = lambda: None,
) -> Tensor:
    """Lower bounds [B, R] of the objective's rows, at least those of `bounds.minimum(objective)`.

    One set of slopes and multipliers per instance, shared by its rows. Stops after `steps`, at `deadline`
    (time.monotonic), or when every row is above `target` (`any_row`: when one row of every instance is).
    """
    best = bounds.minimum(objective)
    groups: dict[int, list[Site]] = {}
    for site in bounds.sites.values():
        groups.setdefault(id(site.step), []).append(site)
    slopes = [_Slopes(sites) for sites in groups.values()]
    multipliers = _Multipliers(bounds, objective)
    parameters = [p for group in slopes for p in (group.lower_steps, group.upper_steps)]
    parameters += list(multipliers.steps.values())
    if not parameters:
        return best
    ascent = Adam(parameters, rate, decay=0.97)
    for _ in range(steps):
        done = best > target
        if any_row:
            done = done.any(-1, keepdim=True).expand_as(done)
        if bool(done.all()) or time.monotonic() > deadline:
            break
        relaxed = bounds.relaxed_with(dict(pair for group in slopes for pair in group.planes()))
        found = bounds.swept_minimum(objective, relaxed, multipliers.values())
        usable = torch.isfinite(found) & ~(bounds.lost | bounds.empty).unsqueeze(-1)
        best = torch.maximum(best, found.detach().masked_fill(~usable, -torch.inf))
        worth = found.masked_fill(~usable | done, 0.0)
        ascent.step(torch.autograd.grad(worth.sum(), parameters, allow_unused=True))
        multipliers.project()
        progress()
    return best
