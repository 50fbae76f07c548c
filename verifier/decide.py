"""Branch and bound: split, bound all parts together, drop what is proved, split the rest.

A *tree* is one question about one instance; its leaves are parts of the region that cover it. What its worst
open leaf has is true of the whole region at any time, so stopping early loses nothing. A part takes over
boxes, slopes and multipliers from the part it was cut out of, so that bounding it costs a few sweeps of one
row and none for its boxes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from verifier.bounds import Bounds, Objective
from verifier.branch import choose
from verifier.inherit import Inherited
from verifier.layout import Layout, layout_of
from verifier.optimise import ascend
from verifier.splits import Part, Splits

# (instance of every part, its splits, what it inherits) → bounds of the parts
MakeBounds = Callable[[Tensor, Splits, Inherited | None], Bounds]


@dataclass(frozen=True, slots=True)
class Effort:
    """`batch` parts are split together, and each half gets `steps` of optimisation; at most `nodes` parts
    are bounded in all, and at most `leaves` are kept open."""

    batch: int = 128
    steps: int = 8
    rate: float = 0.15
    nodes: int = 10_000_000
    leaves: int = 100_000


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


@dataclass(frozen=True, slots=True, eq=False)
class _Leaves:
    """Open parts [N] over a `Layout` with P operand units and S slopes: their `tree`, how far the best row is
    `above` its goal; splits `part_*` [N, P], infinite where there is none; boxes `*` [N, P]; `slopes`
    [N, 2, S]; multipliers `beta` [N, 2, P]; the `unit` to split next, at which `point`, if `divisible`."""

    tree: Tensor
    above: Tensor
    part_lower: Tensor
    part_upper: Tensor
    lower: Tensor
    upper: Tensor
    slopes: Tensor
    beta: Tensor
    unit: Tensor
    point: Tensor
    divisible: Tensor

    def select(self, indices: Tensor) -> _Leaves:
        return _Leaves(*(getattr(self, field.name)[indices] for field in fields(self)))

    def join(self, other: _Leaves) -> _Leaves:
        return _Leaves(
            *(torch.cat([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self))
        )

    def halves(self) -> _Leaves:
        """Both parts of every leaf, first all lower halves, then all upper ones."""
        count = len(self.tree)
        twice = self.select(torch.arange(count, device=self.tree.device).repeat(2))
        place = torch.arange(count, device=self.tree.device)
        twice.part_upper[place, self.unit] = self.point
        twice.part_lower[place + count, self.unit] = self.point
        return twice


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
    leaves, layout = _roots(trees, make, effort, deadline)
    nodes = len(leaves.tree)
    proved = torch.full_like(trees.goal[:, 0], torch.inf)
    while True:
        done = leaves.above > 0
        proved = proved.scatter_reduce(0, leaves.tree[done], leaves.above[done], "amin")
        leaves = leaves.select(torch.nonzero(~done)[:, 0])
        chosen = _chosen(leaves, effort)
        if not len(chosen) or time.monotonic() >= deadline or nodes >= effort.nodes:
            break
        rest = torch.ones(len(leaves.tree), dtype=torch.bool, device=chosen.device)
        rest[chosen] = False
        children = _bound(trees, leaves.select(chosen).halves(), layout, make, effort, deadline)
        nodes += len(children.tree)
        leaves = leaves.select(torch.nonzero(rest)[:, 0]).join(children)
        progress()
    return proved.scatter_reduce(0, leaves.tree, leaves.above, "amin")


def _roots(trees: Trees, make: MakeBounds, effort: Effort, deadline: float) -> tuple[_Leaves, Layout]:
    """One leaf a tree, bounded, with its first split chosen."""
    bounds = make(trees.instance, {}, None)
    layout = layout_of(bounds)
    lower, upper = layout.boxes(bounds)
    slopes = layout.flat_slopes(
        {key: (site.planes.lower_slope, site.planes.upper_slope) for key, site in bounds.sites.items()}
    )
    count = len(trees.instance)
    nothing = torch.zeros(count, dtype=torch.int64, device=lower.device)
    leaves = _Leaves(
        torch.arange(count, device=lower.device),
        (trees.known - trees.goal).amax(-1),
        torch.full_like(lower, -torch.inf),
        torch.full_like(upper, torch.inf),
        lower,
        upper,
        slopes,
        torch.zeros_like(torch.stack([lower, upper], 1)),
        nothing,
        torch.zeros_like(lower[:, 0]),
        nothing > 0,
    )
    return _improved(trees, leaves, layout, bounds, effort, deadline), layout


def _chosen(leaves: _Leaves, effort: Effort) -> Tensor:
    """Up to a batch of leaves to split: the worst one of every tree, then every second worst, and so on;
    where there are more trees than places, those first that are nearest to being proved. With too many open
    leaves, those nearest to being proved."""
    ready = torch.nonzero(leaves.divisible)[:, 0]
    if len(leaves.tree) > effort.leaves:
        return ready[leaves.above[ready].argsort(descending=True)][: effort.batch]
    ready = ready[leaves.above[ready].argsort()]
    ready = ready[leaves.tree[ready].argsort(stable=True)]  # tree by tree, the worst first
    tree = leaves.tree[ready]
    sizes = torch.bincount(tree)
    rank = torch.arange(len(ready), device=tree.device) - (sizes.cumsum(0) - sizes)[tree]
    nearest = leaves.above[ready].argsort(descending=True)
    return ready[nearest[rank[nearest].argsort(stable=True)]][: effort.batch]


def _bound(
    trees: Trees, leaves: _Leaves, layout: Layout, make: MakeBounds, effort: Effort, deadline: float
) -> _Leaves:
    """The leaves bounded, each with its next split."""
    split = torch.isfinite(leaves.part_lower) | torch.isfinite(leaves.part_upper)
    lower, upper = layout.by_operand(leaves.part_lower), layout.by_operand(leaves.part_upper)
    splits = {
        key: Part(lower[key], upper[key])
        for key, used in layout.by_operand(split.any(0)).items()
        if bool(used.any())
    }
    held_lower, held_upper = layout.by_operand(leaves.lower), layout.by_operand(leaves.upper)
    inherited = Inherited(
        {key: (held_lower[key], held_upper[key]) for key in layout.operands}, layout.by_site(leaves.slopes)
    )
    bounds = make(trees.instance[leaves.tree], splits, inherited)
    return _improved(trees, leaves, layout, bounds, effort, deadline)


def _improved(
    trees: Trees, leaves: _Leaves, layout: Layout, bounds: Bounds, effort: Effort, deadline: float
) -> _Leaves:
    """What an ascent from `bounds` makes of `leaves`."""
    objective, goal = trees.of(leaves.tree), trees.goal[leaves.tree]
    beta = layout.by_operand(leaves.beta)
    found = ascend(
        bounds, objective, steps=effort.steps, rate=effort.rate, target=goal, any_row=True, deadline=deadline,
        beta={key: beta[key].movedim(1, 0) for key in bounds.splits},
    )  # fmt: skip
    distance = found.best - goal
    choice = choose(bounds, layout, found.coefficients, distance.argmax(-1))
    lower, upper = layout.boxes(bounds)
    return _Leaves(
        leaves.tree,
        torch.maximum(distance.amax(-1), leaves.above),  # a part is no worse than the whole
        leaves.part_lower,
        leaves.part_upper,
        lower,
        upper,
        layout.flat_slopes(found.slopes),
        layout.flat(found.beta, leaves.beta),
        choice.unit,
        choice.point,
        choice.worth > 0,
    )
