"""What a sweep leaves behind: functions of the inputs, and what it met where it ended.

A sweep with a bounded look-back ends in the middle of a scan, at coefficients A of the scan's states s. Their
intervals turn A·s into a constant; their linear bounds m ∓ r, functions of the inputs, into

    A·s  ≥  A·m − |A|·r.

Mostly the latter is better, as it remembers which inputs have made the state. Where relaxations blow up it
need not be, so what it changes is kept apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad

from verifier.interval import Interval


@dataclass(frozen=True, slots=True, eq=False)
class StateLines:
    """Linear bounds of a state: `middle` and `radius` [B, n, K + 1], coefficients of the K inputs from
    `start` on and a constant; rounding included."""

    middle: Tensor
    radius: Tensor
    start: int


@dataclass(frozen=True, slots=True, eq=False)
class StateBox:
    """The interval of a state before an iteration: `middle` and `radius` [B, n, 1], rounding included; and
    its linear bounds, where there are some."""

    middle: Tensor
    radius: Tensor
    lines: StateLines | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Swept:
    """Linear functions of the inputs: `coefficients` [B, R, k] of the k inputs from `start` on, zero for the
    others, and `constant` [B, R]. `met` is to be added where states shall count by their linear bounds."""

    coefficients: Tensor
    constant: Tensor
    start: int
    met: Swept | None = None

    @property
    def stop(self) -> int:
        return self.start + self.coefficients.shape[-1]

    def expand(self, batch: int) -> Swept:
        """For all of `batch` instances; without `met`."""
        return Swept(self.coefficients.expand(batch, -1, -1), self.constant.expand(batch, -1), self.start)

    def select(self, rows: Tensor) -> Swept:
        """The rows at these places."""
        met = None if self.met is None else self.met.select(rows)
        return Swept(self.coefficients[:, rows], self.constant[:, rows], self.start, met)

    def whole(self) -> Swept:
        """The functions with `met` added."""
        if self.met is None:
            return self
        first, last = min(self.start, self.met.start), max(self.stop, self.met.stop)
        constant = self.constant + self.met.constant
        total = constant.new_zeros(*constant.shape, last - first)
        for part in (self, self.met):
            total[..., part.start - first : part.stop - first] += part.coefficients
        return Swept(total, constant, first)


def joined(parts: Sequence[Swept]) -> Swept:
    """The rows of parts that read the same inputs, one after the other."""
    if len(parts) == 1:
        return parts[0]
    met = [part.met for part in parts if part.met is not None]
    return Swept(
        torch.cat([part.coefficients for part in parts], 1),
        torch.cat([part.constant for part in parts], 1),
        parts[0].start,
        joined(met) if met else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Coefficients of a variable that are zero outside of [start, start + k): with bounded look-back a sweep
    reaches few frames of a long sequence."""

    start: int
    coefficients: Tensor

    def within(self, size: int) -> Tensor:
        after = size - self.start - self.coefficients.shape[-1]
        return pad(self.coefficients, (self.start, after)) if self.start or after else self.coefficients


@dataclass(slots=True, eq=False)
class Ends:
    """Where a sweep has ended: `windows` of inputs read frame by frame; and what the linear bounds of states
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

    def met(self, dtype: torch.dtype) -> Swept | None:
        """What the linear bounds change, all together."""
        if self.gain is None:
            return None
        first = min(start for start, _ in self.lines)
        last = max(start + A.shape[-1] for start, A in self.lines)
        constant = self.gain.squeeze(-1).to(dtype)
        total = constant.new_zeros(*constant.shape, last - first)
        for start, A in self.lines:
            total[..., start - first : start - first + A.shape[-1]] += A
        return Swept(total, constant, first)


def state_box(state: Interval, relative: float) -> StateBox:
    """The middle, and a radius that covers the rounding of A·middle − |A|·radius for any A [.., n]."""
    middle = (state.lower + state.upper) / 2
    radius = torch.maximum(state.upper - middle, middle - state.lower) + 2 * relative * state.magnitude
    return StateBox(middle.unsqueeze(-1), radius.unsqueeze(-1))
