"""Where a backward pass ends: in the inputs, or at states, when its look-back is bounded.

A pass with a bounded look-back ends in the middle of a scan, at coefficients A of the scan's states s. Their
intervals turn A·s into a constant; their linear bounds m ∓ r, functions of the inputs, into

    A·s  ≥  A·m − |A|·r.

Mostly the latter is better, as it remembers which inputs have made the state. Where relaxations blow up it
need not be, so what it changes is kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad

from verifier.propagation.interval import Interval
from verifier.propagation.linear_functions import LinearFunctions


@dataclass(frozen=True, slots=True, eq=False)
class StateLines:
    """Linear bounds of a state: `middle` and `radius` [B, n, K + 1], coefficients of the K inputs from
    `start` on and a constant; rounding included."""

    middle: Tensor
    radius: Tensor
    start: int


@dataclass(frozen=True, slots=True, eq=False)
class StateBox:
    """The interval of a state before a time step: `middle` and `radius` [B, n, 1], rounding included; and
    its linear bounds, where there are some."""

    middle: Tensor
    radius: Tensor
    lines: StateLines | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Coefficients of a variable that are zero outside of [start, start + k): with bounded look-back a
    pass reaches few positions of a long sequence."""

    start: int
    coefficients: Tensor

    def within(self, size: int) -> Tensor:
        after = size - self.start - self.coefficients.shape[-1]
        return pad(self.coefficients, (self.start, after)) if self.start or after else self.coefficients


@dataclass(slots=True, eq=False)
class Ends:
    """Where a pass has ended: `windows` of inputs read by positions; and what the linear bounds of states
    would change: coefficients `lines`, each from some input on, and `gain` [B, R, 1] of the constant."""

    windows: dict[str, Window] = field(default_factory=dict)
    lines: list[tuple[int, Tensor]] = field(default_factory=list)
    gain: Tensor | None = None

    def meet(self, A: Tensor, box: StateBox) -> Tensor:
        """What is added to the constant for coefficients A [B, R, n] of a state whose interval is `box`."""
        magnitude = A.abs()
        boxed = A @ box.middle - magnitude @ box.radius
        if box.lines is not None:
            found = A @ box.lines.middle - magnitude @ box.lines.radius
            gain = found[..., -1:].double() - boxed
            self.gain = gain if self.gain is None else self.gain + gain
            self.lines.append((box.lines.start, found[..., :-1]))
        return boxed

    def met(self, dtype: torch.dtype) -> LinearFunctions | None:
        """What the linear bounds change, all together."""
        if self.gain is None:
            return None
        first = min(start for start, _ in self.lines)
        last = max(start + A.shape[-1] for start, A in self.lines)
        constant = self.gain.squeeze(-1).to(dtype)
        total = constant.new_zeros(*constant.shape, last - first)
        for start, A in self.lines:
            total[..., start - first : start - first + A.shape[-1]] += A
        return LinearFunctions(total, constant, first)


def state_box(state: Interval, relative: float) -> StateBox:
    """The middle, and a radius that covers the rounding of A·middle − |A|·radius for any A [.., n]."""
    middle = (state.lower + state.upper) / 2
    radius = torch.maximum(state.upper - middle, middle - state.lower) + 2 * relative * state.magnitude
    return StateBox(middle.unsqueeze(-1), radius.unsqueeze(-1))
