"""Slopes and multipliers optimised for the question asked.

Any slopes are sound, and so are any multipliers ≥ 0 of splits: both are free parameters. They are found by
gradient ascent on the objective's lower bound, through the last sweep, with offsets recomputed for every
step (their gradient is −p*, the point where the plane touches: relaxations.offsets). The boxes of the sites
stay as they are. Iterates with exact offsets are valid bounds, and the best one of each row is kept; between
them, offsets over samples may only show the way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations import Planes
from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import OperandKey, SiteKey
from verifier.problem.question import Objective
from verifier.proof.refinement.adam import Adam
from verifier.proof.refinement.multipliers import Multipliers, multipliers
from verifier.proof.refinement.slopes import Slopes, detached
from verifier.propagation.sites import Site


@dataclass(frozen=True, slots=True, eq=False)
class Ascent:
    """What an ascent found: lower bounds `best` [B, R]; and its last sweep: the `planes` of every site,
    multipliers `beta` [2, B, n] of every split operand (of its upper end, of its lower end), and the
    `coefficients` [B, R, n] of every gate's output."""

    best: Tensor
    planes: Mapping[SiteKey, Planes]
    beta: Mapping[OperandKey, Tensor]
    coefficients: Mapping[SiteKey, Tensor]


def optimise_slopes(
    bounds: Bounds,
    objective: Objective,
    *,
    steps: int = 40,
    rate: float = 0.1,
    target: Tensor | float = 0.0,
    any_row: bool = False,
    deadline: float = float("inf"),
) -> Tensor:
    """Lower bounds [B, R] of the rows, at least those of `bounds.minimum(objective)`; see `ascend`."""
    known = bounds.minimum(objective)
    return ascend(
        bounds,
        objective,
        steps=steps,
        rate=rate,
        target=target,
        any_row=any_row,
        deadline=deadline,
        known=known,
    ).best


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
    beta: Mapping[OperandKey, Tensor] | None = None,
    minor: float = 0.0,
) -> Ascent:
    """Raise the objective's rows from the planes of `bounds` and from multipliers `beta`.

    One set of slopes and multipliers per instance, shared by its rows. Stops after `steps`, at `deadline`
    (time.monotonic), or when every row is above `target` (`any_row`: when one row of every instance is).
    `known` bounds are kept where nothing better is found. Sites that lose less than the share `minor` of what
    the worst site loses, in every instance, keep their planes.
    """
    beta = {} if beta is None else beta
    coefficients: dict[SiteKey, Tensor] = {}
    unusable = (bounds.lost | bounds.empty).unsqueeze(-1)

    def kept(best: Tensor | float, found: Tensor) -> Tensor:
        found = found.detach()
        found = found.masked_fill(~torch.isfinite(found) | unusable, -torch.inf)
        return torch.maximum(found, torch.as_tensor(best, dtype=found.dtype, device=found.device))

    with torch.no_grad():
        found = bounds.swept_minimum(objective, None, multipliers(bounds, beta), coefficients)
        best = bounds.settled(kept(known, found))
    groups: dict[int, list[Site]] = {}
    for site in _major(bounds, coefficients, minor):
        groups.setdefault(site.step.number, []).append(site)
    slopes = [Slopes(sites) for sites in groups.values()]
    betas = Multipliers(bounds, coefficients, beta)
    parameters = [steps for group in slopes for steps in group.steps]
    parameters += list(betas.steps.values())
    adam = Adam(parameters, rate, decay=0.97)
    planes = {key: site.planes for key, site in bounds.sites.items()}
    sampled = any(group.sampled for group in slopes)

    def done() -> Tensor:
        above = best > target
        return above.any(-1, keepdim=True).expand_as(above) if any_row else above

    exact, left = not sampled, steps if parameters else 0
    while left and not bool(done().all()):
        late = time.monotonic() > deadline
        if late and exact:
            break
        left -= 1
        exact = not sampled or late or not left or _promising(found, best, target, any_row)
        asked = dict(coefficients) if found.shape[-1] == 1 else None
        coefficients.clear()
        moved = dict(pair for group in slopes for pair in group.planes(asked, exact))
        planes |= moved
        beta = betas.beta()
        found = bounds.swept_minimum(
            objective, bounds.relaxed_with(moved), multipliers(bounds, beta), coefficients
        )
        worth = found.masked_fill(~torch.isfinite(found) | unusable | done(), 0.0)
        if exact:
            best = kept(best, found)
        if left and not late:
            adam.step(torch.autograd.grad(worth.sum(), parameters, allow_unused=True))
            betas.project()
    return Ascent(
        best,
        {key: detached(found) for key, found in planes.items()},
        {key: value.detach() for key, value in beta.items()},
        {key: value.detach() for key, value in coefficients.items()},
    )


def _major(bounds: Bounds, coefficients: Mapping[SiteKey, Tensor], minor: float) -> list[Site]:
    """Sites whose planes lose, in some instance, at least the share `minor` of what the worst site loses."""
    if not minor:
        return list(bounds.sites.values())
    reached = [site for key, site in bounds.sites.items() if key in coefficients]
    if not reached:
        return []
    lost = torch.stack([(coefficients[s.key].abs().amax(1) * s.gap()).sum(-1) for s in reached])
    share = (lost / lost.amax(0).clamp_min(1e-300)).nan_to_num(1.0).amax(1)
    return [site for site, s in zip(reached, share.tolist(), strict=True) if s >= minor]


def _promising(found: Tensor, best: Tensor, target: Tensor | float, any_row: bool) -> bool:
    """Whether an estimate `found` [B, R] is so far above the target that some instance may be done now: by a
    twentieth of what was missing, as samples overrate planes."""
    missing = (target - best).clamp_min(0.0)
    above = (found.detach() > target + 0.05 * missing) | (missing == 0)
    was = missing == 0
    if any_row:
        return bool((above.any(-1) & ~was.any(-1)).any())
    return bool((above.all(-1) & ~was.all(-1)).any())
