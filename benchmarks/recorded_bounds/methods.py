"""The bounds that are recorded of a network: of every method, as far as its size allows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

from benchmarks.recorded_bounds.networks import Case
from parsers.errors import OutOfTime
from verifier.attack.effort import Effort
from verifier.attack.objectives import attack_margins
from verifier.bounds.on_demand import BoundsOnDemand
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import Bounds, bound_region
from verifier.network.evaluator import Evaluator
from verifier.network.program import Block, compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.question import Objective, Question
from verifier.problem.region import Region, ball_region, box_region
from verifier.proof.branching.gate_splitting import BranchingEffort, branch_and_bound
from verifier.proof.branching.input_splitting import divide, divisible
from verifier.proof.branching.trees import Trees
from verifier.proof.refinement.ascent import AscentOptions, ascend
from verifier.proof.refinement.clipping import RowQuestions, clipped
from verifier.proof.refinement.multi_neuron_clipping import multi_neuron_clipped

MOST_ROWS = 6
SMALL = 300_000  # units of all gates at all time steps, times inputs; beyond, deep methods take too long here
FEW = 400  # units of all gates at all time steps: beyond, gates taken together take too long here
BEYOND = 0.05  # how far above the first bound the goal of deep methods lies


RECORDED = {
    "interval": Method.interval,
    "backward": Method.crown,
    "backward l2": Method.crown,
    "deployed": Method.crown,
    "lookback 2": Method.truncated_crown,
    "corners": Method.crown_octagon,
    "slopes": Method.alpha_crown,
    "clipping": Method.clip,
    "half-spaces": Method.clip,
    "joint": Method.multi_neuron,
    "branching": Method.bab,
    "few inputs": Method.crown_octagon,
    "input splitting": Method.bab,
    "attack": None,
}
"""What is asked, by the names of the first record, and the method that answers."""


def bounds_of(case: Case) -> Iterator[tuple[str, Tensor]]:
    """(a name of `RECORDED`, array) for everything that applies to the network."""
    program = compile_program(case.graph)
    size = sum(form.size for form in program.outputs)
    eye = torch.eye(size, dtype=torch.float64)[: MOST_ROWS // 2]
    rows = Objective(torch.cat([eye, -eye]).unsqueeze(0))
    region = ball_region(case.point, case.eps, math.inf)
    exact, deployed = RoundingModel(deployed=False), RoundingModel()
    with torch.no_grad():
        yield "interval", bound_region(program, region, exact, BoundOptions(backward=False)).minimum(rows)
        plain = bound_region(program, region, exact)
        yield "backward", plain.minimum(rows)
        euclidean = ball_region(case.point, case.eps, 2.0)
        yield "backward l2", bound_region(program, euclidean, exact).minimum(rows)
        yield "deployed", bound_region(program, region, deployed).minimum(rows)
        yield "lookback 2", bound_region(program, region, exact, BoundOptions(lookback=2)).minimum(rows)
    if _entries(plain) > SMALL:
        return
    over = BoundsOnDemand(program, region, deployed)
    with torch.no_grad():
        known = over.deepest().minimum(rows)
        yield "corners", known
    yield "slopes", _ascended(over.deepest(), rows)
    if not over.deepest().sites or not bool(torch.isfinite(known).all()):
        return
    yield from _deep(program, over, region, rows, known, case)


def _deep(
    program: Block, over: BoundsOnDemand, region: Region, rows: Objective, known: Tensor, case: Case
) -> Iterator[tuple[str, Tensor]]:
    goal = known + BEYOND * (1 + known.abs())
    ask = Question(rows, goal, False)
    rows_left = RowQuestions.of(over.deepest(), ask, known)
    found = clipped(over, rows_left, deadline=math.inf, together=16)
    yield "clipping", found.known
    yield "half-spaces", torch.cat([found.halfspace.normal.flatten(), found.halfspace.constant])
    if over.allows_multi_neuron and _units(over.deepest()) < FEW:
        more, _ = multi_neuron_clipped(over, found, math.inf)
        yield "joint", more.known
    trees = _trees(rows_left)
    effort = BranchingEffort(nodes=60, parts=64)
    yield "branching", branch_and_bound(trees, over.deepest(), over.part, Budget(), effort=effort)
    yield from _few_inputs(program, region, rows, case)
    labels = torch.zeros(1, dtype=torch.int64)
    if sum(form.size for form in program.outputs) > 1:
        effort = Effort(2, 8, 0)
        yield "attack", attack_margins(Evaluator(case.graph), region, labels, effort).lowest


def _few_inputs(program: Block, region: Region, rows: Objective, case: Case) -> Iterator[tuple[str, Tensor]]:
    """The same network where only three inputs move, so that the inputs themselves can be split."""
    lower, upper = region.lower.clone(), region.upper.clone()
    lower[:, 3:] = upper[:, 3:] = case.point[:, 3:]
    few = box_region(lower[0], upper[0])
    near = BoundsOnDemand(program, few, RoundingModel())
    with torch.no_grad():
        start = near.deepest().minimum(rows)
    yield "few inputs", start
    if not divisible(few):
        return
    outputs = near.deepest().output_interval()
    goal = start + 1e-3 * (outputs.upper - outputs.lower).amax()
    trees = _trees(RowQuestions.of(near.deepest(), Question(rows, goal, False), start))
    with suppress(OutOfTime):  # not decided in a few rounds: no number
        yield "input splitting", divide(trees, few, near.inner, _Rounds(), together=16)


def _ascended(bounds: Bounds, rows: Objective) -> Tensor:
    goal = torch.full((len(bounds.region), rows.outputs.shape[1]), math.inf, dtype=torch.float64)
    return ascend(bounds, Question(rows, goal, False), AscentOptions(steps=6, rate=0.1)).best


def _trees(rows: RowQuestions) -> Trees:
    return Trees(rows.instance, rows.instance, rows.row[:, 0], rows.ask.objective, rows.ask.goal, rows.known)


@dataclass(frozen=True)
class _Rounds(Budget):
    """Ends where it is looked at for the sixth time, as a search does in every round."""

    left: list[int] = field(default_factory=lambda: [6])

    @property
    def over(self) -> bool:
        self.left[0] -= 1
        if not self.left[0]:
            raise OutOfTime("too many rounds")
        return False


def _entries(bounds: Bounds) -> int:
    """Inputs times units of all gates at all time steps: about what the intermediate bounds cost."""
    return _units(bounds) * bounds.region.lower.shape[-1]


def _units(bounds: Bounds) -> int:
    return sum(site.step.size for site in bounds.sites.values())
