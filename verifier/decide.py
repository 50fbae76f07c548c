"""Branch and bound: split, bound all parts together, drop what is proved, split the rest.

A *tree* is one question about one instance; its leaves are parts of the region that cover it. What its worst
open leaf has is true of the whole region at any time, so stopping early loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from verifier.bounds import Bounds, Objective
from verifier.branch import Choice, choose
from verifier.optimise import optimise_slopes
from verifier.splits import Key, Part, Splits

MakeBounds = Callable[[Tensor, Splits], Bounds]  # (instance of every part, its splits) → bounds of the parts


@dataclass(frozen=True, slots=True)
class Effort:
    """`batch` parts are bounded together, each with `steps` of optimisation; at most `nodes` parts in all."""

    batch: int = 64
    steps: int = 12
    rate: float = 0.15
    nodes: int = 1_000_000


@dataclass(eq=False)
class _Leaves:
    """Open parts [N]: their `tree`, how far the best row is `above` its goal, splits per operand [N, n], and
    the next split: operand number `key`, `unit`, `point`, and whether there is one (`divisible`)."""

    tree: Tensor
    above: Tensor
    parts: dict[Key, Part]
    key: Tensor
    unit: Tensor
    point: Tensor
    divisible: Tensor

    def select(self, indices: Tensor) -> _Leaves:
        return _Leaves(
            self.tree[indices],
            self.above[indices],
            {key: part.select(indices) for key, part in self.parts.items()},
            self.key[indices],
            self.unit[indices],
            self.point[indices],
            self.divisible[indices],
        )

    def join(self, other: _Leaves) -> _Leaves:
        return _Leaves(
            torch.cat([self.tree, other.tree]),
            torch.cat([self.above, other.above]),
            {
                key: Part(
                    torch.cat([self.parts[key].lower, other.parts[key].lower]),
                    torch.cat([self.parts[key].upper, other.parts[key].upper]),
                )
                for key in self.parts
            },
            torch.cat([self.key, other.key]),
            torch.cat([self.unit, other.unit]),
            torch.cat([self.point, other.point]),
            torch.cat([self.divisible, other.divisible]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """M questions: is one of the rows of `objective` ([M, R, ..]) above its `goal` [M, R] everywhere in the
    region of `instance` [M]? `known` [M, R] are bounds for the whole region."""

    instance: Tensor
    objective: Objective
    goal: Tensor
    known: Tensor

    def of(self, tree: Tensor) -> Objective:
        """The objective of leaves of these trees."""
        inputs = self.objective.inputs
        return Objective(
            self.objective.outputs[tree],
            None if inputs is None else inputs[tree],
            self.objective.uncertainty,
        )


def branch_and_bound(
    trees: Trees,
    make: MakeBounds,
    *,
    deadline: float,
    effort: Effort = Effort(),
    progress: Callable[[], None] = lambda: None,
) -> Tensor:
    """By how much [M] the best row of each tree is above its goal, at least; > 0 once every part is proved.

    `make` bounds parts of the instances. Runs until all trees are proved, nothing is left to split, `effort`
    is spent or the `deadline` (time.monotonic) has come; what it has is valid at any time.
    """
    leaves, order = _roots(trees, make)
    nodes = len(leaves.tree)
    proved = torch.full_like(trees.goal[:, 0], torch.inf)
    while len(leaves.tree) and time.monotonic() < deadline and nodes < effort.nodes:
        chosen = _chosen(leaves, effort.batch)
        if not len(chosen):
            break
        rest = torch.ones(len(leaves.tree), dtype=torch.bool, device=chosen.device)
        rest[chosen] = False
        children = _bound(trees, _halves(leaves.select(chosen), order), order, make, effort, deadline)
        nodes += len(children.tree)
        leaves = leaves.select(torch.nonzero(rest)[:, 0])
        done = children.above > 0
        proved = proved.scatter_reduce(0, children.tree[done], children.above[done], "amin")
        leaves = leaves.join(children.select(torch.nonzero(~done)[:, 0]))
        progress()
    return proved.scatter_reduce(0, leaves.tree, leaves.above, "amin")


def _operands(bounds: Bounds) -> dict[Key, int]:
    """Every operand that can be split, with its size."""
    return {
        (id(form), site.iteration): form.size for site in bounds.sites.values() for form in site.step.operands
    }


def _roots(trees: Trees, make: MakeBounds) -> tuple[_Leaves, dict[Key, int]]:
    """One leaf a tree, with its first split chosen; and the order of the operands."""
    count = len(trees.instance)
    tree = torch.arange(count, device=trees.goal.device)
    bounds = make(trees.instance, {})
    order = _operands(bounds)
    free = {
        key: Part(
            trees.goal.new_full((count, size), -torch.inf), trees.goal.new_full((count, size), torch.inf)
        )
        for key, size in order.items()
    }
    above = (trees.known - trees.goal).amax(-1)
    return _with_choice(tree, above, free, choose(bounds, trees.of(tree), trees.goal), order), order


def _with_choice(
    tree: Tensor, above: Tensor, parts: dict[Key, Part], choice: Choice, order: dict[Key, int]
) -> _Leaves:
    position = {key: k for k, key in enumerate(order)}
    places = torch.tensor([position[key] for key in choice.keys], dtype=torch.int64, device=above.device)
    return _Leaves(tree, above, parts, places[choice.key], choice.unit, choice.point, choice.worth > 0)


def _chosen(leaves: _Leaves, count: int) -> Tensor:
    """Up to `count` leaves to split: the worst one of every tree, then every second worst, and so on; where
    there are more trees than places, those first that are nearest to being proved."""
    ready = torch.nonzero(leaves.divisible)[:, 0]
    ready = ready[leaves.above[ready].argsort()]
    ready = ready[leaves.tree[ready].argsort(stable=True)]  # tree by tree, the worst first
    tree = leaves.tree[ready]
    sizes = torch.bincount(tree)
    rank = torch.arange(len(ready), device=tree.device) - (sizes.cumsum(0) - sizes)[tree]
    nearest = leaves.above[ready].argsort(descending=True)
    return ready[nearest[rank[nearest].argsort(stable=True)]][:count]


def _halves(leaves: _Leaves, order: dict[Key, int]) -> _Leaves:
    """Both children of every leaf, first all lower halves, then all upper ones."""
    count = len(leaves.tree)
    twice = leaves.select(torch.arange(count, device=leaves.tree.device).repeat(2))
    for position, key in enumerate(order):
        mine = torch.nonzero(leaves.key == position)[:, 0]
        if not len(mine):
            continue
        lower, upper = twice.parts[key].lower.clone(), twice.parts[key].upper.clone()
        upper[mine, leaves.unit[mine]] = leaves.point[mine]
        lower[mine + count, leaves.unit[mine]] = leaves.point[mine]
        twice.parts[key] = Part(lower, upper)
    return twice


def _bound(
    trees: Trees, leaves: _Leaves, order: dict[Key, int], make: MakeBounds, effort: Effort, deadline: float
) -> _Leaves:
    used = {
        key: part
        for key, part in leaves.parts.items()
        if bool((torch.isfinite(part.lower) | torch.isfinite(part.upper)).any())
    }
    objective, goal = trees.of(leaves.tree), trees.goal[leaves.tree]
    bounds = make(trees.instance[leaves.tree], used)
    found = optimise_slopes(
        bounds, objective, steps=effort.steps, rate=effort.rate, target=goal, any_row=True, deadline=deadline
    )
    above = torch.maximum((found - goal).amax(-1), leaves.above)  # a part is no worse than the whole
    return _with_choice(leaves.tree, above, leaves.parts, choose(bounds, objective, goal), order)
