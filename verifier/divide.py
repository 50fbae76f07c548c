"""Branch and bound over the input: the region itself is cut, and every part is bounded from nothing.

For regions with few entries that move: a cut shrinks the boxes in all of the network at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from verifier.bounds import Bounds
from verifier.decide import Trees, next_leaves
from verifier.explain import Trend
from verifier.mixture import mixed_minimum
from verifier.region import Region
from verifier.rows import Rows

FEW = 10  # entries that move: with more, cutting them one by one takes too long


@dataclass(frozen=True, slots=True, eq=False)
class _Parts(Rows):
    """Open parts [N] of boxes `lower`, `upper` [N, n] of their `tree`, how far the best row is `above` its
    goal, and the `entry` to cut next."""

    tree: Tensor
    above: Tensor
    lower: Tensor
    upper: Tensor
    entry: Tensor


def divisible(region: Region) -> bool:
    """Whether `region` is a box in which few entries move."""
    moving = (region.lower < region.upper).sum(-1)
    return region.cutting_ball is None and int(moving.max()) <= FEW


def divide(
    trees: Trees,
    region: Region,
    make: Callable[[Region], Bounds],
    *,
    deadline: float,
    together: int,
    trend: Trend | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Tensor:
    """As `branch_and_bound`, for a `divisible` region: by how much [M] the best row of each tree is above its
    goal. `make` bounds a region; `together` parts at most are bounded at once; `trend` is told how it goes.

    Runs until all trees are proved, no part can be cut any more, or the `deadline` (time.monotonic).
    """
    count = len(trees.instance)
    tree = torch.arange(count, device=trees.goal.device)
    here = region.select(trees.instance)
    known = (trees.known - trees.goal).amax(-1)
    parts = _bounded(trees, tree, known, here.lower, here.upper, make)
    proved = torch.full_like(known, torch.inf)
    nodes = count
    while True:
        done = parts.above > 0
        proved = proved.scatter_reduce(0, parts.tree[done], parts.above[done], "amin")
        parts = parts.select(torch.nonzero(~done)[:, 0])
        if trend is not None:
            trend.note(nodes, proved.scatter_reduce(0, parts.tree, parts.above, "amin"))
        middle = (parts.lower / 2 + parts.upper / 2).gather(-1, parts.entry[:, None])
        inside = (middle > parts.lower.gather(-1, parts.entry[:, None])) & (
            middle < parts.upper.gather(-1, parts.entry[:, None])
        )
        chosen = next_leaves(trees, parts.tree, parts.above, inside[:, 0], max(1, together // 2))
        if not len(chosen) or time.monotonic() >= deadline:
            break
        rest = torch.ones(len(parts.tree), dtype=torch.bool, device=chosen.device)
        rest[chosen] = False
        cut, middle = parts.select(chosen), middle[chosen]
        below = cut.upper.scatter(-1, cut.entry[:, None], middle)
        beyond = cut.lower.scatter(-1, cut.entry[:, None], middle)
        halves = _bounded(
            trees,
            cut.tree.repeat(2),
            cut.above.repeat(2),
            torch.cat([cut.lower, beyond]),
            torch.cat([below, cut.upper]),
            make,
        )
        nodes += len(halves.tree)
        parts = parts.select(torch.nonzero(rest)[:, 0]).join(halves)
        progress()
    return proved.scatter_reduce(0, parts.tree, parts.above, "amin")


@torch.no_grad()
def _bounded(
    trees: Trees,
    tree: Tensor,
    known: Tensor,
    lower: Tensor,
    upper: Tensor,
    make: Callable[[Region], Bounds],
) -> _Parts:
    """Parts with their bounds, no less than `known` [N]; the entry to cut is the one along which the linear
    function below the best row falls most."""
    bounds = make(Region(lower, upper))
    objective = trees.of(tree)
    distance = bounds.minimum(objective) - trees.goal[tree]
    above = torch.maximum(distance.amax(-1), known)
    if distance.shape[-1] > 1:
        above = torch.maximum(above, mixed_minimum(bounds, objective, trees.goal[tree]))
    best = distance.argmax(-1)
    A, _ = bounds.swept_rows(objective)
    fall = A[torch.arange(len(best), device=best.device), best].abs().nan_to_num() * (upper - lower)
    return _Parts(tree, above, lower, upper, fall.argmax(-1))
