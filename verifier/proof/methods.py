"""The table of methods, and the loop that tries them on a question until it is answered, the cheapest first.

To add one: give it a name in `verifier.problem.method`, write what it does in `refinement` or `branching`,
and put a row here. The command line, results and `recert radius` follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from parsers.errors import OutOfTime
from verifier.bounds.on_demand import BoundsOnDemand
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.question import Question
from verifier.proof.attempt import Attempt, Means
from verifier.proof.branching.gate_splitting import BranchingEffort, branch_and_bound
from verifier.proof.branching.input_splitting import divide, divisible
from verifier.proof.branching.trees import Trees
from verifier.proof.branching.trend import Trend
from verifier.proof.refinement.ascent import AscentOptions, ascend
from verifier.proof.refinement.clipping import DEPTH, clipped
from verifier.proof.refinement.multi_neuron_clipping import multi_neuron_clipped
from verifier.proof.results import Minimum

MULTI_NEURON_SHARE = 0.8  # of the time that is left, at most, where branch and bound follows


@dataclass(frozen=True, slots=True)
class Step:
    """One row. Where `applies` says so, `run` raises what is known; `method` is what results call it, None
    for what bounds nothing. What a step that `narrows` leaves undecided goes on by itself, since the next one
    makes bounds of its own: for as few instances as possible."""

    method: Method | None
    applies: Callable[[Attempt], bool]
    run: Callable[[Attempt], None]
    narrows: bool = False


def minimise(over: BoundsOnDemand, ask: Question, budget: Budget, means: Means) -> Minimum:
    """Lower bounds of the question's rows: try, keep the better, narrow to what is undecided, stop."""
    over = over.until(budget.deadline if budget.strict else torch.inf)
    attempt = Attempt(over, ask, budget, means, torch.full_like(ask.goal, -torch.inf))
    narrows = False
    try:
        for step in METHODS:
            if step.method is not None and not budget.allows(step.method):
                continue
            about = attempt.narrowed() if narrows else attempt
            if not step.applies(about):
                continue
            if attempt.reached is not None:
                budget.check()
            attempt, narrows = about, step.narrows
            step.run(attempt)
            attempt.reached = step.method or attempt.reached
            if not len(attempt.undecided):
                break
    except OutOfTime:
        attempt.late = True
    return attempt.result()


def _interval(attempt: Attempt) -> None:
    with torch.no_grad():
        attempt.found = attempt.over.intervals().minimum(attempt.ask.objective)


def _truncates(attempt: Attempt) -> bool:
    """Only where whole passes take long, or if nothing else is wanted."""
    wanted = attempt.means.long or attempt.budget.method is Method.truncated_crown
    return attempt.over.lookback is not None or (wanted and attempt.over.few is not None)


def _truncated_crown(attempt: Attempt) -> None:
    attempt.raise_by(attempt.over.truncated() if attempt.over.lookback is None else attempt.over.backward())


def _alpha_crown(attempt: Attempt) -> None:
    ask = attempt.ask
    attempt.bounds = attempt.over.deepest()
    found = ascend(
        attempt.bounds,
        ask,
        AscentOptions(attempt.means.slope_steps, rate=0.1),
        known=attempt.found,
        deadline=attempt.budget.deadline,
    )
    attempt.found, attempt.planes = found.best, found.planes


def _clip(attempt: Attempt) -> None:
    deadline, together = attempt.budget.deadline, attempt.means.capacity.together
    attempt.keep(clipped(attempt.over, attempt.by_row(), deadline=deadline, together=together))


def _relaxes_together(attempt: Attempt) -> bool:
    over = attempt.over
    return over.has_gates and over.allows_multi_neuron and not divisible(over.region)


def _multi_neuron(attempt: Attempt) -> None:
    budget = attempt.budget
    share = budget.share(MULTI_NEURON_SHARE) if budget.allows(Method.bab) else budget
    rows, attempt.inherited = multi_neuron_clipped(attempt.over, attempt.by_row(), share.deadline)
    attempt.keep(rows)


def _branches(attempt: Attempt) -> bool:
    return attempt.over.has_gates or divisible(attempt.over.region)


def _bab(attempt: Attempt) -> None:
    """Branch and bound of what is undecided, inside of the half-spaces and boxes that clipping has found."""
    left = attempt.undecided_rows()
    rows, over, budget = attempt.by_row().select(left), attempt.over, attempt.budget
    whole = divisible(over.region)
    place, root, planes = rows.instance, None, attempt.planes
    if attempt.inherited is not None:
        root = over.part(rows.instance, {}, attempt.inherited.select(left), rows.halfspace)
    if root is not None or (bool((rows.depth > DEPTH).any()) and not whole):
        over = over.cut_by(rows.instance, rows.halfspace)
        place, planes = torch.arange(len(left), device=left.device), None
    trees = Trees(place, rows.instance, rows.row[:, 0], rows.ask.objective, rows.ask.goal, rows.known)
    trend, effort = Trend(), BranchingEffort().within(attempt.means.capacity)
    if whole:
        together = min(attempt.means.capacity.together, effort.parts)
        above = divide(trees, over.region, over.inner, budget, together=together, trend=trend)
    else:
        start = root or over.deepest()
        above = branch_and_bound(trees, start, over.part, budget, planes=planes, effort=effort, trend=trend)
    attempt.raise_rows(left, rows.ask.goal + above[:, None])
    attempt.outlook = {}
    for k, factor in zip(rows.instance.tolist(), trend.outlook(), strict=True):
        attempt.outlook[k] = max(attempt.outlook.get(k, 1.0), factor)


METHODS = (
    Step(Method.interval, lambda _: True, _interval),
    Step(Method.truncated_crown, _truncates, _truncated_crown, narrows=True),
    Step(
        Method.crown, lambda a: a.over.lookback is None, lambda a: a.raise_by(a.over.backward()), narrows=True
    ),
    Step(Method.crown_octagon, lambda a: a.over.octagon, lambda a: a.raise_by(a.over.deepest())),
    Step(Method.alpha_crown, lambda a: a.means.slope_steps > 0, _alpha_crown),
    Step(Method.clip, lambda a: a.over.has_gates, _clip),
    Step(Method.multi_neuron, _relaxes_together, _multi_neuron),
    Step(None, Attempt.can_be_attacked, Attempt.attack),
    Step(Method.bab, _branches, _bab),
)
