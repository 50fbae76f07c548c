"""Questions that a search splits into subproblems, and which of those it splits next."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verifier.problem.question import Objective

FEW_LEAVES = 8  # so many are split together where there are as many: few take hardly longer than one


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """M questions: is one of the rows of `objective` ([M, R, ..]) above its `goal` [M, R] everywhere in the
    region of `instance` [M]? `known` [M, R] are bounds for the whole region. Questions of one `group` [M] are
    worth nothing before all of them are answered; `row` [M] is what the group calls (the first of) theirs."""

    instance: Tensor
    group: Tensor
    row: Tensor
    objective: Objective
    goal: Tensor
    known: Tensor

    def of(self, tree: Tensor) -> Objective:
        """The objective of leaves of these trees."""
        return self.objective.each(lambda rows: rows[tree])


def next_leaves(trees: Trees, tree: Tensor, above: Tensor, ready: Tensor, count: int) -> Tensor:
    """Up to `count` places of leaves that are `ready` [N], at most a third of these where there are many.

    A tree counts only with all others of its group, so a group is as far from being proved as its worst leaf.
    Work is shared out in inverse proportion to that: the k-th worst leaf of a tree costs k times what its
    group is short of, and the cheapest leaves are taken. So what is nearly proved is not kept waiting by what
    is not."""
    places = torch.nonzero(ready)[:, 0]
    places = places[above[places].argsort()]
    places = places[tree[places].argsort(stable=True)]  # tree by tree, the worst first
    group = trees.group[tree]
    short = above.new_zeros(int(trees.group.max()) + 1).scatter_reduce(0, group, -above, "amax")
    sizes = torch.bincount(tree[places])
    rank = torch.arange(len(places), device=tree.device) - (sizes.cumsum(0) - sizes)[tree[places]]
    cost = (rank + 1) * short[group[places]].clamp_min(1e-12)
    share = max(FEW_LEAVES, (len(places) + 2) // 3)
    return places[cost.argsort(stable=True)][: min(count, share)]
