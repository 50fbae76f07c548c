"""Branch and bound over the input: the region itself is cut, and every part is bounded from nothing.

For regions with few entries that move: a cut shrinks the boxes in all of the network at once. Every part is
shrunk to where counterexamples could be (`verifier.proof.refinement.clipping`) before it is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from verifier.bounds.region_bounds import Bounds
from verifier.problem.budget import Budget
from verifier.problem.halfspace import Halfspace
from verifier.problem.question import Question
from verifier.problem.region import Region
from verifier.proof.branching.guided_attack import GuidedAttack
from verifier.proof.branching.records import Rows
from verifier.proof.branching.trees import Trees, next_leaves
from verifier.proof.branching.trend import Trend
from verifier.proof.refinement.clipping import above, clips, surplus
from verifier.proof.refinement.mixture import mixed_minimum

FEW = 10  # entries that move: with more, cutting them one by one takes too long


@dataclass(frozen=True, slots=True, eq=False)
class _Parts(Rows):
    """Open parts [N] of boxes `lower`, `upper` [N, n] of their `tree`, how far the best row is `above` its
    goal, the half-space of its counterexamples, `normal` [N, n] and `constant` [N], and the `entry` to cut
    next."""

    tree: Tensor
    above: Tensor
    lower: Tensor
    upper: Tensor
    normal: Tensor
    constant: Tensor
    entry: Tensor


def divisible(region: Region) -> bool:
    """Whether `region` is a box in which few entries move."""
    moving = (region.lower < region.upper).sum(-1)
    return region.cutting_ball is None and int(moving.max()) <= FEW


def divide(
    trees: Trees,
    region: Region,
    make: Callable[[Region], Bounds],
    budget: Budget,
    *,
    together: int,
    trend: Trend | None = None,
) -> Tensor:
    """As `branch_and_bound`, for a `divisible` region: by how much [M] the best row of each tree is above its
    goal. `make` bounds a region; `together` parts at most are bounded at once; `trend` is told how it goes.

    Runs until all trees are proved, no part can be cut any more, or the time of `budget` is over.
    """
    hunt = GuidedAttack(trees, budget)
    count = len(trees.instance)
    tree = torch.arange(count, device=trees.goal.device)
    here = region.select(trees.instance)
    known = (trees.known - trees.goal).amax(-1)
    parts = _bounded(trees, tree, known, Region(here.lower, here.upper), make)
    proved = torch.full_like(known, torch.inf)
    nodes = count
    while True:
        hunt.look(
            parts.tree,
            parts.above,
            parts.normal,
            lambda places: Region(parts.lower[places], parts.upper[places]),  # noqa: B023
        )
        done = (parts.above > 0) | hunt.settled[parts.tree]
        proved = proved.scatter_reduce(0, parts.tree[done], parts.above[done], "amin")
        parts = parts.select(torch.nonzero(~done)[:, 0])
        if trend is not None:
            trend.note(nodes, proved.scatter_reduce(0, parts.tree, parts.above, "amin"))
        middle = (parts.lower / 2 + parts.upper / 2).gather(-1, parts.entry[:, None])
        inside = (middle > parts.lower.gather(-1, parts.entry[:, None])) & (
            middle < parts.upper.gather(-1, parts.entry[:, None])
        )
        chosen = next_leaves(trees, parts.tree, parts.above, inside[:, 0], max(1, together // 2))
        if not len(chosen) or budget.over:
            break
        rest = torch.ones(len(parts.tree), dtype=torch.bool, device=chosen.device)
        rest[chosen] = False
        cut, middle = parts.select(chosen), middle[chosen]
        below = cut.upper.scatter(-1, cut.entry[:, None], middle)
        beyond = cut.lower.scatter(-1, cut.entry[:, None], middle)
        region = Region(torch.cat([cut.lower, beyond]), torch.cat([below, cut.upper]))
        region = _shrunk(region, Halfspace(cut.normal.repeat(2, 1), cut.constant.repeat(2)))
        halves = _bounded(trees, cut.tree.repeat(2), cut.above.repeat(2), region, make)
        nodes += len(halves.tree)
        parts = parts.select(torch.nonzero(rest)[:, 0]).join(halves)
    return proved.scatter_reduce(0, parts.tree, parts.above, "amin")


@torch.no_grad()
def _bounded(
    trees: Trees, tree: Tensor, known: Tensor, region: Region, make: Callable[[Region], Bounds]
) -> _Parts:
    """Parts with their bounds, no less than `known` [N]; the entry to cut is the one along which the linear
    function below the best row falls most."""
    bounds = make(region)
    objective, goal = trees.of(tree), trees.goal[tree]
    found = bounds.minimum(objective)
    height = torch.maximum(above(found, goal), known)
    if found.shape[-1] > 1:
        mixed = torch.minimum(mixed_minimum(bounds, objective, goal), surplus(goal).amin(-1))
        height = torch.maximum(height, mixed)
    cut = clips(bounds, Question(objective, goal, True))
    halfspace, _ = cut.deepest()
    best = (found - goal).argmax(-1)
    A = cut.normal[torch.arange(len(best), device=best.device), best]
    fall = A.abs() * (region.upper - region.lower)
    return _Parts(
        tree, height, region.lower, region.upper, halfspace.normal, halfspace.constant, fall.argmax(-1)
    )


def _shrunk(box: Region, halfspace: Halfspace) -> Region:
    """A box around what the half-space leaves of `box`.

    With m = min A·x + b over the box, an x of both has Aᵢxᵢ ≤ −b − Σ_{j≠i} min Aⱼxⱼ = min Aᵢxᵢ − m, so that
    it lies within −m/|Aᵢ| of the end where Aᵢxᵢ is least. What the last operations round is added: less than
    4u of their terms. Where m > 0 nothing is left; then any box will do.
    """
    A, b = halfspace.normal, halfspace.constant
    unit = torch.finfo(A.dtype).eps / 2
    least = box.minimum(A.unsqueeze(1))[:, 0]
    room = (4 * unit * (least.abs() + b.abs()) - (least + b)).clamp_min(0.0).unsqueeze(-1)
    reach = room / A.abs().clamp_min(torch.finfo(A.dtype).tiny)
    reach = reach + 4 * unit * (reach + torch.maximum(box.lower.abs(), box.upper.abs()))
    return Region(
        torch.where(A < 0, torch.maximum(box.lower, box.upper - reach), box.lower),
        torch.where(A > 0, torch.minimum(box.upper, box.lower + reach), box.upper),
    )
