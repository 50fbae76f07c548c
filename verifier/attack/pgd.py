"""PGD, projected gradient descent (Madry et al. 2018), of any function of a network's inputs and outputs,
over boxes and Lp balls, many descents at once. Different here:

    x ← Π(x + α·(corner(−m) − center)),      m ← 0.75·m + ∇loss/‖∇loss‖₁

`corner(−m)` is the point of the region farthest against m, so one rule gives sign steps for boxes and p = inf
(with the momentum of Dong et al. 2018), normalised steps for p = 2 and sparse ones for p = 1. α falls from
`Effort.first_step` to `LAST_STEP`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from parsers.ir import Value
from verifier.attack.effort import LAST_STEP, Effort
from verifier.network.evaluator import Evaluator, split
from verifier.problem import points
from verifier.problem.region import Region

MOMENTUM = 0.75

# (x [r, n], outputs [r, m], instance [r], aim [r]) → (loss to descend [r], value wanted below 0 [r])
Objective = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, eq=False)
class AttackResult:
    """`lowest` [B]: the objective at `witness` [B, n], the worst point found, in numbers of the inputs' own
    types; +∞ where none of those was seen inside the region. `steps`: network evaluations, one after another.
    """

    lowest: Tensor
    witness: Tensor
    steps: int

    def arrays(self, inputs: Sequence[Value], instance: int) -> dict[str, np.ndarray]:
        """One witness as the network's inputs, in their shapes and types: what `verifier.attack.replay`
        takes."""
        tensors = split(inputs, self.witness[instance : instance + 1].cpu())
        return {v.name: tensors[v.name][0].numpy().astype(v.dtype) for v in inputs}


@dataclass(frozen=True, slots=True, eq=False)
class Jobs:
    """Descents to be made, the most promising first: job j moves a point of `instance[j]`, from the center
    or from a random place, or all of them from places `given` [j, n]; `aim[j]` tells the objective which loss
    to use."""

    instance: Tensor
    aim: Tensor
    at_random: Tensor
    given: Tensor | None = None

    @staticmethod
    def at(places: Tensor, instance: Tensor, aim: Tensor) -> Jobs:
        """One descent from each of `places` [J, n]."""
        return Jobs(instance, aim, torch.zeros_like(instance, dtype=torch.bool), places)

    @staticmethod
    def of(rounds: Sequence[tuple[Tensor, bool]]) -> Jobs:
        """From the aims [B] of all instances, and whether to start at random, round by round."""
        return Jobs(
            torch.cat([torch.arange(len(aims)) for aims, _ in rounds]),
            torch.cat([aims for aims, _ in rounds]),
            torch.cat([torch.full((len(aims),), at_random) for aims, at_random in rounds]),
        )


def search(
    evaluator: Evaluator, region: Region, objective: Objective, jobs: Jobs, effort: Effort
) -> AttackResult:
    """Do the jobs, some at a time, without instances that are done. Deterministic but for the deadline."""
    generator = torch.Generator().manual_seed(effort.seed)
    best = _Best(evaluator, region, objective, effort)
    best.offer(points.center(best.region), torch.arange(len(region), device=evaluator.device))
    _scatter(best, generator)
    for chunk in torch.arange(len(jobs.instance)).split(effort.rows):
        left = chunk[best.undone(jobs.instance[chunk])]
        if time.monotonic() > effort.deadline:
            break
        if len(left):
            _descend(best, jobs, left, generator)
    return best.result()


def _scatter(best: _Best, generator: torch.Generator) -> None:
    """Evaluate random points of the instances that are not done, `effort.rows` at a time."""
    count, rows = len(best.region), best.effort.rows
    for first in range(0, best.effort.samples * count, rows):
        instance = torch.arange(first, first + rows) % count
        instance = instance[best.undone(instance)].to(best.evaluator.device)
        if time.monotonic() > best.effort.deadline:
            return
        if len(instance):
            best.offer(points.sample(best.region.select(instance), generator), instance)


def _descend(best: _Best, jobs: Jobs, rows: Tensor, generator: torch.Generator) -> None:
    """Move the points of some jobs together until their steps, their instances or the time are used up."""
    device, effort = best.evaluator.device, best.effort
    instance, aim = jobs.instance[rows].to(device), jobs.aim[rows].to(device)
    region = best.region.select(instance)
    if jobs.given is None:
        at_random = jobs.at_random[rows].to(device).unsqueeze(1)
        x = torch.where(at_random, points.sample(region, generator), points.center(region))
    else:
        x = points.project(region, jobs.given[rows].to(region.lower))
    momentum = torch.zeros_like(x)
    for step in range(effort.steps):
        x = x.detach().requires_grad_()
        loss, value = best.objective(x, best.evaluator.flat(x), instance, aim)
        # 0·x: a network that only jumps has no gradient, which is 0 and no error
        (gradient,) = torch.autograd.grad(loss.sum() + 0 * x.sum(), x)
        best.keep(x.detach(), value.detach(), instance)
        best.steps += 1
        left = best.undone(instance)
        if time.monotonic() > effort.deadline or not bool(left.any()):
            return
        x = x.detach()
        if not bool(left.all()):
            x, gradient, momentum = x[left], gradient[left], momentum[left]
            instance, aim, region = instance[left], aim[left], region.select(left)
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        scale = gradient.abs().sum(dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        momentum = MOMENTUM * momentum + gradient / scale
        length = effort.first_step * (LAST_STEP / effort.first_step) ** (step / max(effort.steps - 1, 1))
        x = points.project(region, x + length * (points.corner(region, -momentum) - points.center(region)))
    best.offer(x, instance)


class _Best:
    """The lowest value of each instance so far, and where it was."""

    def __init__(self, evaluator: Evaluator, region: Region, objective: Objective, effort: Effort) -> None:
        self.evaluator, self.objective, self.effort = evaluator, objective, effort
        self.exact = region
        self.region = region.to(evaluator.device, evaluator.dtype)
        self.value = torch.full((len(region),), math.inf, device=evaluator.device, dtype=torch.float64)
        self.x = points.center(self.region).clone()
        self.steps = 0

    def undone(self, instance: Tensor) -> Tensor:
        """Which of these instances are worth more steps."""
        return (self.value > self.effort.enough)[instance.to(self.value.device)].to(instance.device)

    def keep(self, x: Tensor, value: Tensor, instance: Tensor) -> None:
        """Take in points [r, n] and their values [r]; NaN and infinity count for nothing."""
        value = torch.where(value.isfinite(), value.double(), math.inf)
        order = value.argsort(descending=True, stable=True)  # the best point of an instance comes last
        for row in order[(value < self.value[instance])[order]].tolist():
            self.value[instance[row]], self.x[instance[row]] = value[row], x[row]

    def offer(self, x: Tensor, instance: Tensor) -> None:
        """Evaluate points and take them in."""
        self.keep(x, self._values(x, instance), instance)
        self.steps += 1

    def result(self) -> AttackResult:
        """The best points as numbers of the inputs' types inside the region, evaluated again as such."""
        exact, inputs = self.exact, self.evaluator.graph.inputs
        center = points.center(exact)
        x = points.project(exact, self.x.to(exact.lower))
        if exact.cutting_ball is not None:
            x = center + (x - center) * (1 - 1e-9)  # room for the rounding of the norm
        witness = points.representable(exact, x, inputs)
        fallback = points.representable(exact, center, inputs)
        witness = torch.where(exact.contains(witness).unsqueeze(1), witness, fallback)
        every = torch.arange(len(exact), device=self.evaluator.device)
        value = self._values(witness.to(self.evaluator.device, self.evaluator.dtype), every)
        value = torch.where(exact.contains(witness).to(value.device) & value.isfinite(), value, math.inf)
        return AttackResult(value, witness, self.steps)

    def _values(self, x: Tensor, instance: Tensor) -> Tensor:
        """The objective at points [r, n]: float64 [r]."""
        together = self.effort.rows
        with torch.no_grad():
            values = [
                self.objective(part, self.evaluator.flat(part), rows, torch.zeros_like(rows))[1]
                for part, rows in zip(x.split(together), instance.split(together), strict=True)
            ]
        return torch.cat(values).double()
