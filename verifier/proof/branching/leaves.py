"""Subproblems that a search has left, as rows of tensors, and which of them are split next."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verifier.proof.branching.records import Rows
from verifier.proof.branching.trees import Trees, next_leaves


@dataclass(frozen=True, slots=True, eq=False)
class Leaves(Rows):
    """Undecided subproblems [N] over `Offsets` with P operand units and S entries of planes: their `tree`,
    how far the best row is `above` its goal; splits `part_*` [N, P], infinite where there is none; boxes `*`
    [N, P]; `planes` [N, 2, S]; multipliers `beta` [N, 2, P]; candidates for the next split [N, m]: `unit`,
    `point`, and `worth`, 0 where there is nothing to split; the half-space of its counterexamples, `normal`
    [N, n] and `constant` [N], the `depth` [N] of the region's middle in what that takes away, and how deep it
    was when the boxes of the part were last made anew."""

    tree: Tensor
    above: Tensor
    part_lower: Tensor
    part_upper: Tensor
    lower: Tensor
    upper: Tensor
    planes: Tensor
    beta: Tensor
    unit: Tensor
    point: Tensor
    worth: Tensor
    normal: Tensor
    constant: Tensor
    depth: Tensor
    renewed: Tensor

    def halves(self, unit: Tensor, point: Tensor) -> Leaves:
        """Both parts of every leaf cut at `unit`, `point` [N]: all lower halves, then all upper ones."""
        place = torch.arange(len(self.tree), device=self.tree.device)
        twice = self.select(place.repeat(2))
        twice.part_upper[place, unit] = point
        twice.part_lower[place + len(place), unit] = point
        return twice


def worth_splitting(leaves: Leaves, trees: Trees, count: int, most: int) -> Tensor:
    """Up to `count` leaves to split; with more than `most` of them, those nearest to being proved."""
    ready = leaves.worth[:, 0] > 0
    if len(leaves.tree) <= most:
        return next_leaves(trees, leaves.tree, leaves.above, ready, count)
    places = torch.nonzero(ready)[:, 0]
    return places[leaves.above[places].argsort(descending=True)][:count]
