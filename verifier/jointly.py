"""Questions that clipping leaves open, once more with what gates cannot lose together.

Bounds with a `verifier.joint` take seconds and not hundredths of one, so instances come one by one, those
nearest to being answered first, and each row is clipped by itself. What stays open has smaller boxes then,
inside of which branch and bound begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from verifier.clipping import DEPTH, GAIN, ROUNDS, above, clips
from verifier.halfspace import Halfspace
from verifier.inherit import Inherited
from verifier.question import Question
from verifier.regional import Regional
from verifier.site import Key


class _Late(Exception):
    """The deadline came while bounds were being made."""


def jointly(
    over: Regional,
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
            one = over.select(k.unsqueeze(0)).jointly(watched)
            for row in still[instance[still] == k].tolist():
                found.raise_(row, one, ask.select(still.new_tensor([row])))
    except _Late:
        pass
    return found.best, Halfspace(found.normal, found.constant), Inherited(found.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class _Raised:
    """What is known of M questions, row by row replaced by better."""

    best: Tensor
    normal: Tensor
    constant: Tensor
    boxes: dict[Key, tuple[Tensor, Tensor]]

    def raise_(self, row: int, one: Regional, ask: Question) -> None:
        """The question at `row`, about the region of `one`: rounds of clipping go on while they pay."""
        there = Halfspace(self.normal[[row]], self.constant[[row]])
        for _ in range(ROUNDS):
            cut = bool(there.normal.any())
            bounds = (
                one.cut_by(torch.zeros_like(ask.goal[:, 0], dtype=torch.int64), there) if cut else one
            ).deepest
            with torch.no_grad():
                found = bounds.minimum(ask.objective)
            missing = (ask.goal - self.best[row]).amin()
            if cut:
                found = ask.goal + above(found, ask.goal).unsqueeze(-1)
            self.best[row] = torch.maximum(self.best[row], found[0])
            for key, (interval, _) in bounds.operands.items():
                self.boxes[key][0][row], self.boxes[key][1][row] = interval.lower[0], interval.upper[0]
            rose = missing - (ask.goal - self.best[row]).amin()
            there, depth = clips(bounds, ask).deepest()
            done = not len(ask.open(self.best[[row]])) or float(depth[0]) <= DEPTH
            if done or (cut and rose <= GAIN * missing):
                break
            self.normal[row], self.constant[row] = there.normal[0], there.constant[0]
