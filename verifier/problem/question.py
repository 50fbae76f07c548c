"""Linear functions of a network's inputs and outputs, and what is asked of their least values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """Rows of a linear function: `outputs` [B or 1, R, m] over all outputs in order, `inputs` [B or 1, R, N].

    `uncertainty` [R]: each coefficient is known up to this relative error only.
    """

    outputs: Tensor
    inputs: Tensor | None = None
    uncertainty: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Objective:
        """With `change` made to the coefficients of outputs and of inputs."""
        inputs = None if self.inputs is None else change(self.inputs)
        return Objective(change(self.outputs), inputs, self.uncertainty)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Are all rows of `objective` above their `goal` [B, R]; with `any_row`, is one of every instance?"""

    objective: Objective
    goal: Tensor
    any_row: bool

    def undecided(self, found: Tensor) -> Tensor:
        """The instances that bounds [B, R] leave undecided."""
        below = found <= self.goal
        return torch.nonzero(below.all(-1) if self.any_row else below.any(-1))[:, 0]

    def select(self, instances: Tensor) -> Question:
        """The question about these instances; rows that all instances share stay shared."""

        def picked(rows: Tensor) -> Tensor:
            return rows[instances] if len(rows) == len(self.goal) else rows

        return Question(self.objective.each(picked), self.goal[instances], self.any_row)

    def undecided_rows(self, found: Tensor) -> tuple[tuple[Tensor, Tensor], Question]:
        """What bounds [B, R] leave undecided, one by one: (instance [M, 1], row [M, r]) and the question of
        each. All rows of an instance stay together where one of them is enough."""
        if self.any_row:
            instance = self.undecided(found)[:, None]
            row = torch.arange(found.shape[1], device=found.device).expand(len(instance), -1)
        else:
            instance, row = (t[:, None] for t in torch.nonzero(found <= self.goal, as_tuple=True))
        pick = instance, row
        objective = self.objective.each(lambda rows: rows.expand(len(found), -1, -1)[pick])
        return pick, Question(objective, self.goal[pick], self.any_row)
