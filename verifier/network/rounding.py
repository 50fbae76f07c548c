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

The errors of gates stand on their rows (`relaxations.gate.Float32Error`), a measured model, not a theorem.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from relaxations import GATES
from relaxations.gate import Float32Error
from relaxations.rounding import gamma
from verifier.network.patterns import Symbol, patterns
from verifier.network.program import GateStep

FLOAT32_UNIT = 2.0**-24


@dataclass(frozen=True, slots=True)
class RoundingModel:
    """The rounding model of one run: the engine's `dtype`, and whether the file's own float32 is covered."""

    dtype: torch.dtype = torch.float64
    deployed: bool = True

    def __post_init__(self) -> None:
        if self.deployed:
            _expressions()

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
    error = GATES[gate].error
    if isinstance(error, Float32Error):
        return error.absolute + error.units * FLOAT32_UNIT * image
    return _error(_expressions()[gate], magnitudes)[1]


@cache
def _expressions() -> dict[str, Symbol]:
    """What files compute for composed gates. Raises where an operation in one of them has no error model,
    before the first bound is asked for."""
    found = {name: symbol for name, symbol in patterns() if GATES[name].error == "composed"}
    for name, symbol in found.items():
        _error(symbol, [torch.ones(())] * GATES[name].arity)
    return found


def _error(symbol: Symbol, magnitudes: list[Tensor]) -> tuple[Tensor | float, Tensor | float]:
    """(magnitude, error) of a traced expression in float32, operands exact.

    A rounding is one of the computed value, which exceeds the magnitude by the error: 1.001 covers that, for
    the error of every expression here is far below a thousandth of its magnitude (`mul` and `add` keep both
    in proportion, and the other functions err by a few units of 1, which is theirs)."""
    if symbol.operand >= 0:
        return magnitudes[symbol.operand], 0.0
    children = [_error(child, magnitudes) for child in symbol.children]
    match symbol.op:
        case "neg" | "relu" | "abs":  # exact, and no steeper than the identity
            return children[0]
        case "sigmoid" | "tanh":  # no steeper than the identity
            error = GATES[symbol.op].error
            assert isinstance(error, Float32Error)
            return 1.0, children[0][1] + error.absolute + FLOAT32_UNIT
        case "softsign":  # x / (1 + |x|): no steeper than the identity, three roundings
            return 1.0, children[0][1] + 4 * FLOAT32_UNIT
        case "mul":
            (x, dx), (y, dy) = children
            return x * y, x * dy + y * dx + dx * dy + FLOAT32_UNIT * x * y * 1.001
        case "add" | "sub":
            (x, dx), (y, dy) = children
            return x + y, dx + dy + FLOAT32_UNIT * (x + y) * 1.001
    raise TypeError(f"a gate is composed of '{symbol.op}', which has no error model in float32")
