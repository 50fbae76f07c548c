"""Rounding: what the engine's own arithmetic and the deployed file's may add to every value.

Standard model (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., §2.2, §3.1): fl(a ∘ b) =
(a ∘ b)(1 + δ), |δ| ≤ u, and a sum of n products computed in any order errs by at most γ_n Σ|products|,
γ_n = n·u / (1 − n·u).

Two roundings are covered by the same mechanism, one number per value that is added to the offsets of
the planes:

*engine*    the backward pass itself, in `dtype`: always on. Bounds hold for the network over the reals.
*deployed*  onnxruntime's float32 evaluation of the file: with `RoundingModel(deployed=True)`. Every affine
            value may err by γ₃₂, every gate by the error of its primitives, and then bounds hold for what
            the file computes. The errors travel with the coefficients of the pass, so that they cost
            what they can do to this output and not their worst case through T steps.

`DEPLOYED_ERROR` is a measured model, not a theorem: onnxruntime's vectorised tanh reaches 1 + 2.4e-7 and
errs by up to 3.1e-7, its sigmoid by up to 1.7e-7; the table rounds both up. Other primitives are taken
to be within 4 units in the last place of the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from parsers.primitives import PRIMITIVES
from relaxations.rounding import gamma
from verifier.network.patterns import Symbol, patterns
from verifier.network.program import GateStep

FLOAT32_UNIT = 2.0**-24
DEPLOYED_ERROR: Mapping[str, float] = {"sigmoid": 2.5e-7, "tanh": 4.0e-7, "erf": 4.0e-7}


@dataclass(frozen=True, slots=True)
class RoundingModel:
    """The rounding model of one run: the engine's `dtype`, and whether the file's own float32 is covered."""

    dtype: torch.dtype = torch.float64
    deployed: bool = True

    @property
    def unit(self) -> float:
        return torch.finfo(self.dtype).eps / 2

    def affine(self, depth: int, width: int) -> float:
        """Relative error of an affine value whose terms sum to `m` in magnitude: |error| ≤ affine(…)·m.

        `depth` roundings make one entry in the file; the engine's adjoint sums over at most `width`
        targets more, and 16 covers the few products and additions of a gate and a bias.
        """
        engine = gamma(depth + width + 16, self.unit)
        return engine + (gamma(depth, FLOAT32_UNIT) if self.deployed else 0.0)

    def gate(self, step: GateStep, magnitudes: list[Tensor], image: Tensor) -> Tensor | float:
        """Bound of |deployed gate − gate| for operands up to `magnitudes` and outputs up to `image`."""
        if not self.deployed:
            return 0.0
        return deployed_error(step.gate.name, magnitudes, image)


def deployed_error(gate: str, magnitudes: list[Tensor], image: Tensor) -> Tensor | float:
    """Bound of |float32 gate − gate| for exact operands up to `magnitudes` and outputs up to `image`."""
    if gate in PRIMITIVES or gate == "reciprocal_product":  # a quotient has one rounding, (1/x)·y two
        return DEPLOYED_ERROR.get(gate, 0.0) + 4 * FLOAT32_UNIT * image
    return _error(dict(patterns())[gate], magnitudes)[1]


def never_negative(step: GateStep) -> bool:
    """Whether the gate is ≥ 0 over the reals, and in any correctly signed floating evaluation of it."""
    if step.gate.name == "pow":
        return step.parameters["exponent"] % 2 == 0
    return step.gate.name in ("abs", "exp", "relu", "sqrt")


def _error(symbol: Symbol, magnitudes: list[Tensor]) -> tuple[Tensor | float, Tensor | float]:
    """(magnitude, error) of a traced expression in float32, operands exact."""
    if symbol.operand >= 0:
        return magnitudes[symbol.operand], 0.0
    children = [_error(child, magnitudes) for child in symbol.children]
    match symbol.op:
        case "neg" | "relu" | "abs":  # exact, and no steeper than the identity
            return children[0]
        case "sigmoid" | "tanh":  # operands are leaves, so no error comes in
            return 1.0, DEPLOYED_ERROR[symbol.op] + FLOAT32_UNIT
        case "softsign":  # x / (1 + |x|): no steeper than the identity, three roundings
            return 1.0, children[0][1] + 4 * FLOAT32_UNIT
        case "mul":
            (x, dx), (y, dy) = children
            return x * y, x * dy + y * dx + dx * dy + FLOAT32_UNIT * x * y * 1.001
        case "add" | "sub":
            (x, dx), (y, dy) = children
            return x + y, dx + dy + FLOAT32_UNIT * (x + y) * 1.001
    raise NotImplementedError(f"no error model for {symbol.op}")
