"""Linear functions of a network's inputs and outputs, and what is asked of their least values."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Are all rows of `objective` above their `goal` [B, R]; with `any_row`, is one of every instance?"""

    objective: Objective
    goal: Tensor
    any_row: bool

    def open(self, found: Tensor) -> Tensor:
        """The instances that bounds [B, R] leave open."""
        below = found <= self.goal
        return torch.nonzero(below.all(-1) if self.any_row else below.any(-1))[:, 0]

    def select(self, instances: Tensor) -> Question:
        def picked(rows: Tensor) -> Tensor:
            return rows[instances] if len(rows) == len(self.goal) else rows

        o = self.objective
        inputs = None if o.inputs is None else picked(o.inputs)
        objective = Objective(picked(o.outputs), inputs, o.uncertainty)
        return Question(objective, self.goal[instances], self.any_row)

    def open_rows(self, found: Tensor) -> tuple[tuple[Tensor, Tensor], Question]:
        """What bounds [B, R] leave open, one by one: (instance [M, 1], row [M, r]) and the question of each.
        All rows of an instance stay together where one of them is enough."""
        if self.any_row:
            instance = self.open(found)[:, None]
            row = torch.arange(found.shape[1], device=found.device).expand(len(instance), -1)
        else:
            instance, row = (t[:, None] for t in torch.nonzero(found <= self.goal, as_tuple=True))
        o, pick = self.objective, (instance, row)
        inputs = None if o.inputs is None else o.inputs.expand(len(found), -1, -1)[pick]
        outputs = o.outputs.expand(len(found), -1, -1)[pick]
        return pick, Question(Objective(outputs, inputs, o.uncertainty), self.goal[pick], self.any_row)
