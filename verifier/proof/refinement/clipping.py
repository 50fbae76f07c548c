"""Clip-and-Verify (Zhou et al., NeurIPS 2025): bounds once more, where a counterexample could be.

A backward pass leaves a linear function A·x + b below every row that is undecided. Points at which the row
is at most τ above its goal lie in the half-space A·x + b ≤ goal + τ (`verifier.problem.halfspace`), so that
boxes and planes may be made anew for that part alone. They are tighter, and so is the next linear function,
whose half-space takes the place of the first. Where the middle of the region lies deep inside of what a
half-space takes away, two or three rounds prove what hundreds of parts in branch and bound do not; where it
does not, little is gained, and nothing is tried.

What a bound v over the part says of the whole region is that the row is at least min(v, goal + τ) everywhere:
outside of the half-space it exceeds goal + τ. The same holds for the best of several rows, all of which a
counterexample must violate, with the half-space of any one of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from verifier.bounds.on_demand import BoundsOnDemand
from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import OperandKey, SiteKey
from verifier.problem.halfspace import Halfspace
from verifier.problem.question import Question
from verifier.propagation.sites import RelaxedGate
from verifier.propagation.splits import SplitTerm

ROUNDS = 16
DEPTH = 0.04  # of the middle of the region in what is taken away, at least
TOGETHER = 16  # regions bounded between two looks at the clock
GAIN = 0.02  # of what was missing, at least, in a round that is followed by another


def surplus(goal: Tensor) -> Tensor:
    """τ: little, but more than what rounds when a bound is compared with its goal, in float32 too."""
    return 1e-5 * (1 + goal.abs())


def above(found: Tensor, goal: Tensor) -> Tensor:
    """By how much [M] the best row is above its `goal` [M, r] in the whole region, if it has the bounds
    `found` [M, r] over the part that is left: at most τ."""
    return torch.minimum(found - goal, surplus(goal)).amax(-1)


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """Half-spaces normal·x + constant ≤ 0 that hold all counterexamples, one by one: [B, R, N] and [B, R];
    and the `depth` [B, R] of the region's middle in what they take away: its height above the goal as a share
    of its height above the lowest point of the region."""

    normal: Tensor
    constant: Tensor
    depth: Tensor

    def pick(self, rows: tuple[Tensor, Tensor]) -> Clips:
        """Of rows (instance [M, 1], row [M, r])."""
        return Clips(self.normal[rows], self.constant[rows], self.depth[rows])

    def deepest(self) -> tuple[Halfspace, Tensor]:
        """The half-space of the deepest row, and its depth [B]."""
        depth, row = self.depth.max(-1)
        here = torch.arange(len(row), device=row.device)
        return Halfspace(self.normal[here, row], self.constant[here, row]), depth


@torch.no_grad()
def clips(
    bounds: Bounds,
    ask: Question,
    relaxed: Mapping[SiteKey, RelaxedGate] | None = None,
    multipliers: Mapping[OperandKey, SplitTerm] | None = None,
) -> Clips:
    """Half-spaces from a pass of the rows of `ask` through the planes of `bounds`, or those of `relaxed`,
    with `multipliers` of its splits.

    At every x of the region A·x + constant − uncertainty is at most the row; the sums on the way to the
    half-space's constant round by less than 8u of their terms. Where there is no such function, nothing is
    taken away.
    """
    A, constant = bounds.backward_rows(ask.objective, relaxed, multipliers)
    uncertainty = torch.as_tensor(bounds.uncertainty(ask.objective), dtype=A.dtype, device=A.device)
    unit = torch.finfo(A.dtype).eps / 2
    margin = 8 * unit * (constant.abs() + uncertainty + ask.goal.abs())
    below = constant - uncertainty - ask.goal - surplus(ask.goal) - margin
    usable = torch.isfinite(A).all(-1) & torch.isfinite(below) & ~(bounds.lost | bounds.empty).unsqueeze(-1)
    A, below = A.masked_fill(~usable.unsqueeze(-1), 0.0), below.masked_fill(~usable, 0.0)
    region = bounds.region.within(None)
    middle = (A @ region.middle.unsqueeze(-1)).squeeze(-1) + below
    lowest = region.minimum(A) + below
    depth = torch.where(middle > 0, middle / (middle - lowest).clamp_min(1e-300), 0.0)
    return Clips(A, below, depth)


@dataclass(frozen=True, slots=True, eq=False)
class RowQuestions:
    """What is undecided of a question, one row by itself, or all rows of an instance where one is enough.

    M questions `ask` about the rows `row` [M, r] of `instance` [M]: the bounds `known` [M, r], the
    `halfspace` that holds all counterexamples, and `depth` [M], how deep the region's middle was in the first
    one that did."""

    instance: Tensor
    row: Tensor
    ask: Question
    known: Tensor
    halfspace: Halfspace
    depth: Tensor

    @staticmethod
    def of(bounds: Bounds, ask: Question, known: Tensor) -> RowQuestions:
        """What bounds `known` [B, R] leave undecided, with half-spaces from the planes of `bounds`."""
        rows, single = ask.undecided_rows(known)
        halfspace, depth = clips(bounds, ask).pick(rows).deepest()
        return RowQuestions(rows[0][:, 0], rows[1], single, known[rows], halfspace, depth)

    def select(self, places: Tensor) -> RowQuestions:
        return RowQuestions(
            self.instance[places],
            self.row[places],
            self.ask.select(places),
            self.known[places],
            self.halfspace.select(places),
            self.depth[places],
        )

    @property
    def undecided(self) -> Tensor:
        """The places of those that what is known leaves undecided."""
        return self.ask.undecided(self.known)


def clipped(over: BoundsOnDemand, rows: RowQuestions, *, deadline: float, together: int) -> RowQuestions:
    """What is known of `rows` raised over what their half-spaces leave of the regions, with the last
    half-space of each. Rounds go on while they pay, until the `deadline` (time.monotonic); `together` regions
    at most are bounded at once."""
    instance, ask, depth = rows.instance, rows.ask, rows.depth
    best, halfspace = rows.known.clone(), rows.halfspace
    normal, constant = halfspace.normal.clone(), halfspace.constant.clone()
    found = replace(rows, known=best, halfspace=Halfspace(normal, constant))  # written to in place
    # first the regions all of whose questions are likely answered: one left undecided makes the others vain
    least = depth.new_full((int(instance.max()) + 1,), torch.inf).scatter_reduce(0, instance, depth, "amin")
    order = least[instance].argsort(descending=True, stable=True)
    active = order[depth[order] > DEPTH]
    for _ in range(ROUNDS):
        if not len(active):
            break
        again = []
        for part in active.split(min(together, TOGETHER)):
            if time.monotonic() >= deadline:
                return found
            some = ask.select(part)
            bounds = over.cut_by(instance[part], found.halfspace.select(part)).deepest()
            with torch.no_grad():
                lower = bounds.minimum(some.objective)
            missing = (some.goal - best[part]).amin(-1)
            best[part] = torch.maximum(best[part], some.goal + above(lower, some.goal).unsqueeze(-1))
            rose = missing - (some.goal - best[part]).amin(-1)
            left = some.undecided(best[part])
            if len(left):
                there, deep = clips(bounds, some).deepest()
                pick = left[(deep > DEPTH)[left]]
                normal[part[pick]], constant[part[pick]] = there.normal[pick], there.constant[pick]
                again.append(part[pick[(rose > GAIN * missing)[pick]]])
        active = torch.cat(again) if again else active[:0]
    return found
