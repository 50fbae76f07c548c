"""A site: one gate at one time step of its scan, with the box of its operands, and its planes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations import Octagon, Planes
from relaxations.gate_box import GateBox
from verifier.network.keys import SiteKey
from verifier.network.program import GateStep


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Site:
    """A gate at one time step: the box of its operands, its planes, and what rounding may add.

    `lower, upper` [k, B, n]; `magnitudes, errors` per operand [B, n]; `gate_error` [B, n] or a number;
    `octagon` constraints on the operands, where there are some.
    """

    step: GateStep
    time: int
    lower: Tensor
    upper: Tensor
    planes: Planes
    magnitudes: tuple[Tensor, ...]
    errors: tuple[Tensor, ...]
    gate_error: Tensor | float
    relative: float
    octagon: Octagon | None = None

    def __repr__(self) -> str:
        units = "×".join(map(str, self.lower.shape))
        return f"<Site {self.step.gate.name} of '{self.step.output}' at time {self.time}: {units} operands>"

    @property
    def key(self) -> SiteKey:
        return self.step.at(self.time)

    @property
    def box(self) -> GateBox:
        return GateBox(self.step.gate, self.lower, self.upper, self.step.parameters, self.octagon)

    def gap(self) -> Tensor:
        """How far apart the two planes are at the centre of the box [B, n]: zero where they are exact."""
        centre = (self.lower + self.upper) / 2
        slope = self.planes.upper_slope - self.planes.lower_slope
        return ((slope * centre).sum(0) + self.planes.upper_offset - self.planes.lower_offset).clamp_min(0)

    def relaxed(self, chosen: Planes | None = None) -> RelaxedGate:
        """The site's planes, or `chosen` ones over the same box, ready for the backward pass."""
        biases = [form.bias for form in self.step.operands]
        return relax(
            self.planes if chosen is None else chosen,
            biases,
            list(self.magnitudes),
            list(self.errors),
            self.gate_error,
            self.relative,
        )


@dataclass(frozen=True, slots=True, eq=False)
class RelaxedGate:
    """Slopes [B, 1, n] per operand, offsets [B, n, 1]; the operands' biases are folded into the offsets."""

    middle: tuple[Tensor, ...]
    minus_radius: tuple[Tensor, ...]
    middle_offset: Tensor
    minus_radius_offset: Tensor

    def pull(self, A: Tensor, magnitude: Tensor, constant: Tensor) -> tuple[list[Tensor], Tensor]:
        """A [B, R, n] over the gate's output, |A| and the constant [B, R, 1], float64, ↦ coefficients of each
        operand and the constant."""
        operands = [
            torch.addcmul(A * m, magnitude, r) for m, r in zip(self.middle, self.minus_radius, strict=True)
        ]
        alike = A.shape[0] == constant.shape[0] == self.middle_offset.shape[0]
        if alike and A.dtype == constant.dtype:
            constant = torch.baddbmm(constant, A, self.middle_offset)
            return operands, torch.baddbmm(constant, magnitude, self.minus_radius_offset)
        return operands, constant + (A @ self.middle_offset + magnitude @ self.minus_radius_offset)


def relax(
    planes: Planes,
    biases: list[Tensor],
    magnitudes: list[Tensor],
    errors: list[Tensor],
    gate_error: Tensor | float,
    relative: float,
) -> RelaxedGate:
    """Fold biases and rounding into the planes of a gate.

    `biases` [n] of the operands' affine forms; `magnitudes` [B, n] ≥ the sum of all absolute terms of an
    operand; `errors` [B, n] ≥ how far an operand is from its affine form over exact gate outputs (engine and
    deployed rounding, see `RoundingModel`); `gate_error` of the gate itself; `relative` the γ of the pass.

    Proof of the margin: the operand coefficients are at most |λ|·σ_k, σ_k = |m_k| + |r_k|. An error e_k of
    operand k changes the objective by at most |λ| σ_k e_k, an error of the gate by |λ| e. The products and
    sums of `pull` and of the adjoint products that follow err relatively by γ: at most
    |λ| γ (Σ_k σ_k mag_k + |m_o| + |r_o|), with the offsets as they are without biases, which are parts of
    mag_k. All are proportional to |λ|, hence the sum may be added to r_o.
    """
    # an offset is the slope of one more operand that is always 1
    lower = torch.cat([planes.lower_slope, planes.lower_offset.unsqueeze(0)])  # [k + 1, B, n]
    upper = torch.cat([planes.upper_slope, planes.upper_offset.unsqueeze(0)])
    middle, radius = (lower + upper) / 2, (upper - lower) / 2
    one = torch.ones_like(planes.lower_offset)
    bias = torch.stack([*biases, one[0]]).unsqueeze(1)
    unknown = torch.stack([*errors, torch.zeros_like(one)]) + relative * torch.stack([*magnitudes, one])
    margin = ((middle.abs() + radius.abs()) * unknown).sum(0) + gate_error
    middle_offset = (middle * bias).sum(0)
    minus_radius_offset = -((radius * bias).sum(0) + margin)
    return RelaxedGate(
        middle[:-1].unsqueeze(-2).unbind(),
        (-radius[:-1]).unsqueeze(-2).unbind(),
        middle_offset.unsqueeze(-1),
        minus_radius_offset.unsqueeze(-1),
    )
