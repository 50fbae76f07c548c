"""Where to split: the operand whose curvature costs the objective most (cf. GenBaB: Shi et al. 2024, whose
score is what the bound is estimated to gain).

A gate's planes are apart because it is curved. With λ the coefficient of the gate in the worst row's pass,
and second differences over its box (finite, so that kinks and saturation count for what they are),

    score of operand k = |λ| · (|g(k high) − 2 g(centre) + g(k low)| / 2 + Σ_l |mixed difference of k, l| / 8)

estimates what halving k gives back; an operand that several gates read adds up. The gap of the planes
alone does not tell the operands of one gate apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import SiteKey
from verifier.proof.branching.flat import Offsets
from verifier.propagation.sites import Site


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """For each instance the m most promising splits: which `unit` of all operands, at which
    `point`, and its score `worth`, 0 where there is nothing to split; all [B, m]."""

    unit: Tensor
    point: Tensor
    worth: Tensor


def candidates(
    bounds: Bounds, offsets: Offsets, coefficients: Mapping[SiteKey, Tensor], row: Tensor, count: int
) -> Candidates:
    """`count` splits of every instance for the row [B] of the objective, the best first, given the
    `coefficients` [B, R, n] of every gate in a backward pass."""
    lower, _ = offsets.boxes(bounds)
    scores, points = torch.zeros_like(lower), torch.zeros_like(lower)
    instance = torch.arange(len(row), device=row.device)
    for key, site in bounds.sites.items():
        if key not in coefficients:
            continue
        weight = coefficients[key].expand(len(row), -1, -1)[instance, row].abs()
        for k, (form, score) in enumerate(zip(site.step.operands, _curvature(site), strict=True)):
            place = offsets.operands[form.at(site.time)]
            scores[:, place] += (weight * score).masked_fill(site.upper[k] - site.lower[k] < 1e-9, 0.0)
            points[:, place] = _point(site, k)
    worth, unit = scores.nan_to_num(nan=0.0, posinf=0.0).topk(min(count, offsets.units), -1)
    return Candidates(unit, points.gather(-1, unit), worth)


def _curvature(site: Site) -> list[Tensor]:
    """Per operand [B, n]: what its curvature over the box may cost."""
    lower, upper = site.lower, site.upper
    centre = (lower + upper) / 2
    arity = len(lower)

    def g(moved: dict[int, Tensor]) -> Tensor:
        return site.step.gate.function(
            *(moved.get(k, centre[k]) for k in range(arity)), **site.step.parameters
        )

    middle = g({})
    costs = [(g({k: upper[k]}) - 2 * middle + g({k: lower[k]})).abs() / 2 for k in range(arity)]
    for k, j in combinations(range(arity), 2):
        mixed = (
            g({k: upper[k], j: upper[j]})
            - g({k: upper[k], j: lower[j]})
            - g({k: lower[k], j: upper[j]})
            + g({k: lower[k], j: lower[j]})
        ).abs() / 8
        costs[k], costs[j] = costs[k] + mixed, costs[j] + mixed
    return costs


def _point(site: Site, k: int) -> Tensor:
    """The kink, where the gate has one inside; else the middle."""
    middle = (site.lower[k] + site.upper[k]) / 2
    if site.step.gate.kink_at_zero:
        inside = (site.lower[k] < 0) & (site.upper[k] > 0)
        return torch.where(inside, torch.zeros_like(middle), middle)
    return middle
