"""Slopes and multipliers optimised for the question asked.

Any slopes are sound, and so are any multipliers ≥ 0 of splits: both are free parameters. They are found by
gradient ascent on the objective's lower bound, through the last sweep, with offsets recomputed for every
step (their gradient is −p*, the point where the plane touches: relaxations.offsets). The boxes of the sites
stay as they are; every iterate is a valid bound, and the best one of each row is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations import Planes, offset, offsets
from verifier.adam import Adam
from verifier.bounds import Bounds, Objective
from verifier.program import GateStep
from verifier.site import Key, Site
from verifier.splits import Multiplier, multiplier


@dataclass(frozen=True, slots=True, eq=False)
class Ascent:
    """What an ascent found: lower bounds `best` [B, R]; and its last sweep: the `planes` of every site,
    multipliers `beta` [2, B, n] of every split operand (of its upper end, of its lower end), and the
    `coefficients` [B, R, n] of every gate's output."""

    best: Tensor
    planes: Mapping[Key, Planes]
    beta: Mapping[Key, Tensor]
    coefficients: Mapping[Key, Tensor]


class _Slopes:
    """Slopes of one gate step at all its iterations, [k, T, B, n], in units of rise over run of its box."""

    def __init__(self, sites: list[Site]) -> None:
        self._step: GateStep = sites[0].step
        self._keys = [(id(self._step), site.iteration) for site in sites]
        self._lower = torch.stack([site.lower for site in sites], 1)
        self._upper = torch.stack([site.upper for site in sites], 1)
        self._origin = Planes(
            torch.stack([site.planes.lower_slope for site in sites], 1),
            torch.stack([site.planes.lower_offset for site in sites]),
            torch.stack([site.planes.upper_slope for site in sites], 1),
            torch.stack([site.planes.upper_offset for site in sites]),
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

    def planes(self, coefficients: Mapping[Key, Tensor] | None) -> list[tuple[Key, Planes]]:
        """Both planes of every site. Where `coefficients` [B, 1, n] of the last sweep are given, only the
        plane that their signs ask for; the other one is still the first."""
        lower_slope, upper_slope = self._values()
        if coefficients is None:
            low, high = offsets(
                self._step.gate, lower_slope, upper_slope, self._lower, self._upper, self._step.parameters
            )
        else:
            below = torch.stack([self._asked(coefficients.get(key)) for key in self._keys])
            lower_slope = torch.where(below, lower_slope, self._origin.lower_slope)
            upper_slope = torch.where(below, self._origin.upper_slope, upper_slope)
            slope = torch.where(below, lower_slope, upper_slope)
            found = offset(self._step.gate, below, slope, self._lower, self._upper, self._step.parameters)
            low = torch.where(below, found, self._origin.lower_offset)
            high = torch.where(below, self._origin.upper_offset, found)
        return [
            (key, Planes(lower_slope[:, t], low[t], upper_slope[:, t], high[t]))
            for t, key in enumerate(self._keys)
        ]

    def _asked(self, coefficients: Tensor | None) -> Tensor:
        """Whether the lower plane is asked for [B, n]."""
        shape = self._lower.shape[-2:]
        if coefficients is None:
            return torch.ones(shape, dtype=torch.bool, device=self._lower.device)
        return (coefficients[:, 0] >= 0).expand(shape)


class _Multipliers:
    """β of all splits, in units of what the gates that read the operand lose per width of its box."""

    def __init__(
        self, bounds: Bounds, coefficients: Mapping[Key, Tensor], start: Mapping[Key, Tensor]
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

    def beta(self) -> dict[Key, Tensor]:
        """[2, B, n] by operand."""
        return {key: self._units[key] * steps.clamp_min(0.0) for key, steps in self.steps.items()}

    @torch.no_grad()
    def project(self) -> None:
        for tensor in self.steps.values():
            tensor.clamp_(min=0.0)


def multipliers(bounds: Bounds, beta: Mapping[Key, Tensor]) -> dict[Key, Multiplier]:
    """The Lagrange terms of the splits of `bounds` for β [2, B, n] ≥ 0 by operand."""
    relative = bounds.arithmetic.affine(0, bounds.program.width)
    biases = {
        (id(form), site.iteration): form.bias for site in bounds.sites.values() for form in site.step.operands
    }
    found = {}
    for key, (below, above) in beta.items():
        part = bounds.splits[key]
        below = below * torch.isfinite(part.upper)
        above = above * torch.isfinite(part.lower)
        interval, magnitude = bounds.operands[key]
        found[key] = multiplier(below, above, part, biases[key], interval.error, magnitude, relative)
    return found


def _units(bounds: Bounds, coefficients: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    """Scale [B, n] of β by split operand: Σ |λ|·gap / width over the gates that read it."""
    units: dict[Key, Tensor] = {}
    if not bounds.splits:
        return units
    for key, site in bounds.sites.items():
        split = [(id(form), site.iteration) in bounds.splits for form in site.step.operands]
        if key not in coefficients or not any(split):
            continue
        loss = coefficients[key].abs().amax(1) * site.gap()
        for k, form in enumerate(site.step.operands):
            if split[k]:
                operand = (id(form), site.iteration)
                unit = loss / (site.upper[k] - site.lower[k]).clamp_min(1e-9)
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
    """Lower bounds [B, R] of the rows, at least those of `bounds.minimum(objective)`; see `ascend`."""
    known = bounds.minimum(objective)
    return ascend(
        bounds, objective, steps=steps, rate=rate, target=target, any_row=any_row, deadline=deadline,
        known=known, progress=progress,
    ).best  # fmt: skip


def ascend(
    bounds: Bounds,
    objective: Objective,
    *,
    steps: int,
    rate: float,
    target: Tensor | float = 0.0,
    any_row: bool = False,
    deadline: float = float("inf"),
    known: Tensor | float = -torch.inf,
    beta: Mapping[Key, Tensor] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Ascent:
    """Raise the objective's rows from the planes of `bounds` and from multipliers `beta`.

    One set of slopes and multipliers per instance, shared by its rows. Stops after `steps`, at `deadline`
    (time.monotonic), or when every row is above `target` (`any_row`: when one row of every instance is).
    `known` bounds are kept where nothing better is found.
    """
    beta = {} if beta is None else beta
    coefficients: dict[Key, Tensor] = {}
    unusable = (bounds.lost | bounds.empty).unsqueeze(-1)

    def kept(best: Tensor | float, found: Tensor) -> Tensor:
        found = found.detach()
        found = found.masked_fill(~torch.isfinite(found) | unusable, -torch.inf)
        return torch.maximum(found, torch.as_tensor(best, dtype=found.dtype, device=found.device))

    with torch.no_grad():
        found = bounds.swept_minimum(objective, None, multipliers(bounds, beta), coefficients)
        best = bounds.settled(kept(known, found))
    groups: dict[int, list[Site]] = {}
    for site in bounds.sites.values():
        groups.setdefault(id(site.step), []).append(site)
    slopes = [_Slopes(sites) for sites in groups.values()]
    betas = _Multipliers(bounds, coefficients, beta)
    parameters = [steps for group in slopes for steps in group.steps]
    parameters += list(betas.steps.values())
    adam = Adam(parameters, rate, decay=0.97)
    planes = {key: site.planes for key, site in bounds.sites.items()}
    for _ in range(steps if parameters else 0):
        done = best > target
        if any_row:
            done = done.any(-1, keepdim=True).expand_as(done)
        if bool(done.all()) or time.monotonic() > deadline:
            break
        asked = dict(coefficients) if found.shape[-1] == 1 else None
        coefficients.clear()
        planes = dict(pair for group in slopes for pair in group.planes(asked))
        beta = betas.beta()
        found = bounds.swept_minimum(
            objective, bounds.relaxed_with(planes), multipliers(bounds, beta), coefficients
        )
        worth = found.masked_fill(~torch.isfinite(found) | unusable | done, 0.0)
        best = kept(best, found)
        adam.step(torch.autograd.grad(worth.sum(), parameters, allow_unused=True))
        betas.project()
        progress()
    return Ascent(
        best,
        {key: _detached(found) for key, found in planes.items()},
        {key: value.detach() for key, value in beta.items()},
        {key: value.detach() for key, value in coefficients.items()},
    )


def _detached(planes: Planes) -> Planes:
    return Planes(
        planes.lower_slope.detach(),
        planes.lower_offset.detach(),
        planes.upper_slope.detach(),
        planes.upper_offset.detach(),
    )
