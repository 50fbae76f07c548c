"""A question on its way through the methods: what is known of it, and what each method leaves to the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from relaxations import Planes
from verifier.bounds.inheritance import Inherited
from verifier.bounds.on_demand import BoundsOnDemand
from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import SiteKey
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.question import Question
from verifier.proof.branching.guided_attack import lowest
from verifier.proof.memory import Capacity
from verifier.proof.refinement.clipping import RowQuestions
from verifier.proof.refinement.relaxation_error import why
from verifier.proof.results import Minimum


@dataclass(frozen=True, slots=True)
class Means:
    """What proofs about one network have: how much goes together, how many `slope_steps` an ascent takes, and
    whether it is `long`, so that truncated passes are tried first."""

    capacity: Capacity
    slope_steps: int
    long: bool


@dataclass(slots=True, eq=False)
class Attempt:
    """What is known so far of the question `ask` about the regions of `over`: bounds `found` [B, R], by the
    method `reached`, from the boxes and planes of `bounds` (None for intervals).

    For what comes next: better `planes` of sites; what is undecided by `rows`; the boxes that these have
    `inherited`; instances that are `settled` [B] by a counterexample. `outlook`, by instance: how many times
    more time would likely decide it. `late`: the deadline kept a method from being tried. What came before
    what is undecided was asked by itself is `outer`."""

    over: BoundsOnDemand
    ask: Question
    budget: Budget
    means: Means
    found: Tensor
    reached: Method | None = None
    bounds: Bounds | None = None
    planes: Mapping[SiteKey, Planes] | None = None
    rows: RowQuestions | None = None
    inherited: Inherited | None = None
    outlook: dict[int, float] | None = None
    late: bool = False
    outer: Attempt | None = None
    settled: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.settled = torch.zeros_like(self.found[:, 0], dtype=torch.bool)

    @property
    def undecided(self) -> Tensor:
        """The instances that are neither proved nor settled."""
        left = self.ask.undecided(self.found)
        return left[~self.settled[left]]

    def narrowed(self) -> Attempt:
        """The same about what is undecided alone."""
        left = self.undecided
        over, ask = self.over.select(left), self.ask.select(left)
        budget = self.budget.among(left)
        return Attempt(over, ask, budget, self.means, self.found[left], self.reached, outer=self)

    def raise_by(self, bounds: Bounds) -> None:
        """Keep what `bounds` say where it is more than what is known."""
        self.bounds = bounds
        with torch.no_grad():
            self.found = torch.maximum(self.found, bounds.minimum(self.ask.objective))

    def by_row(self) -> RowQuestions:
        """What is undecided, row by row. Half-spaces are from planes of small volume: slopes optimised for
        the lowest point leave the middle of a region lower."""
        if self.rows is None:
            self.rows = RowQuestions.of(self.over.deepest(), self.ask, self.found)
        return self.rows

    def keep(self, rows: RowQuestions) -> None:
        """`rows` of which more is known now."""
        self.rows, self.bounds = rows, self.over.deepest()
        self.found = self.found.index_put((rows.instance[:, None], rows.row), rows.known)

    def raise_rows(self, places: Tensor, lower: Tensor) -> None:
        """Keep bounds [M, r] of the rows at `places` of `by_row` where they are more than what is known."""
        rows = self.by_row()
        known = rows.known.index_copy(0, places, torch.maximum(rows.known[places], lower))
        self.keep(replace(rows, known=known))

    def undecided_rows(self) -> Tensor:
        """The places of `by_row` that are neither proved nor settled."""
        rows = self.by_row()
        left = rows.undecided
        return left[~self.settled[rows.instance[left]]]

    def can_be_attacked(self) -> bool:
        return self.budget.refute is not None and self.budget.allows(Method.clip)

    def attack(self) -> None:
        """Look for counterexamples where the half-spaces of what is undecided lie deepest."""
        assert self.budget.refute is not None
        left = self.undecided_rows()
        some = self.by_row().select(left)
        starts = lowest(self.over.region.select(some.instance), some.halfspace.normal)
        settled = self.budget.refute(some.instance, some.row[:, 0], starts)
        self.settled[some.instance[settled.to(some.instance.device)]] = True

    def result(self) -> Minimum:
        """What came of it."""
        assert self.reached is not None
        late = self.late or (self.reached.about.aims and self.budget.over)
        finished = not late or not len(self.undecided)
        reasons = why(self.ask, self.bounds, self.found, self.outlook)
        if self.late:
            reasons = tuple(text and f"{text}; the time was over" for text in reasons)
        found, outer = Minimum(self.found, self.reached, finished, reasons), self.outer
        while outer is not None:
            found, outer = found.among(outer.found, outer.undecided), outer.outer
        return found
