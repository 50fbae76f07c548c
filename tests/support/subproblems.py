"""Questions for branch and bound: a tree for every row of one instance."""

from __future__ import annotations

import torch
from torch import Tensor

from verifier.problem.question import Objective
from verifier.proof.branching.trees import Trees


def tree_of_each(rows: Tensor, goal: Tensor, known: Tensor) -> Trees:
    """`rows` [R, m] of the first instance, each with its `goal` and the bound that is `known` [R]."""
    first = torch.zeros(len(rows), dtype=torch.int64)
    objective = Objective(rows.unsqueeze(1))
    return Trees(first, first, torch.arange(len(rows)), objective, goal[:, None], known[:, None])
