"""The methods of bounding a question, from the cheapest on, until it is answered.

Intervals; backward sweeps, for long sequences short ones first; with corners of boxes cut off; slopes climbed
for the question; branching, which has no natural end and is used only where there is a deadline.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from torch import Tensor

from relaxations import Planes
from verifier.bounds import Bounds, Objective
from verifier.decide import Effort, Trees, branch_and_bound
from verifier.divide import divide, divisible
from verifier.explain import Trend
from verifier.optimise import ascend
from verifier.question import Question
from verifier.regional import Regional
from verifier.site import Key


class Depth(IntEnum):
    """The last method that may be tried."""

    short = 1
    backward = 2
    corners = 3
    slopes = 4
    branching = 5


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """`lower` [B, R] bounds of an objective's rows, the `method`, whether it ran to its end, and `why` every
    instance is open, "" where it is not."""

    lower: Tensor
    method: str
    finished: bool
    why: tuple[str, ...]

    def among(self, found: Tensor, still: Tensor) -> Minimum:
        """Of all instances with bounds `found`, this being the result for those that were `still` open."""
        lower, why = found.clone(), [""] * len(found)
        lower[still] = self.lower
        for k, text in zip(still.tolist(), self.why, strict=True):
            why[k] = text
        return Minimum(lower, self.method, self.finished, tuple(why))


@dataclass(frozen=True, slots=True)
class Methods:
    """What results call each method (`names`, by depth, 0 for intervals), whether any gate has `corners` to
    cut, how many steps slopes climb, and how many instances, parts and open leaves fit together."""

    names: Mapping[int, str]
    corners: bool
    slope_steps: int
    together: int
    parts: int
    leaves: int

    def minimise(
        self, over: Regional, ask: Question, limit: float, progress: Callable[[], None], depth: Depth
    ) -> Minimum:
        """Lower bounds of the question's rows, raised until it is answered, `limit` (time.monotonic) is past,
        or `depth` is reached."""
        with torch.no_grad():
            found = over.intervals.minimum(ask.objective)
        if not len(ask.open(found)):
            return Minimum(found, self.names[0], True, ("",) * len(found))
        if time.monotonic() > limit:
            return Minimum(found, self.names[0], False, ("the time was over",) * len(found))
        if over.short is None:
            return self._sweep(over, ask, found, limit, progress, depth)
        with torch.no_grad():
            found = torch.maximum(found, over.short.minimum(ask.objective))
        still, late = ask.open(found), time.monotonic() > limit
        if not len(still) or depth < Depth.backward or late:
            finished = not late or not len(still)
            return Minimum(found, self.names[Depth.short], finished, ask.why(over.short, found))
        rest = self._sweep(over.select(still), ask.select(still), found[still], limit, progress, depth)
        return rest.among(found, still)

    def _sweep(
        self,
        over: Regional,
        ask: Question,
        known: Tensor,
        limit: float,
        progress: Callable[[], None],
        depth: Depth,
    ) -> Minimum:
        """`known` bounds [B, R] raised by a backward pass, and by what may follow if that is not enough."""
        with torch.no_grad():
            found = torch.maximum(known, over.sweeps.minimum(ask.objective))
        still = ask.open(found)
        if not len(still) or depth < Depth.corners:
            return Minimum(found, self.names[Depth.backward], True, ask.why(over.sweeps, found))
        deeper = self._deepen(over.select(still), ask.select(still), found[still], limit, progress, depth)
        return deeper.among(found, still)

    def _deepen(
        self,
        over: Regional,
        ask: Question,
        known: Tensor,
        limit: float,
        progress: Callable[[], None],
        depth: Depth,
    ) -> Minimum:
        """`known` bounds [B, R] of what is open after a backward pass, raised."""
        bounds, best, reached = self._deepest(over), known, Depth.backward
        if self.corners:
            reached = Depth.corners
            with torch.no_grad():
                best = torch.maximum(known, bounds.minimum(ask.objective))
        planes = None
        if depth >= Depth.slopes and len(ask.open(best)) and self.slope_steps:
            reached = Depth.slopes
            found = ascend(
                bounds, ask.objective, steps=self.slope_steps, rate=0.1, target=ask.goal,
                any_row=ask.any_row, deadline=limit, known=best, progress=progress,
            )  # fmt: skip
            best, planes = found.best, found.planes
        nothing_to_cut = not bounds.sites and not divisible(over.region)
        if depth < Depth.branching or math.isinf(limit) or not len(ask.open(best)) or nothing_to_cut:
            return Minimum(best, self.names[reached], True, ask.why(bounds, best))
        best, outlook = self._branch(over, ask, best, planes, limit, progress)
        why, finished = ask.why(bounds, best, outlook), not len(ask.open(best))
        return Minimum(best, self.names[Depth.branching], finished, why)

    def _deepest(self, over: Regional) -> Bounds:
        """The tightest bounds without a question."""
        return over.cut if self.corners else over.sweeps

    def _branch(
        self,
        over: Regional,
        ask: Question,
        known: Tensor,
        planes: Mapping[Key, Planes] | None,
        deadline: float,
        progress: Callable[[], None],
    ) -> tuple[Tensor, dict[int, float]]:
        """`known` [B, R] raised by branch and bound: a tree for each row, or for all rows of an instance; and
        for instances that stay open how many times more time would likely decide them."""
        objective, goal = ask.objective, ask.goal
        if ask.any_row:
            instance, row = torch.nonzero((known <= goal).all(-1))[:, 0], torch.arange(known.shape[1])[None]
        else:
            instance, row = torch.nonzero(known <= goal, as_tuple=True)
            row = row[:, None]
        pick = (instance[:, None], row)
        inputs = objective.inputs
        rows = Objective(
            objective.outputs.expand(len(known), -1, -1)[pick],
            None if inputs is None else inputs.expand(len(known), -1, -1)[pick],
            objective.uncertainty,
        )

        trees = Trees(instance, rows, goal[pick], known[pick])
        trend, effort = Trend(), Effort()
        effort = replace(effort, parts=min(effort.parts, self.parts), leaves=min(effort.leaves, self.leaves))
        if divisible(over.region):
            above = divide(
                trees, over.region, over.inner,
                deadline=deadline, together=min(self.together, effort.parts), trend=trend,
                progress=progress,
            )  # fmt: skip
        else:
            above = branch_and_bound(
                trees, self._deepest(over), over.part, planes=planes,
                deadline=deadline, effort=effort, trend=trend, progress=progress,
            )  # fmt: skip
        raised = known.clone()
        raised[pick] = torch.maximum(known[pick], goal[pick] + above[:, None])
        outlook: dict[int, float] = {}
        for k, factor in zip(instance.tolist(), trend.outlook(), strict=True):
            outlook[k] = max(outlook.get(k, 1.0), factor)
        return raised, outlook
