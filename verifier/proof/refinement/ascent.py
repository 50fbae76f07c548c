"""α-CROWN (Xu et al. 2021) and β-CROWN (Wang et al. 2021): slopes and multipliers optimised for the question.

Any slopes are sound, and so are any multipliers ≥ 0 of splits: both are free parameters. They are found by
gradient ascent on the objective's lower bound, through the last backward pass, with offsets recomputed for
every step (their gradient is −p*, the point where the plane touches: relaxations.offsets).

What differs here: the boxes of the sites stay as they are; gates of several operands have a slope for each;
over boxes that octagon constraints cut, offsets over samples may show the way between exact ones. Only
iterates with exact offsets count as bounds, and the best one of each row is kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations import Planes
from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import OperandKey, SiteKey
from verifier.problem.question import Question
from verifier.proof.refinement.adam import Adam
from verifier.proof.refinement.multipliers import Multipliers, multipliers
from verifier.proof.refinement.slopes import Slopes, detached
from verifier.propagation.sites import Site

DECAY = 0.97  # of the rate, in a step


@dataclass(frozen=True, slots=True)
class AscentOptions:
    """`steps` of Adam with that `rate`. Sites that lose less than the share `minor` of what the worst site
    loses, in every instance, keep their planes."""

    steps: int
    rate: float
    minor: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Ascent:
    """What an ascent found: lower bounds `best` [B, R]; and its last pass: the `planes` of every site,
    multipliers `beta` [2, B, n] of every split operand (of its upper end, of its lower end), and the
    `coefficients` [B, R, n] of every gate's output."""

    best: Tensor
    planes: Mapping[SiteKey, Planes]
    beta: Mapping[OperandKey, Tensor]
    coefficients: Mapping[SiteKey, Tensor]


def ascend(
    bounds: Bounds,
    ask: Question,
    options: AscentOptions,
    *,
    known: Tensor | float = -torch.inf,
    beta: Mapping[OperandKey, Tensor] | None = None,
    deadline: float = float("inf"),
) -> Ascent:
    """Raise the rows of `ask` from the planes of `bounds` and from multipliers `beta`.

    One set of slopes and multipliers per instance, shared by its rows. Stops after the steps, at `deadline`
    (time.monotonic), or when the question is answered. `known` bounds are kept where nothing better is found.
    """
    state = _State(bounds, ask, options, known, {} if beta is None else beta)
    exact, left = not state.sampled, options.steps if state.parameters else 0
    while left and not bool(state.done().all()):
        late = time.monotonic() > deadline
        if late and exact:
            break
        left -= 1
        exact = not state.sampled or late or not left or state.promising()
        state.step(exact=exact, move=left > 0 and not late)
    return state.result()


class _State:
    """What changes from step to step: planes, multipliers, the last pass, and the `best` bounds so far."""

    def __init__(
        self,
        bounds: Bounds,
        ask: Question,
        options: AscentOptions,
        known: Tensor | float,
        beta: Mapping[OperandKey, Tensor],
    ) -> None:
        self._bounds, self._ask = bounds, ask
        self._coefficients: dict[SiteKey, Tensor] = {}
        self._unusable = (bounds.lost | bounds.empty).unsqueeze(-1)
        with torch.no_grad():
            terms = multipliers(bounds, beta)
            self._found = bounds.backward_minimum(ask.objective, None, terms, self._coefficients)
            self.best = bounds.settled(self._kept(known, self._found))
        groups: dict[int, list[Site]] = {}
        for site in _major(bounds, self._coefficients, options.minor):
            groups.setdefault(site.step.number, []).append(site)
        self._slopes = [Slopes(sites) for sites in groups.values()]
        self._multipliers = Multipliers(bounds, self._coefficients, beta)
        self.parameters = [steps for group in self._slopes for steps in group.steps]
        self.parameters += list(self._multipliers.steps.values())
        self._adam = Adam(self.parameters, options.rate, decay=DECAY)
        self._planes = {key: site.planes for key, site in bounds.sites.items()}
        self._beta = beta
        self.sampled = any(group.sampled for group in self._slopes)

    def done(self) -> Tensor:
        """The rows [B, R] that are above their goal, or whose instance has one that is enough."""
        above = self.best > self._ask.goal
        return above.any(-1, keepdim=True).expand_as(above) if self._ask.any_row else above

    def promising(self) -> bool:
        """Whether the last estimate is so far above the goal that some instance may be done now: by a
        twentieth of what was missing, as samples overrate planes."""
        goal, any_row = self._ask.goal, self._ask.any_row
        missing = (goal - self.best).clamp_min(0.0)
        above = (self._found.detach() > goal + 0.05 * missing) | (missing == 0)
        was = missing == 0
        if any_row:
            return bool((above.any(-1) & ~was.any(-1)).any())
        return bool((above.all(-1) & ~was.all(-1)).any())

    def step(self, *, exact: bool, move: bool) -> None:
        """One pass with the parameters as they are; then they `move` along its gradient."""
        asked = dict(self._coefficients) if self._found.shape[-1] == 1 else None
        self._coefficients.clear()
        moved = dict(pair for group in self._slopes for pair in group.planes(asked, exact))
        self._planes |= moved
        self._beta = self._multipliers.beta()
        bounds = self._bounds
        self._found = found = bounds.backward_minimum(
            self._ask.objective,
            bounds.relaxed_with(moved),
            multipliers(bounds, self._beta),
            self._coefficients,
        )
        worth = found.masked_fill(~torch.isfinite(found) | self._unusable | self.done(), 0.0)
        if exact:
            self.best = self._kept(self.best, found)
        if move:
            self._adam.step(torch.autograd.grad(worth.sum(), self.parameters, allow_unused=True))
            self._multipliers.project()

    def result(self) -> Ascent:
        return Ascent(
            self.best,
            {key: detached(found) for key, found in self._planes.items()},
            {key: value.detach() for key, value in self._beta.items()},
            {key: value.detach() for key, value in self._coefficients.items()},
        )

    def _kept(self, best: Tensor | float, found: Tensor) -> Tensor:
        found = found.detach()
        found = found.masked_fill(~torch.isfinite(found) | self._unusable, -torch.inf)
        return torch.maximum(found, torch.as_tensor(best, dtype=found.dtype, device=found.device))


def _major(bounds: Bounds, coefficients: Mapping[SiteKey, Tensor], minor: float) -> list[Site]:
    """Sites whose planes lose, in some instance, at least the share `minor` of what the worst site loses."""
    if not minor:
        return list(bounds.sites.values())
    reached = [site for key, site in bounds.sites.items() if key in coefficients]
    if not reached:
        return []
    lost = torch.stack([(coefficients[s.key].abs().amax(1) * s.gap()).sum(-1) for s in reached])
    share = (lost / lost.amax(0).clamp_min(1e-300)).nan_to_num(1.0).amax(1)
    return [site for site, s in zip(reached, share.tolist(), strict=True) if s >= minor]
