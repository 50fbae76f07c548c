"""Clip-and-Verify (Zhou et al., NeurIPS 2025) with multi-neuron bounds, for what clipping leaves undecided.

Bounds with a `verifier.bounds.multi_neuron` take up to seconds and not hundredths of one, so instances come
one by one, those nearest to being answered first, and each row is clipped by itself. What stays undecided
has smaller boxes then, inside of which branch and bound begins."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from parsers.errors import OutOfTime
from verifier.bounds.inheritance import Inherited
from verifier.bounds.on_demand import BoundsOnDemand
from verifier.bounds.region_bounds import Bounds
from verifier.network.keys import OperandKey
from verifier.problem.halfspace import Halfspace
from verifier.problem.question import Question
from verifier.proof.refinement.clipping import DEPTH, GAIN, ROUNDS, RowQuestions, above, clips


def multi_neuron_clipped(
    over: BoundsOnDemand, rows: RowQuestions, deadline: float
) -> tuple[RowQuestions, Inherited]:
    """What is known of `rows` raised until the `deadline` (time.monotonic), with the last half-space of each;
    and the boxes of all operands where its counterexamples are."""
    instance, ask = rows.instance, rows.ask
    found = _Raised(
        rows.known.clone(),
        Halfspace(rows.halfspace.normal.clone(), rows.halfspace.constant.clone()),
        torch.zeros_like(rows.depth),
        {
            key: (interval.lower[instance], interval.upper[instance])
            for key, (interval, _) in over.deepest().operands.items()
        },
    )
    left = rows.undecided
    missing = (ask.goal - rows.known).amin(-1)[left]
    missing = missing.new_zeros(len(over.region)).scatter_reduce(0, instance[left], missing, "amax")
    waiting = instance[left].unique()
    with suppress(OutOfTime):
        for k in waiting[missing[waiting].argsort()]:
            one = over.select(k.unsqueeze(0)).with_multi_neuron(deadline)
            found.all_of(left[instance[left] == k].tolist(), one, ask)
    return replace(rows, known=found.best, halfspace=found.halfspace), Inherited(found.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class _Raised:
    """What is known of M questions, row by row replaced by better in place; `depth` [M] of the middle of the
    region in what the half-spaces take away, where they are from here."""

    best: Tensor
    halfspace: Halfspace
    depth: Tensor
    boxes: dict[OperandKey, tuple[Tensor, Tensor]]

    def all_of(self, rows: Sequence[int], one: BoundsOnDemand, ask: Question) -> None:
        """The questions at `rows`, all about the region of `one`, the one that is farthest from its answer
        first. If that stays undecided the others would be answered in vain."""
        questions = {row: ask.select(self.depth.new_tensor([row], dtype=torch.long)) for row in rows}
        for row, question in questions.items():
            self._note(row, one.deepest(), question, cut=False)
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
                if not len(ask.undecided(self.best[[row]])):
                    return True
                if float(self.depth[row]) <= DEPTH:
                    return False
                there = Halfspace(self.halfspace.normal[[row]], self.halfspace.constant[[row]])
                if anew:
                    bounds = one.cut_by(first, there).deepest()
                else:
                    boxes = {key: (low[[row]], high[[row]]) for key, (low, high) in self.boxes.items()}
                    bounds = one.part(first, {}, Inherited(boxes), there)
                if not self._note(row, bounds, ask, cut=True):
                    break
        return not len(ask.undecided(self.best[[row]]))

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
            self.halfspace.normal[row] = there.normal[0]
            self.halfspace.constant[row] = there.constant[0]
            self.depth[row] = depth[0]
        return missing - float((ask.goal - self.best[row]).amin()) > GAIN * missing
