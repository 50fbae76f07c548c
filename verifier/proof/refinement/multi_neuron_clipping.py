"""Questions that clipping leaves open, once more with what gates cannot lose together.

Bounds with a `verifier.bounds.multi_neuron` take up to seconds and not hundredths of one, so instances come
one by one, those nearest to being answered first, and each row is clipped by itself. What stays open has
smaller boxes then, inside of which branch and bound begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verifier.bounds.inheritance import Inherited
from verifier.bounds.on_demand import BoundsOnDemand
from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import OperandKey
from verifier.problem.halfspace import Halfspace
from verifier.problem.question import Question
from verifier.proof.refinement.clipping import DEPTH, GAIN, ROUNDS, above, clips


class _Late(Exception):
    """The deadline came while bounds were being made."""


def jointly(
    over: BoundsOnDemand,
    instance: Tensor,
    ask: Question,
    known: Tensor,
    halfspace: Halfspace,
    *,
    deadline: float,
    progress: Callable[[], None],
) -> tuple[Tensor, Halfspace, Inherited]:
    """`known` bounds [M, r] of M questions `ask` about the regions of `instance` [M], cut by `halfspace`,
    raised until the `deadline` (time.monotonic); the last half-space of each; and the boxes of all operands
    where its counterexamples are."""
    found = _Raised(
        known.clone(),
        halfspace.normal.clone(),
        halfspace.constant.clone(),
        torch.zeros_like(halfspace.constant),
        {
            key: (interval.lower[instance], interval.upper[instance])
            for key, (interval, _) in over.deepest.operands.items()
        },
    )

    def watched() -> None:
        progress()
        if time.monotonic() >= deadline:
            raise _Late

    still = ask.open(known)
    short = (ask.goal - known).amin(-1)[still]
    short = short.new_zeros(len(over.region)).scatter_reduce(0, instance[still], short, "amax")
    held = instance[still].unique()
    try:
        for k in held[short[held].argsort()]:
            found.all_of(
                still[instance[still] == k].tolist(), over.select(k.unsqueeze(0)).jointly(watched), ask
            )
    except _Late:
        pass
    return found.best, Halfspace(found.normal, found.constant), Inherited(found.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class _Raised:
    """What is known of M questions, row by row replaced by better; `depth` [M] of the middle of the region in
    what the half-spaces take away, where they are from here."""

    best: Tensor
    normal: Tensor
    constant: Tensor
    depth: Tensor
    boxes: dict[OperandKey, tuple[Tensor, Tensor]]

    def all_of(self, rows: Sequence[int], one: BoundsOnDemand, ask: Question) -> None:
        """The questions at `rows`, all about the region of `one`, the one that is farthest from its answer
        first. If that stays open the others would be answered in vain."""
        questions = {row: ask.select(self.depth.new_tensor([row], dtype=torch.long)) for row in rows}
        for row, question in questions.items():
            self._note(row, one.deepest, question, cut=False)
        distance = (self.best - ask.goal).amax(-1).tolist()
        for row in sorted(rows, key=distance.__getitem__):
            if not self._raise(row, one, questions[row]):
                break

    def _raise(self, row: int, one: BoundsOnDemand, ask: Question) -> bool:
        """The question at `row`: rounds of clipping as long as they pay, first those that keep the boxes
        there are, which are cheap. Whether it is answered."""
        first = torch.zeros_like(self.depth[:1], dtype=torch.long)
        for anew in (False, True):
            for _ in range(ROUNDS):
                if not len(ask.open(self.best[[row]])):
                    return True
                if float(self.depth[row]) <= DEPTH:
                    return False
                there = Halfspace(self.normal[[row]], self.constant[[row]])
                if anew:
                    bounds = one.cut_by(first, there).deepest
                else:
                    boxes = {key: (low[[row]], high[[row]]) for key, (low, high) in self.boxes.items()}
                    bounds = one.part(first, {}, Inherited(boxes), there)
                if not self._note(row, bounds, ask, cut=True):
                    break
        return not len(ask.open(self.best[[row]]))

    def _note(self, row: int, bounds: Bounds, ask: Question, *, cut: bool) -> bool:
        """Keep what `bounds` say of the question at `row`; whether that pays."""
        with torch.no_grad():
            found = bounds.minimum(ask.objective)
        missing = float((ask.goal - self.best[row]).amin())
        if cut:
            found = ask.goal + above(found, ask.goal).unsqueeze(-1)
        self.best[row] = torch.maximum(self.best[row], found[0])
        for key, (interval, _) in bounds.operands.items():
            low, high = self.boxes[key]
            low[row] = torch.maximum(low[row], interval.lower[0])
            high[row] = torch.minimum(high[row], interval.upper[0])
        there, depth = clips(bounds, ask).deepest()
        if depth[0] > self.depth[row]:
            self.normal[row], self.constant[row], self.depth[row] = (
                there.normal[0],
                there.constant[0],
                depth[0],
            )
        return missing - float((ask.goal - self.best[row]).amin()) > GAIN * missing
