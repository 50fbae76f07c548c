"""Why a question stayed open: what costs the bound most, and what time would likely decide it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import SiteKey
from verifier.problem.question import Objective, Question

MUCH = 1e4  # times the time: nobody waits for it


def obstacles(bounds: Bounds, objective: Objective, row: Tensor) -> list[str]:
    """For every instance the gate whose planes cost the `row` [B] of the objective most, "" without gates.

    A gate costs |λ| times the distance of its planes at the centre of its box, summed over its units.
    """
    record: dict[SiteKey, Tensor] = {}
    with torch.no_grad():
        bounds.swept_minimum(objective, record=record)
    instance = torch.arange(len(row), device=row.device)
    sites = [bounds.sites[key] for key in record if key in bounds.sites]
    if not sites:
        return [""] * len(row)
    costs = []
    for site in sites:
        weight = record[site.key].expand(len(row), -1, -1)[instance, row].abs()
        costs.append((weight * site.gap()).sum(-1))
    total = torch.stack(costs)  # [sites, B]
    share, worst = (total / total.sum(0).clamp_min(1e-300)).max(0)
    return [
        f"most of it, {100 * s:.0f} %, is lost in {sites[k].step.gate.name} of {sites[k].step.origin} "
        f"at iteration {sites[k].time}"
        for s, k in zip(share.tolist(), worst.tolist(), strict=True)
    ]


def advice(factor: float | None) -> str:
    """What to say of `factor` times the time being needed; nothing where it is not known."""
    if factor is None:
        return ""
    if factor > MUCH:
        return "more time alone is unlikely to decide it"
    return f"about {factor:.2g} times the time would decide it, if it goes on like this"


def why(
    ask: Question, bounds: Bounds, found: Tensor, outlook: Mapping[int, float] | None = None
) -> tuple[str, ...]:
    """What keeps instances open: how far their row is from being proved, the gate that costs it most, and
    what time would help."""
    texts = [""] * len(found)
    held = ask.open(found).tolist()
    if not held:
        return tuple(texts)
    distance = found - ask.goal
    # one row is enough, or all are needed: the nearest counts, or the farthest
    row = distance.argmax(-1) if ask.any_row else distance.argmin(-1)
    gates = obstacles(bounds, ask.objective, row)
    for k in held:
        short = f"the bound is {-float(distance[k, row[k]]):.3g} short"
        parts = (short, gates[k], advice((outlook or {}).get(k)))
        texts[k] = "; ".join(part for part in parts if part)
    return tuple(texts)
