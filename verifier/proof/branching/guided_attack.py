"""Attacks from where an unfinished proof says that a counterexample would be.

A backward pass through a part of the region leaves a linear function A·x + b below the row that is asked
about. The point of the region where it is least is where the bound is lost: the best place for a descent to
begin, as far as the planes know (like BaB-Attack, Zhang et al. 2022, which starts from branching's undecided
subproblems too). Which descent, and what counts as found, is not decided here (`Budget.refute`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from verifier.problem import points
from verifier.problem.budget import Budget
from verifier.problem.region import Region
from verifier.proof.branching.trees import Trees

SHARE = 0.1  # of the time of a search


def lowest(region: Region, normal: Tensor) -> Tensor:
    """The points [N, n] of N regions at which the linear functions `normal` [N, n] are least."""
    return points.corner(region, -normal)


class GuidedAttack:
    """Attacks from the worst undecided subproblem of every group of `trees`, now and then; `settled` [M] are
    the trees of groups that were refuted, which nobody needs to search on."""

    def __init__(self, trees: Trees, budget: Budget) -> None:
        self._trees, self._budget = trees, budget
        self.settled = torch.zeros(len(trees.group), dtype=torch.bool, device=trees.group.device)
        self._begun = time.monotonic()
        self._spent = self._last = 0.0
        groups = int(trees.group.max()) + 1
        self._tried = trees.goal.new_full((groups,), torch.nan)  # the worst part of each that was last tried

    def look(
        self, tree: Tensor, above: Tensor, normal: Tensor, region_of: Callable[[Tensor], Region]
    ) -> None:
        """Attack from parts of `tree` [N], whose best row is `above` [N] its goal and has the linear function
        `normal` [N, n] below it, if it is time to; `region_of` are the regions of parts."""
        refute = self._budget.refute
        begun = time.monotonic()
        if refute is None or self._spent + self._last > SHARE * (begun - self._begun):
            return
        worst = self._worst(tree, above)
        if not len(worst):
            return
        starts = lowest(region_of(worst), normal[worst])
        group = self._trees.group[tree[worst]]
        found = refute(group, self._trees.row[tree[worst]], starts).to(group.device)
        self.settled |= torch.isin(self._trees.group, group[found])
        self._last = time.monotonic() - begun
        self._spent += self._last

    def _worst(self, tree: Tensor, above: Tensor) -> Tensor:
        """The place of the worst subproblem of every undecided group, if it was not tried before."""
        group = self._trees.group[tree]
        least = torch.full_like(self._tried, torch.inf).scatter_reduce(0, group, above, "amin")
        ready = (above == least[group]) & (above <= 0) & (above != self._tried[group])
        places = torch.nonzero(ready & ~self.settled[tree])[:, 0]
        first = torch.full_like(self._tried, len(tree), dtype=torch.int64)
        first = first.scatter_reduce(0, group[places], places, "amin")
        places = first[first < len(tree)]
        self._tried[group[places]] = above[places]
        return places
