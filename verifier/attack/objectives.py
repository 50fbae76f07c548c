"""Look for counterexamples: what to minimise, and from where. What is found proves nothing by itself; a
witness counts when `verifier.attack.replay` confirms it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from parsers.errors import BadInput
from parsers.ir import Graph, Value
from parsers.specification import Case, LinearConstraint
from verifier.attack.effort import Effort
from verifier.attack.pgd import AttackResult, Jobs, Objective, search
from verifier.network.evaluator import Evaluator
from verifier.problem import points
from verifier.problem.region import Region, box_region

MOST_SAMPLES = 1 << 16  # random points a case
SAMPLED = 1 << 22  # numbers fed to cells and layers by the random points of all cases together
ALL_CLASSES = -1  # the aim that descends the smallest margin, whichever class it is of


def attack_margins(
    evaluator: Evaluator, region: Region, labels: Tensor, effort: Effort = Effort()
) -> AttackResult:
    """Look for points of another class; `lowest` is min over k of score[label] − score[k].

    The evaluator's graph has one output, K scores (`verifier.reductions.scores.scores`); `labels` [B]. From
    the center along all classes at once, then along each class by itself, nearest first; then from random
    points."""
    labels = labels.to(evaluator.device)
    with torch.no_grad():
        scores = evaluator.flat(points.center(region).to(evaluator.device, evaluator.dtype))
    count, classes = scores.shape
    if count != len(labels) or not bool(((labels >= 0) & (labels < classes)).all()):
        raise BadInput(f"attack needs one label from 0 to {classes - 1} for each of {count} instances")
    nearest = scores.scatter(1, labels.unsqueeze(1), -math.inf).argsort(dim=1, descending=True).cpu()

    rounds = [(torch.full((count,), ALL_CLASSES), False)]
    for restart in range(effort.restarts):
        rounds += [(nearest[:, k], restart > 0) for k in range(classes - 1)]
    return search(evaluator, region, _margin(labels), Jobs.of(rounds), effort)


def attack_margins_from(
    evaluator: Evaluator, region: Region, labels: Tensor, jobs: Jobs, effort: Effort
) -> AttackResult:
    """As `attack_margins`, with the descents `jobs`, each along the class that is its aim."""
    return search(evaluator, region, _margin(labels.to(evaluator.device)), jobs, effort)


def _margin(labels: Tensor) -> Objective:
    """The margin of the class aimed at, or the smallest; wanted is any below 0."""

    def objective(x: Tensor, y: Tensor, instance: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
        del x
        own = labels[instance].unsqueeze(1)
        margins = (y.gather(1, own) - y).scatter(1, own, math.inf)
        lowest = margins.amin(dim=1)
        aimed = margins.gather(1, aim.clamp(min=0).unsqueeze(1)).squeeze(1)
        return torch.where(aim == ALL_CLASSES, lowest, aimed), lowest

    return objective


def attack_cases(
    evaluator: Evaluator, cases: Sequence[Case], effort: Effort = Effort(), starts: Tensor | None = None
) -> AttackResult:
    """Look for inputs that satisfy all constraints of a case; `lowest` is the largest left side.

    The cases are the instances. With `starts` [J, n] the one case is attacked from there alone. Witnesses
    come from a case's `witnesses` boxes; a case without gets +∞. Strict comparisons are left to the caller's
    exact check, `Specification.satisfied_by`.
    """
    graph = evaluator.graph
    possible = [k for k, case in enumerate(cases) if case.witnesses is not None]
    lowest = torch.full((len(cases),), math.inf, dtype=torch.float64)
    witness = torch.zeros(len(cases), sum(math.prod(v.shape) for v in graph.inputs), dtype=torch.float64)
    if not possible:
        return AttackResult(lowest, witness, 0)
    chosen = [cases[k] for k in possible]
    region = box_region(_ends(chosen, graph.inputs, "lower"), _ends(chosen, graph.inputs, "upper"))
    outputs = [Value(name, graph.shape(name)) for name in graph.outputs]
    on_inputs, on_outputs = (_rows(chosen, values).to(evaluator.device) for values in (graph.inputs, outputs))
    constants = _padded([torch.tensor([c.constant for c in _constraints(case)]) for case in chosen])
    constants = constants.to(evaluator.device)

    def objective(x: Tensor, y: Tensor, instance: Tensor, aim: Tensor) -> tuple[Tensor, Tensor]:
        left = on_outputs[instance] @ y.double().unsqueeze(-1) + on_inputs[instance] @ x.double().unsqueeze(
            -1
        )
        left = left.squeeze(-1) + constants[instance]
        largest = left.amax(dim=1)
        all_that_fail = (left - effort.enough).clamp(min=0).sum(dim=1)
        return torch.where(aim == 1, all_that_fail, largest), largest

    if starts is not None:
        first = torch.zeros(len(starts), dtype=torch.int64)
        found = search(evaluator, region, objective, Jobs.at(starts, first, first + 1), effort)
        return AttackResult(found.lowest.cpu(), found.witness.cpu(), found.steps)
    every = torch.ones(len(chosen), dtype=torch.int64)
    rounds = [(every * (turn % 2), turn > 1) for turn in range(2 * max(effort.restarts, 1))]
    effort = replace(effort, samples=_samples(graph, len(chosen)))
    found = search(evaluator, region, objective, Jobs.of(rounds), effort)
    lowest[possible], witness[possible] = found.lowest.cpu(), found.witness.cpu()
    return AttackResult(lowest, witness, found.steps)


def _samples(graph: Graph, cases: int) -> int:
    """Random points a case: many where the network is small, few where it is long."""
    size = sum(math.prod(v.shape) for v in graph.inputs)
    steps = 1 + sum(scan.length for scan in graph.scans())
    return min(SAMPLED // (size * steps * cases), MOST_SAMPLES)


def _ends(cases: Sequence[Case], inputs: Sequence[Value], end: str) -> Tensor:
    boxes = [case.witnesses for case in cases if case.witnesses is not None]
    rows = [np.concatenate([getattr(box[v.name], end).reshape(-1) for v in inputs]) for box in boxes]
    return torch.as_tensor(np.stack(rows))


def _constraints(case: Case) -> tuple[LinearConstraint, ...]:
    """Never empty: no constraint at all holds everywhere, as −1 ≤ 0 does."""
    return case.constraints or (LinearConstraint({}, -1.0),)


def _rows(cases: Sequence[Case], values: Sequence[Value]) -> Tensor:
    """Coefficients [cases, K, Σ sizes] of the constraints on `values`."""
    return _padded(
        [
            torch.stack([torch.cat([_coefficients(c, v) for v in values]) for c in _constraints(case)])
            for case in cases
        ]
    )


def _coefficients(constraint: LinearConstraint, value: Value) -> Tensor:
    array = constraint.coefficients.get(value.name, np.zeros(value.shape))
    return torch.as_tensor(array, dtype=torch.float64).reshape(-1)


def _padded(tables: Sequence[Tensor]) -> Tensor:
    """Stack tables [K, …] of different K, repeating the last row of short ones."""
    most = max(len(table) for table in tables)
    return torch.stack([torch.cat([t, t[-1:].expand(most - len(t), *t.shape[1:])]) for t in tables]).double()
