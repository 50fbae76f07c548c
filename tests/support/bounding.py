"""Regions and ascents, as the tests ask for them."""

from __future__ import annotations

import torch
from torch import Tensor

from verifier.bounds.region_bounds import Bounds
from verifier.problem.question import Objective, Question
from verifier.problem.region import Region
from verifier.proof.refinement.ascent import AscentOptions, ascend


def repeated(region: Region, count: int) -> Region:
    """Every instance `count` times in a row."""
    return region.select(torch.arange(len(region), device=region.lower.device).repeat_interleave(count))


def optimise_slopes(
    bounds: Bounds, objective: Objective, *, steps: int, rate: float = 0.1, target: float = torch.inf
) -> Tensor:
    """Lower bounds [B, R] of the rows, at least those of `bounds.minimum(objective)`."""
    known = bounds.minimum(objective)
    ask = Question(objective, torch.full_like(known, target), False)
    return ascend(bounds, ask, AscentOptions(steps, rate), known=known).best
