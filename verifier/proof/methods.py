"""The methods of bounding a question, from the cheapest on, until it is answered.

Intervals; backward sweeps, for long sequences short ones first; with corners of boxes cut off; slopes climbed
for the question; clipping, bounds once more where counterexamples could be; the same with what gates cannot
lose together, which takes long, and branching, which has no natural end: both only where there is a deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from relaxations import Planes
from verifier.bounds.on_demand import BoundsOnDemand
from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import SiteKey
from verifier.problem.budget import Budget, Depth
from verifier.problem.question import Question
from verifier.proof.branching.gate_splitting import Effort, branch_and_bound
from verifier.proof.branching.guided_attack import lowest
from verifier.proof.branching.input_splitting import divide, divisible
from verifier.proof.branching.trees import Trees
from verifier.proof.branching.trend import Trend
from verifier.proof.refinement.ascent import ascend
from verifier.proof.refinement.clipping import DEPTH, clipped, clips
from verifier.proof.refinement.multi_neuron_clipping import jointly
from verifier.proof.refinement.relaxation_error import why
from verifier.proof.results import Minimum

JOINT_SHARE = 0.8  # of the time that is left, at most


@dataclass(frozen=True, slots=True)
class Methods:
    """What results call each method (`names`, by depth, 0 for intervals), how many steps slopes climb, and
    how many instances, parts and open leaves fit together."""

    names: Mapping[int, str]
    slope_steps: int
    together: int
    parts: int
    leaves: int

    def minimise(self, over: BoundsOnDemand, ask: Question, budget: Budget) -> Minimum:
        """Lower bounds of the question's rows, raised until it is answered or the budget is spent."""
        with torch.no_grad():
            found = over.intervals.minimum(ask.objective)
        if not len(ask.open(found)):
            return Minimum(found, self.names[0], True, ("",) * len(found))
        if budget.over:
            return Minimum(found, self.names[0], False, ("the time was over",) * len(found))
        if over.short is None:
            return self._sweep(over, ask, found, budget)
        with torch.no_grad():
            found = torch.maximum(found, over.short.minimum(ask.objective))
        still, late = ask.open(found), budget.over
        if not len(still) or budget.depth < Depth.backward or late:
            finished = not late or not len(still)
            return Minimum(found, self.names[Depth.short], finished, why(ask, over.short, found))
        rest = self._sweep(over.select(still), ask.select(still), found[still], budget.among(still))
        return rest.among(found, still)

    def _sweep(self, over: BoundsOnDemand, ask: Question, known: Tensor, budget: Budget) -> Minimum:
        """`known` bounds [B, R] raised by a backward pass, and by what may follow if that is not enough."""
        with torch.no_grad():
            found = torch.maximum(known, over.sweeps.minimum(ask.objective))
        still = ask.open(found)
        if not len(still) or budget.depth < Depth.corners:
            return Minimum(found, self.names[Depth.backward], True, why(ask, over.sweeps, found))
        deeper = self._deepen(over.select(still), ask.select(still), found[still], budget.among(still))
        return deeper.among(found, still)

    def _deepen(self, over: BoundsOnDemand, ask: Question, known: Tensor, budget: Budget) -> Minimum:
        """`known` bounds [B, R] of what is open after a backward pass, raised."""
        bounds, best, reached = over.deepest, known, Depth.backward
        if over.corners:
            reached = Depth.corners
            with torch.no_grad():
                best = torch.maximum(known, bounds.minimum(ask.objective))
        planes = None
        if budget.slopes and budget.depth >= Depth.slopes and len(ask.open(best)) and self.slope_steps:
            reached = Depth.slopes
            found = ascend(
                bounds,
                ask.objective,
                steps=self.slope_steps,
                rate=0.1,
                target=ask.goal,
                any_row=ask.any_row,
                deadline=budget.deadline,
                known=best,
                progress=budget.progress,
            )
            best, planes = found.best, found.planes
        if budget.depth >= Depth.clipping and len(ask.open(best)):
            return self._row_by_row(over, ask, best, planes, budget)
        finished = reached < Depth.slopes or _ended(budget, ask.open(best))
        return Minimum(best, self.names[reached], finished, why(ask, bounds, best))

    def _row_by_row(
        self,
        over: BoundsOnDemand,
        ask: Question,
        known: Tensor,
        planes: Mapping[SiteKey, Planes] | None,
        budget: Budget,
    ) -> Minimum:
        """`known` bounds [B, R] raised by what is tried for each open row by itself, or for all rows of an
        instance where one of them is enough."""
        bounds, reached, outlook = over.deepest, Depth.clipping, None
        rows, single = ask.open_rows(known)
        instance, best = rows[0][:, 0], known[rows]
        # from planes of small volume: slopes climbed for the lowest point leave the middle lower
        halfspace, middle = clips(bounds, ask).pick(rows).deepest()
        if bounds.sites:
            best, halfspace = clipped(
                over,
                instance,
                single,
                best,
                halfspace,
                middle,
                deadline=budget.deadline,
                together=self.together,
                progress=budget.progress,
            )
        left, inherited = single.open(best), None
        if budget.joint and len(left) and bounds.sites and over.can_join and not divisible(over.region):
            reached = Depth.joint
            share = budget.share(JOINT_SHARE) if budget.branching else budget
            best, halfspace, inherited = jointly(
                over, instance, single, best, halfspace, deadline=share.deadline, progress=budget.progress
            )
        left, settled = single.open(best), torch.zeros_like(ask.goal[:, 0], dtype=torch.bool)
        if budget.refute is not None and len(left):
            some, row = instance[left], rows[1][left, 0]
            starts = lowest(over.region.select(some), halfspace.normal[left])
            settled[some[budget.refute(some, row, starts).to(some.device)]] = True
            left = left[~settled[some]]
        can_be_cut = bool(bounds.sites) or divisible(over.region)
        if budget.branching and len(left) and can_be_cut:
            reached = Depth.branching
            some, place = instance[left], instance[left]
            root = None
            if inherited is not None:
                root = over.part(some, {}, inherited.select(left), halfspace.select(left))
            if root is not None or (bool((middle[left] > DEPTH).any()) and not divisible(over.region)):
                over = over.cut_by(some, halfspace.select(left))
                place, planes = torch.arange(len(some), device=some.device), None
            part = single.select(left)
            trees = Trees(place, some, rows[1][left, 0], part.objective, part.goal, best[left])
            above, factors = self._branch(over, root, trees, planes, budget)
            best[left] = torch.maximum(best[left], part.goal + above[:, None])
            outlook = {}
            for k, factor in zip(some.tolist(), factors, strict=True):
                outlook[k] = max(outlook.get(k, 1.0), factor)
        raised = known.index_put(rows, best)
        still = ask.open(raised)
        finished = _ended(budget, still[~settled[still]])
        return Minimum(raised, self.names[reached], finished, why(ask, bounds, raised, outlook))

    def _branch(
        self,
        over: BoundsOnDemand,
        root: Bounds | None,
        trees: Trees,
        planes: Mapping[SiteKey, Planes] | None,
        budget: Budget,
    ) -> tuple[Tensor, list[float]]:
        """By how much [M] the best row of each of `trees` is above its goal, by branch and bound; and how
        many times more time would likely decide those that stay open. Trees begin in `root`, if it is
        given."""
        trend, effort = Trend(), Effort()
        effort = replace(
            effort,
            parts=min(effort.parts, self.parts),
            leaves=min(effort.leaves, self.leaves),
            together=min(effort.together, self.together),
        )
        if divisible(over.region):
            above = divide(
                trees,
                over.region,
                over.inner,
                budget,
                together=min(self.together, effort.parts),
                trend=trend,
            )
        else:
            above = branch_and_bound(
                trees, root or over.deepest, over.part, budget, planes=planes, effort=effort, trend=trend
            )
        return above, trend.outlook()


def _ended(budget: Budget, still: Tensor) -> bool:
    """Whether more time would not help those that are `still` open."""
    return not len(still) or not budget.over
