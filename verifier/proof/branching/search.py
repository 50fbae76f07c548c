"""Branch and bound (BaB, Bunel et al. 2020), one loop for every way to split: take the worst undecided
subproblems, split them, bound all halves together, drop what is proved.

A *tree* is one question about one instance; its subproblems cover the region. The bound of its worst
undecided subproblem is one of the whole region at any time, so stopping early loses nothing. What differs
here: many trees share every round, and now and then the worst subproblem of each is attacked
(`verifier.proof.branching.guided_attack`)."""

from __future__ import annotations

from functools import partial
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from verifier.problem.budget import Budget
from verifier.problem.region import Region
from verifier.proof.branching.guided_attack import GuidedAttack
from verifier.proof.branching.trees import Trees
from verifier.proof.branching.trend import Trend

MOST = 10_000_000  # parts in all: beyond, rounds would only fill the memory


class Parts(Protocol):
    """Undecided subproblems [N] of trees: of which `tree`, how far the best row is `above` its goal at least,
    and the `normal` [N, n] of a linear function below it."""

    @property
    def tree(self) -> Tensor: ...

    @property
    def above(self) -> Tensor: ...

    @property
    def normal(self) -> Tensor: ...

    def select(self, indices: Tensor) -> Self: ...

    def join(self, other: Self) -> Self: ...


P = TypeVar("P", bound=Parts)


class Splitting(Protocol[P]):
    """A way to split."""

    def chosen(self, parts: P) -> Tensor:
        """The places of the parts to split next; none if nothing is left to split."""
        ...

    def halves(self, parts: P) -> P:
        """Both halves of every part, bounded."""
        ...

    def regions(self, parts: P, places: Tensor) -> Region:
        """The regions that hold the parts at `places`."""
        ...


def search(
    parts: P, splitting: Splitting[P], trees: Trees, budget: Budget, trend: Trend, most: int = MOST
) -> Tensor:
    """By how much [M] the best row of each tree is above its goal, at least; > 0 once every part is proved.

    Begins with `parts` of all `trees`; runs until all are proved, nothing is left to split, there were `most`
    parts, or the time of `budget` is over. Trees of a group that is refuted meanwhile are left as they are.
    `trend` is told how it goes.
    """
    attack = GuidedAttack(trees, budget)
    proved = torch.full_like(trees.goal[:, 0], torch.inf)
    count = len(parts.tree)
    while True:
        attack.look(parts.tree, parts.above, parts.normal, partial(splitting.regions, parts))
        done = (parts.above > 0) | attack.settled[parts.tree]
        proved = proved.scatter_reduce(0, parts.tree[done], parts.above[done], "amin")
        parts = parts.select(torch.nonzero(~done)[:, 0])
        worst = proved.scatter_reduce(0, parts.tree, parts.above, "amin")
        trend.note(count, worst)
        chosen = splitting.chosen(parts)
        if not len(chosen) or budget.over or count >= most:
            return worst
        rest = torch.ones_like(parts.tree, dtype=torch.bool)
        rest[chosen] = False
        halves = splitting.halves(parts.select(chosen))
        count += len(halves.tree)
        parts = parts.select(torch.nonzero(rest)[:, 0]).join(halves)
