"""What may change: which input, in which norm and range, which of its time steps and features, one ball for
all of them or one for each step (the L∞,p norm over steps)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from parsers.errors import BadInput, Parameter
from parsers.ir import Graph, Scan
from verifier.network.evaluator import Evaluator, join
from verifier.problem.region import Region, ball_region

_ROWS = 256  # entries traced at once

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class StepChoice:
    """Time steps and features as ranges of indices, both ends included, negative ones counted from the end;
    None stands for all. With `per_step` every step has a ball of its own."""

    steps: Ranges | None = None
    features: Ranges | None = None
    per_step: bool = False


@dataclass(frozen=True, slots=True)
class Perturbation:
    """Input `input` moves in the p-norm, in the range `clip` where one is given; of its time steps and
    features those of `choice`. The other inputs stay as they are."""

    input: str
    p: float = math.inf
    clip: tuple[float, float] | None = None
    choice: StepChoice | None = None

    def balls(self, graph: Graph, arrays: Mapping[str, np.ndarray], group: Tensor | None = None) -> Balls:
        """Around the inputs `arrays` of B samples, name → [B, *shape]. `group` are the network's
        `movable_groups`, where they are known."""
        group = movable_groups(graph, self.input, self.choice) if group is None else group
        return Balls(join(graph.inputs, arrays), self.p, self.clip, group)


@dataclass(frozen=True, slots=True, eq=False)
class Balls:
    """Balls around `center` [B, n] whose radius is still to be said; `p`, `clip` and `group` as in
    `ball_region`."""

    center: Tensor
    p: float
    clip: tuple[float, float] | None
    group: Tensor

    def select(self, instances: Tensor) -> Balls:
        return replace(self, center=self.center[instances])

    def of(self, radius: float | Tensor) -> Region:
        """Of one radius, or of one for each instance [B]."""
        return ball_region(self.center, radius, self.p, clip=self.clip, group=self.group)


def movable_groups(graph: Graph, name: str, choice: StepChoice | None = None) -> Tensor:
    """For `ball_region`: the ball [n] of each entry of all inputs, −1 where it stays as it is.

    Input `name` moves, as `choice` says; other inputs do not. Raises `BadInput` for steps or features
    that do not exist, or where steps cannot be told apart.
    """
    group = {v.name: torch.full((math.prod(v.shape),), -1) for v in graph.inputs}
    if choice is None:
        group[name] = torch.zeros_like(group[name])
    else:
        step = step_of_entries(graph, name)
        chosen, feature = torch.zeros_like(step, dtype=torch.bool), _rank_within(step)
        count = int(step.max()) + 1
        for first, last in _absolute(choice.steps, count, "steps"):
            chosen |= (step >= first) & (step <= last)
        allowed = torch.zeros_like(chosen)
        for first, last in _absolute(choice.features, int(feature.max()) + 1, "features"):
            allowed |= (feature >= first) & (feature <= last)
        ball = step if choice.per_step else torch.zeros_like(step)
        group[name] = torch.where(chosen & allowed & (step >= 0), ball, -1)
    return torch.cat([group[v.name] for v in graph.inputs])


def step_of_entries(graph: Graph, name: str) -> Tensor:
    """The step of the first scan that each entry of input `name` (flattened) goes into; −1 for none.

    Found by running the part of the graph before the scan with NaN in one entry at a time: whatever the
    layout of the input is, the steps that turn into NaN are the ones that the entry is part of.
    Raises `BadInput` if no scan reads this input or if an entry is part of several steps.
    """
    for index, scan in enumerate(graph.nodes):
        if not isinstance(scan, Scan):
            continue
        for sequence in scan.sequences:
            touched = _steps_touched(replace(graph, nodes=graph.nodes[:index], outputs=(sequence,)), name)
            if not bool(touched.any()):
                continue
            if bool((touched.sum(dim=1) > 1).any()):
                raise BadInput(
                    f"entries of input '{name}' reach several time steps at once (a convolution?), so that ",
                    Parameter("steps"),
                    " cannot tell them apart; choose the norm over the whole input",
                )
            return torch.where(touched.any(dim=1), touched.int().argmax(dim=1), -1)
    raise BadInput(
        f"no recurrence reads input '{name}', so that it has no time steps; leave ",
        Parameter("steps"),
        " out",
    )


def _steps_touched(prefix: Graph, name: str) -> Tensor:
    """[entries of input `name`, steps of the only output of `prefix`]."""
    run = Evaluator(prefix)
    shapes = {v.name: v.shape for v in prefix.inputs}
    size = math.prod(shapes[name])
    touched = []
    for rows in torch.arange(size).split(_ROWS):
        x = torch.zeros(len(rows), size, dtype=torch.float64)
        x[torch.arange(len(rows)), rows] = math.nan
        fed = {n: torch.zeros(shape, dtype=torch.float64) for n, shape in shapes.items()}
        (steps,) = run({**fed, name: x.reshape(-1, *shapes[name])}).values()
        touched.append(steps.isnan().flatten(2).any(dim=2) if steps.ndim > 2 else steps.isnan())
    return torch.cat(touched)


def _rank_within(step: Tensor) -> Tensor:
    """The place of each entry among the entries of its step, in the order of the input; −1 for none."""
    rank = torch.full_like(step, -1)
    for t in range(int(step.max()) + 1):
        members = torch.nonzero(step == t).flatten()
        rank[members] = torch.arange(len(members))
    return rank


def _absolute(ranges: Ranges | None, count: int, kind: str) -> Ranges:
    if ranges is None:
        return ((0, count - 1),)
    found = []
    for first, last in ranges:
        low, high = (i + count if i < 0 else i for i in (first, last))
        if not 0 <= low <= high < count:
            asked = str(first) if first == last else f"{first}-{last}"
            raise BadInput(
                Parameter(kind), f" {asked} does not exist: there are only {count}, 0 to {count - 1}"
            )
        found.append((low, high))
    return tuple(found)
