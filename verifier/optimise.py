"""Slopes optimised for the question asked.

Any slopes are sound, so they are free parameters: gradient ascent on the objective's lower bound, through
the last sweep, with offsets recomputed for every step (their gradient is −p*, the point where the plane
touches: relaxations.offsets). The boxes of the sites stay as they are; every iterate is a valid bound, and
the best one of each row is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from relaxations import Planes, offsets
from verifier.bounds import Bounds, Key, Objective, Site
from verifier.program import GateStep


class _Slopes:
    """Slopes of one gate step at all its iterations, [k, T, B, n], in units of rise over run of its box."""

    def __init__(self, sites: list[Site]) -> None:
        self.step: GateStep = sites[0].step
        self.iterations = [site.iteration for site in sites]
        self.lower = torch.stack([site.lower for site in sites], 1)
        self.upper = torch.stack([site.upper for site in sites], 1)
        self._origin_lower = torch.stack([site.planes.lower_slope for site in sites], 1)
        self._origin_upper = torch.stack([site.planes.upper_slope for site in sites], 1)
        gap = torch.stack([_rise(site.planes, site.lower, site.upper) for site in sites], 0)
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


def _rise(planes: Planes, lower: Tensor, upper: Tensor) -> Tensor:
    """How far apart the two planes are at the centre of the box, [B, n]: zero where they are exact."""
    centre = (lower + upper) / 2
    high = (planes.upper_slope * centre).sum(0) + planes.upper_offset
    low = (planes.lower_slope * centre).sum(0) + planes.lower_offset
    return (high - low).clamp_min(0)


def optimise_slopes(
    bounds: Bounds,
    objective: Objective,
    *,
    steps: int = 40,
    rate: float = 0.1,
    target: Tensor | float = 0.0,
    deadline: float = float("inf"),
    progress: Callable[[], None] = lambda: None,
) -> Tensor:
    """Lower bounds [B, R] of the objective's rows, at least those of `bounds.minimum(objective)`.

    One set of slopes per instance, shared by its rows. Stops after `steps`, at `deadline`
    (time.monotonic), or when every row is above `target`.
    """
    best = bounds.minimum(objective)
    groups: dict[int, list[Site]] = {}
    for site in bounds.sites.values():
        groups.setdefault(id(site.step), []).append(site)
    slopes = [_Slopes(sites) for sites in groups.values()]
    parameters = [p for group in slopes for p in (group.lower_steps, group.upper_steps)]
    if not parameters:
        return best
    optimiser = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: 0.97**k)
    for _ in range(steps):
        if bool((best > target).all()) or time.monotonic() > deadline:
            break
        optimiser.zero_grad()
        relaxed = bounds.relaxed_with(dict(pair for group in slopes for pair in group.planes()))
        found = bounds.swept_minimum(objective, relaxed)
        usable = torch.isfinite(found) & ~bounds.lost.unsqueeze(-1)
        best = torch.maximum(best, found.detach().masked_fill(~usable, -torch.inf))
        worth = found.masked_fill(~usable | (best > target), 0.0)
        (-worth.sum()).backward()
        optimiser.step()
        schedule.step()
        progress()
    return best
