"""What a query declares: networks, and the tensors at their ends and inside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from parsers.ir import Shape

FLOATS = ("float16", "float32", "float64")
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
ELEMENT_TYPES = (*FLOATS, *INTEGERS, "real")


@dataclass(frozen=True, slots=True)
class Variable:
    """A tensor as the query declares it; `network` is the network it belongs to. `node` names the value of
    the ONNX file that a hidden variable stands for; inputs and outputs have none."""

    name: str
    dtype: str
    shape: Shape
    network: str = ""
    node: str = ""

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Network:
    """A declared network. `equal_to` names the network whose file it shares, `isomorphic_to` one whose file
    has the same operators and other weights; empty where nothing is said."""

    name: str
    inputs: tuple[Variable, ...]
    hidden: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    equal_to: str = ""
    isomorphic_to: str = ""

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All variables in the order in which the standard lists them."""
        return self.inputs + self.hidden + self.outputs


def formatted(shape: Shape) -> str:
    """`[1,2]`, as declarations and messages have it."""
    return "[" + ",".join(str(n) for n in shape) + "]"
