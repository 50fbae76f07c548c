"""Branch and bound over the input: the region itself is cut, and every subproblem is bounded from nothing.

For regions with few entries that move: a cut shrinks the boxes in all of the network at once. Every
subproblem is shrunk to where counterexamples could be (Clip-and-Verify, Zhou et al. 2025) before it is
bounded.
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
from verifier.proof.branching.records import Rows
from verifier.proof.branching.search import search
from verifier.proof.branching.trees import Trees, next_leaves
from verifier.proof.branching.trend import Trend
from verifier.proof.refinement.clipping import above, clips, surplus
from verifier.proof.refinement.mixture import mixed_minimum

FEW = 10  # entries that move: with more, cutting them one by one takes too long


@dataclass(frozen=True, slots=True, eq=False)
class _Parts(Rows):
    """Undecided subproblems [N] of boxes `lower`, `upper` [N, n] of their `tree`, how far the best row is
    `above` its goal, the half-space of its counterexamples, `normal` [N, n] and `constant` [N], and the
    `entry` to cut next."""

    tree: Tensor
    above: Tensor
    lower: Tensor
    upper: Tensor
    normal: Tensor
    constant: Tensor
    entry: Tensor

    @property
    def middle(self) -> Tensor:
        """Of the entry to cut [N, 1]."""
        return (self.lower / 2 + self.upper / 2).gather(-1, self.entry[:, None])


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
    """By how much [M] the best row of each tree is above its goal; see `search`. For a `divisible` region:
    `make` bounds a region; `together` parts at most are bounded at once."""
    splitting = _InputSplitting(trees, make, together)
    return search(splitting.roots(region), splitting, trees, budget, trend or Trend())


@dataclass(frozen=True, slots=True, eq=False)
class _InputSplitting:
    trees: Trees
    make: Callable[[Region], Bounds]
    together: int

    def roots(self, region: Region) -> _Parts:
        """One part a tree."""
        trees, here = self.trees, region.select(self.trees.instance)
        tree = torch.arange(len(trees.instance), device=trees.goal.device)
        return self._bounded(tree, (trees.known - trees.goal).amax(-1), Region(here.lower, here.upper))

    def chosen(self, parts: _Parts) -> Tensor:
        entry = parts.entry[:, None]
        middle = parts.middle
        inside = (middle > parts.lower.gather(-1, entry)) & (middle < parts.upper.gather(-1, entry))
        return next_leaves(self.trees, parts.tree, parts.above, inside[:, 0], max(1, self.together // 2))

    def regions(self, parts: _Parts, places: Tensor) -> Region:
        return Region(parts.lower[places], parts.upper[places])

    def halves(self, parts: _Parts) -> _Parts:
        """Both halves, each shrunk to where counterexamples could be, and bounded."""
        below = parts.upper.scatter(-1, parts.entry[:, None], parts.middle)
        beyond = parts.lower.scatter(-1, parts.entry[:, None], parts.middle)
        region = Region(torch.cat([parts.lower, beyond]), torch.cat([below, parts.upper]))
        region = _shrunk(region, Halfspace(parts.normal.repeat(2, 1), parts.constant.repeat(2)))
        return self._bounded(parts.tree.repeat(2), parts.above.repeat(2), region)

    @torch.no_grad()
    def _bounded(self, tree: Tensor, known: Tensor, region: Region) -> _Parts:
        """Parts with their bounds, no less than `known` [N]; the entry to cut is the one along which the
        linear function below the best row falls most."""
        bounds = self.make(region)
        objective, goal = self.trees.of(tree), self.trees.goal[tree]
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
