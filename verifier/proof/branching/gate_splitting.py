"""Branch and bound over the operands of gates, as in β-CROWN (Wang et al. 2021) and GenBaB (Shi et al. 2024).

A subproblem takes over pre-activation bounds, planes and multipliers from the one it was split off, so that
bounding it costs a few backward passes of one row and none for its boxes.

Where to split is tried out before it is done (strong branching, Applegate et al. 1995): a backward pass
through both halves of every candidate, without an ascent, and the largest product of the two gains wins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relaxations import Planes
from verifier.bounds.inheritance import Inherited
from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import OperandKey, SiteKey
from verifier.problem.budget import Budget
from verifier.problem.halfspace import Halfspace
from verifier.problem.question import Question
from verifier.problem.region import Region
from verifier.proof.branching.candidates import candidates
from verifier.proof.branching.flat import offsets_of
from verifier.proof.branching.leaves import Leaves, worth_splitting
from verifier.proof.branching.search import MOST, search
from verifier.proof.branching.trees import Trees
from verifier.proof.branching.trend import Trend
from verifier.proof.memory import Capacity
from verifier.proof.refinement.ascent import AscentOptions, ascend
from verifier.proof.refinement.clipping import above, clips
from verifier.proof.refinement.multipliers import multipliers
from verifier.propagation.splits import Part, Splits

# (instance of every part, its splits, what it inherits, where its counterexamples are) → bounds of the parts
MakeBounds = Callable[[Tensor, Splits, Inherited, Halfspace], Bounds]


@dataclass(frozen=True, slots=True)
class BranchingEffort:
    """`parts` of a region are bounded together. A tree's root gets `root_steps` of optimisation. Of every
    leaf that is split, `candidates` for the split are tried out; each half gets `steps` of optimisation.
    Where the middle of the region lies more than `depth` inside of what a leaf's half-space takes away, and
    `deeper` than the last time, its boxes are made anew, for `together` leaves at once.
    Slopes of sites that lose less than the share `minor` of what the worst one does stay as they are: what it
    takes to move them buys more elsewhere. At most `nodes` parts become leaves in all, and at most about
    `leaves` are kept open."""

    parts: int = 1024
    candidates: int = 6
    root_steps: int = 40
    steps: int = 4
    minor: float = 0.6
    together: int = 16
    depth: float = 0.35
    deeper: float = 0.15
    rate: float = 0.15
    nodes: int = MOST
    leaves: int = 50_000

    def within(self, capacity: Capacity) -> BranchingEffort:
        """No more than fits."""
        return replace(
            self,
            parts=min(self.parts, capacity.parts),
            leaves=min(self.leaves, capacity.leaves),
            together=min(self.together, capacity.together),
        )

    @property
    def batch(self) -> int:
        """Leaves that are split together."""
        return max(1, self.parts // (2 * self.candidates))


def branch_and_bound(
    trees: Trees,
    bounds: Bounds,
    make: MakeBounds,
    budget: Budget,
    *,
    planes: Mapping[SiteKey, Planes] | None = None,
    effort: BranchingEffort = BranchingEffort(),
    trend: Trend | None = None,
) -> Tensor:
    """By how much [M] the best row of each tree is above its goal; see `search`.

    `bounds` of all instances are where trees begin, with the `planes` of sites where there are better ones;
    `make` bounds parts of the instances."""
    splitting = _GateSplitting(trees, bounds, planes, make, effort, budget.deadline)
    return search(splitting.roots(), splitting, trees, budget, trend or Trend(), effort.nodes)


class _GateSplitting:
    """What bounding the parts of some trees takes."""

    def __init__(
        self,
        trees: Trees,
        bounds: Bounds,
        planes: Mapping[SiteKey, Planes] | None,
        make: MakeBounds,
        effort: BranchingEffort,
        deadline: float,
    ) -> None:
        self._trees = trees
        self._region = bounds.region
        self._make = make
        self._effort = effort
        self._deadline = deadline
        self._offsets = offsets = offsets_of(bounds.program, bounds.options.octagon)
        self._boxes = offsets.boxes(bounds)
        self._planes = offsets.flat_planes(
            {key: site.planes for key, site in bounds.sites.items()} if planes is None else planes
        )
        self._octagons = offsets.flat_octagons(bounds)
        self._halfspace = bounds.region.halfspace or Halfspace.everything(bounds.region.lower)
        self._last = (0, 0.0)  # leaves split in the last round, and its seconds

    def chosen(self, parts: Leaves) -> Tensor:
        return worth_splitting(parts, self._trees, self._batch(), self._effort.leaves)

    def regions(self, parts: Leaves, places: Tensor) -> Region:
        return self._region.select(self._trees.instance[parts.tree[places]])

    def _batch(self) -> int:
        """How many leaves to split next: as many as may be bounded together, but not so many that the round
        could take more than a quarter of the time that is left; few at first."""
        count, seconds = self._last
        if not count:
            return min(self._effort.batch, 16)
        fit = 0.25 * (self._deadline - time.monotonic()) / max(seconds, 1e-9)
        return int(max(1, min(self._effort.batch, count * min(fit, 4.0))))

    def roots(self) -> Leaves:
        """One leaf a tree."""
        trees = self._trees
        lower, upper, planes = (t[trees.instance] for t in (*self._boxes, self._planes))
        nothing = torch.zeros_like(lower[:, :1])
        leaves = Leaves(
            torch.arange(len(lower), device=lower.device),
            (trees.known - trees.goal).amax(-1),
            torch.full_like(lower, -torch.inf),
            torch.full_like(upper, torch.inf),
            lower,
            upper,
            planes,
            torch.zeros_like(torch.stack([lower, upper], 1)),
            nothing.long(),
            nothing,
            nothing,
            self._halfspace.normal[trees.instance],
            self._halfspace.constant[trees.instance],
            nothing[:, 0],
            nothing[:, 0],
        )
        return self._improved(leaves, self._bounds(leaves), self._effort.root_steps)

    def halves(self, parts: Leaves) -> Leaves:
        """Both halves of every leaf, each bounded and with candidates for its next split."""
        begun = time.monotonic()
        halves = parts.halves(*self._best_split(parts))
        improved = self._renewed(self._improved(halves, self._bounds(halves), self._effort.steps))
        self._last = len(parts.tree), time.monotonic() - begun
        return improved

    def _renewed(self, leaves: Leaves) -> Leaves:
        """The leaves, the boxes of some of them made anew over what their half-spaces leave."""
        effort = self._effort
        ready = (leaves.depth > effort.depth) & (leaves.depth > leaves.renewed + effort.deeper)
        for places in torch.nonzero(ready & (leaves.above <= 0))[:, 0].split(effort.together):
            if not len(places) or time.monotonic() >= self._deadline:
                break
            some = replace(leaves.select(places), renewed=leaves.depth[places])
            better = self._improved(some, self._bounds(some, anew=True), effort.steps)
            leaves = leaves.put(places, better)
        return leaves

    def _best_split(self, leaves: Leaves) -> tuple[Tensor, Tensor]:
        """The unit and the point [N] where each leaf is cut."""
        count, m = leaves.unit.shape
        if m == 1:
            return leaves.unit[:, 0], leaves.point[:, 0]
        many = leaves.select(torch.arange(count, device=leaves.tree.device).repeat_interleave(m))
        halves = many.halves(leaves.unit.flatten(), leaves.point.flatten())
        bounds = self._bounds(halves)
        with torch.no_grad():
            found = bounds.backward_minimum(
                self._trees.of(halves.tree), None, multipliers(bounds, self._multipliers(halves, bounds))
            )
        distance = (bounds.settled(found) - self._trees.goal[halves.tree]).amax(-1)
        # nothing beyond the goal counts
        gain = torch.minimum(distance, torch.zeros_like(distance)) - halves.above
        gain = gain.clamp_min(0.0) - 1e-3 * halves.above
        both = gain[: len(gain) // 2] * gain[len(gain) // 2 :]
        both = both.unflatten(0, (count, m)).masked_fill(leaves.worth <= 0, -1.0)
        best = both.argmax(-1, keepdim=True)
        return leaves.unit.gather(-1, best)[:, 0], leaves.point.gather(-1, best)[:, 0]

    def _bounds(self, leaves: Leaves, anew: bool = False) -> Bounds:
        """Bounds of parts with what they inherit; with their planes and boxes made `anew`, inside the old
        ones."""
        offsets = self._offsets
        used = (torch.isfinite(leaves.part_lower) | torch.isfinite(leaves.part_upper)).any(0)
        parts = offsets.by_operand(leaves.part_lower, leaves.part_upper)
        splits = {
            key: Part(*parts[key]) for key, place in offsets.operands.items() if bool(used[place].any())
        }
        instance, halfspace = self._trees.instance[leaves.tree], Halfspace(leaves.normal, leaves.constant)
        boxes = offsets.by_operand(leaves.lower, leaves.upper)
        if anew:
            return self._make(instance, splits, Inherited(boxes), halfspace)
        octagons = offsets.octagons_of(self._octagons[instance])
        inherited = Inherited(boxes, offsets.planes_of(leaves.planes), octagons)
        return self._make(instance, splits, inherited, halfspace)

    def _multipliers(self, leaves: Leaves, bounds: Bounds) -> dict[OperandKey, Tensor]:
        beta = self._offsets.by_operand(leaves.beta)
        return {key: beta[key][0].movedim(1, 0) for key in bounds.splits}

    def _improved(self, leaves: Leaves, bounds: Bounds, steps: int) -> Leaves:
        """What an ascent of `steps` from `bounds` makes of `leaves`."""
        effort = self._effort
        objective, goal = self._trees.of(leaves.tree), self._trees.goal[leaves.tree]
        ask = Question(objective, goal, True)
        found = ascend(
            bounds,
            ask,
            AscentOptions(steps, effort.rate, effort.minor),
            beta=self._multipliers(leaves, bounds),
            deadline=self._deadline,
        )
        distance = found.best - goal
        next_split = candidates(
            bounds, self._offsets, found.coefficients, distance.argmax(-1), effort.candidates
        )
        lower, upper = self._offsets.boxes(bounds)
        there, depth = clips(
            bounds, ask, bounds.relaxed_with(found.planes), multipliers(bounds, found.beta)
        ).deepest()
        deeper = depth > leaves.depth
        return Leaves(
            leaves.tree,
            torch.maximum(above(found.best, goal), leaves.above),  # a part is no worse than the whole
            leaves.part_lower,
            leaves.part_upper,
            lower,
            upper,
            self._offsets.flat_planes(found.planes),
            self._offsets.flat(found.beta, leaves.beta),
            next_split.unit,
            next_split.point,
            next_split.worth,
            torch.where(deeper.unsqueeze(-1), there.normal, leaves.normal),
            torch.where(deeper, there.constant, leaves.constant),
            torch.maximum(depth, leaves.depth),
            leaves.renewed,
        )
