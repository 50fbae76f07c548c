"""Where to split: the operand whose curvature costs the objective most.

A gate's planes are apart because it bends. With λ the coefficient of the gate in the worst sweep, and
second differences over its box (finite, so that kinks and saturation count for what they are),

    score of operand k = |λ| · (|g(k high) − 2 g(centre) + g(k low)| / 2 + Σ_l |mixed difference of k, l| / 8)

estimates what halving k gives back; an operand that several gates read adds up. The gap of the planes
alone does not tell the operands of one gate apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from verifier.bounds import Bounds, Objective
from verifier.site import Key, Site

_KINK_AT_ZERO = frozenset({"relu", "leaky_relu", "elu", "selu", "celu", "abs", "max", "min"})


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """For each instance: which of `keys` to split, at which `unit`, at which `point`; all [B]. `worth` [B] is
    its score, 0 where nothing is left to split."""

    keys: tuple[Key, ...]
    key: Tensor
    unit: Tensor
    point: Tensor
    worth: Tensor


def choose(bounds: Bounds, objective: Objective, goal: Tensor) -> Choice:
    """The best split of every instance for the row of the objective nearest to its `goal` [B, R]."""
    record: dict[Key, Tensor] = {}
    with torch.no_grad():
        found = bounds.swept_minimum(objective, record=record)
        nearest = (found - goal).argmax(-1)
        scores: dict[Key, Tensor] = {}
        points: dict[Key, Tensor] = {}
        for key, site in bounds.sites.items():
            if key not in record:
                continue
            A = record[key].expand(len(nearest), -1, -1)
            weight = A[torch.arange(len(nearest)), nearest].abs()
            for k, (form, score) in enumerate(zip(site.step.operands, _curvature(site), strict=True)):
                operand = (id(form), site.iteration)
                value = (weight * score).masked_fill(site.upper[k] - site.lower[k] < 1e-9, 0.0)
                scores[operand] = scores[operand] + value if operand in scores else value
                points[operand] = _point(site, k)
    keys = tuple(scores)
    sizes = torch.tensor([scores[key].shape[-1] for key in keys])
    flat = torch.cat([scores[key] for key in keys], -1).nan_to_num(nan=0.0, posinf=0.0)
    worth, index = flat.max(-1)
    ends = sizes.cumsum(0).to(index.device)
    key = torch.searchsorted(ends, index, right=True)
    unit = index - torch.where(key > 0, ends[(key - 1).clamp_min(0)], 0)
    point = torch.cat([points[k] for k in keys], -1).gather(-1, index[:, None])[:, 0]
    return Choice(keys, key, unit, point, worth)


def _curvature(site: Site) -> list[Tensor]:
    """Per operand [B, n]: what its bend over the box may cost."""
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
    if site.step.gate.name in _KINK_AT_ZERO and site.step.gate.arity == 1:
        inside = (site.lower[k] < 0) & (site.upper[k] > 0)
        return torch.where(inside, torch.zeros_like(middle), middle)
    return middle
