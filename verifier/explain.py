"""Why a question stayed open: what costs the bound most, and what time would likely decide it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from verifier.bounds import Bounds, Objective
from verifier.site import Key

MUCH = 1e4  # times the time: nobody waits for it


def obstacles(bounds: Bounds, objective: Objective, row: Tensor) -> list[str]:
    """For every instance the gate whose planes cost the `row` [B] of the objective most, "" without gates.

    A gate costs |λ| times the distance of its planes at the centre of its box, summed over its units.
    """
    record: dict[Key, Tensor] = {}
    with torch.no_grad():
        bounds.swept_minimum(objective, record=record)
    instance = torch.arange(len(row), device=row.device)
    sites = [bounds.sites[key] for key in record if key in bounds.sites]
    if not sites:
        return [""] * len(row)
    costs = []
    for site in sites:
        weight = record[id(site.step), site.iteration].expand(len(row), -1, -1)[instance, row].abs()
        costs.append((weight * site.gap()).sum(-1))
    total = torch.stack(costs)  # [sites, B]
    share, worst = (total / total.sum(0).clamp_min(1e-300)).max(0)
    return [
        f"most of it, {100 * s:.0f} %, is lost in {sites[k].step.gate.name} of {sites[k].step.origin} "
        f"at iteration {sites[k].iteration}"
        for s, k in zip(share.tolist(), worst.tolist(), strict=True)
    ]


@dataclass(eq=False)
class Trend:
    """The worst part of every tree as a search goes on: after how many `parts`, how far `above` its goal
    [M]."""

    parts: list[int] = field(default_factory=list)
    above: list[Tensor] = field(default_factory=list)

    def note(self, parts: int, above: Tensor) -> None:
        self.parts.append(parts)
        self.above.append(above)

    def outlook(self) -> list[float]:
        """For every tree how many times more parts would likely decide it; +∞ without a trend.

        The worst bound rises about as fast as the tree grows deeper: by the same amount each time the number
        of parts doubles, which the second half of the search shows.
        """
        if len(self.parts) < 2:
            return [math.inf] * (len(self.above[0]) if self.above else 0)
        half = max(k for k, count in enumerate(self.parts) if k == 0 or 2 * count <= self.parts[-1])
        doublings = math.log2(self.parts[-1] / self.parts[half])
        factors = []
        for before, now in zip(self.above[half].tolist(), self.above[-1].tolist(), strict=True):
            rise = (now - before) / max(doublings, 1e-9)
            factors.append(1.0 if now > 0 else 2.0 ** min(-now / rise, 60.0) if rise > 1e-12 else math.inf)
        return factors


def advice(factor: float | None) -> str:
    """What to say of `factor` times the time being needed; nothing where it is not known."""
    if factor is None:
        return ""
    if factor > MUCH:
        return "more time alone is unlikely to decide it"
    return f"about {factor:.2g} times the time would decide it, if it goes on like this"
