"""A site: one gate at one iteration of its scan, with the region of its operands and its planes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from relaxations import Diagonals, Planes
from verifier.program import GateStep
from verifier.relaxed import RelaxedGate, relax

Key = tuple[int, int]  # (identity of the step, iteration; 0 outside scans)


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A gate at one iteration: the box of its operands, its planes, and what rounding may add.

    `lower, upper` [k, B, n]; `magnitudes, errors` per operand [B, n]; `gate_error` [B, n] or a number;
    `diagonals` of the box where its corners are cut off.
    """

    step: GateStep
    iteration: int
    lower: Tensor
    upper: Tensor
    planes: Planes
    magnitudes: tuple[Tensor, ...]
    errors: tuple[Tensor, ...]
    gate_error: Tensor | float
    relative: float
    diagonals: Diagonals | None = None

    def gap(self) -> Tensor:
        """How far apart the two planes are at the centre of the box [B, n]: zero where they are exact."""
        centre = (self.lower + self.upper) / 2
        slope = self.planes.upper_slope - self.planes.lower_slope
        return ((slope * centre).sum(0) + self.planes.upper_offset - self.planes.lower_offset).clamp_min(0)

    def relaxed(self, chosen: Planes | None = None) -> RelaxedGate:
        """The site's planes, or `chosen` ones over the same box, ready for the sweep."""
        biases = [form.bias for form in self.step.operands]
        return relax(
            self.planes if chosen is None else chosen,
            biases,
            list(self.magnitudes),
            list(self.errors),
            self.gate_error,
            self.relative,
        )
