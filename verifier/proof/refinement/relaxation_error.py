"""Why a question is undecided: where the relaxation error is, and what time would likely decide it.

The score of a gate is that of a branching heuristic for general nonlinearities (GenBaB, Shi et al. 2024):
what its planes cost the bound, here all units of a gate at one time step together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import SiteKey
from verifier.network.program import Block, ScanStep
from verifier.problem.question import Objective, Question
from verifier.propagation.sites import Site

MUCH = 1e4  # times the time: nobody waits for it


def largest_errors(bounds: Bounds, objective: Objective, row: Tensor) -> list[str]:
    """For every instance the gate whose planes cost the `row` [B] of the objective most, "" without gates.

    A gate costs |λ| times the distance of its planes at the centre of its box, summed over its units.
    """
    record: dict[SiteKey, Tensor] = {}
    with torch.no_grad():
        bounds.backward_minimum(objective, record=record)
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
        f"{100 * s:.0f} % of the relaxation error is in {_named(bounds.program, sites[k])}"
        for s, k in zip(share.tolist(), worst.tolist(), strict=True)
    ]


def _named(program: Block, site: Site) -> str:
    """The gate, its node of the file, and the time step of the sequence if it is in a scan."""
    name = f"{site.step.gate.name} of {site.step.origin}"
    for scan in program.steps:
        if isinstance(scan, ScanStep) and site.step in scan.body.steps:
            return f"{name} at time step {scan.position(site.time)}"
    return name


def advice(factor: float | None) -> str:
    """What to say of `factor` times the time being needed; nothing where it is not known."""
    if factor is None:
        return ""
    if factor > MUCH:
        return "more time alone is unlikely to decide it"
    return f"about {factor:.2g} times the time would decide it, if it goes on like this"


def why(
    ask: Question, bounds: Bounds | None, found: Tensor, outlook: Mapping[int, float] | None = None
) -> tuple[str, ...]:
    """What keeps every instance undecided, "" where nothing does: the bound `found` of its row, above its
    goal; the gate with most of the relaxation error, if `found` comes from planes of `bounds`; what time
    would help."""
    texts = [""] * len(found)
    undecided = ask.undecided(found).tolist()
    if not undecided:
        return tuple(texts)
    distance = found - ask.goal
    # one row is enough, or all are needed: the nearest counts, or the farthest
    row = distance.argmax(-1) if ask.any_row else distance.argmin(-1)
    gates = [""] * len(found) if bounds is None else largest_errors(bounds, ask.objective, row)
    for k in undecided:
        bound = f"the bound is {float(distance[k, row[k]]):.3g}"
        parts = (bound, gates[k], advice((outlook or {}).get(k)))
        texts[k] = "; ".join(part for part in parts if part)
    return tuple(texts)
