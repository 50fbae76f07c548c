"""Boxes of a gate's operands: over what planes, offsets and images are asked, and what of it is refused by
name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relaxations.errors import InvalidBox, OutsideDomain, UnknownGate
from relaxations.gate import GATES, Gate
from relaxations.octagon import Octagon


@dataclass(frozen=True, eq=False)
class GateBox:
    """`gate` with its `parameters` over boxes `lower`, `upper` [k, *S] of its k operands, or over the part
    that
    `octagon` leave of them (gates of two operands)."""

    gate: Gate
    lower: Tensor
    upper: Tensor
    parameters: Mapping[str, Any]
    octagon: Octagon | None = None

    @staticmethod
    def of(
        gate: Gate | str,
        lower: Tensor,
        upper: Tensor,
        parameters: Mapping[str, Any] | None = None,
        octagon: Octagon | None = None,
    ) -> GateBox:
        """Refuses names and parameters that are not in the table and octagons of other shapes; `check` does
        the rest, which costs more."""
        gate, parameters = _resolved(gate, parameters)
        if octagon is not None:
            _check_octagon(gate, lower, octagon)
        return GateBox(gate, lower, upper, parameters, octagon)

    def check(self, domain: bool = True) -> None:
        """Raises `InvalidBox` for lower > upper, NaN and infinite sides; with `domain` `OutsideDomain` where
        the gate is not defined on the whole box."""
        gate, lower, upper = self.gate, self.lower, self.upper
        if lower.shape != upper.shape or lower.dim() < 1 or lower.shape[0] != gate.arity:
            raise InvalidBox(
                f"gate '{gate.name}' has {gate.arity} operands; boxes are [{gate.arity}, *S], not "
                f"{list(lower.shape)} and {list(upper.shape)}"
            )
        width = upper - lower
        if not bool(((width >= 0) & (width < torch.inf)).all()):
            raise InvalidBox(
                f"gate '{gate.name}': every box needs finite lower ≤ upper; bound its operands first"
            )
        if (
            domain
            and gate.inside is not None
            and not bool(gate.inside(lower, upper, **self.parameters).all())
        ):
            span = f"all span {float(lower.min()):g} to {float(upper.max()):g}"
            raise OutsideDomain(
                f"gate '{gate.name}' is not defined on the whole of a box ({span}); tighten its operand's "
                "bounds or split the input"
            )


def _resolved(gate: Gate | str, parameters: Mapping[str, Any] | None) -> tuple[Gate, Mapping[str, Any]]:
    if isinstance(gate, str):
        if gate not in GATES:
            raise UnknownGate(f"no gate is named '{gate}'; the table has {', '.join(sorted(GATES))}")
        gate = GATES[gate]
    parameters = parameters or {}
    if set(parameters) != set(gate.parameters):
        raise UnknownGate(
            f"gate '{gate.name}' takes parameters {list(gate.parameters)}, not {sorted(parameters)}"
        )
    return gate, parameters


def _check_octagon(gate: Gate, lower: Tensor, octagon: Octagon) -> None:
    if gate.arity != 2:
        raise InvalidBox(f"gate '{gate.name}' has {gate.arity} operands; octagons are for gates of two")
    wanted = [lower.shape, lower.shape, *[lower[1:].shape] * 4]
    given = [t.shape for t in (octagon.centre, octagon.half, *octagon.sides())]
    if given != wanted:
        raise InvalidBox(
            f"an octagon over boxes {list(lower.shape)} has centres and half-widths of that shape and bounds "
            f"{list(wanted[2])}, not {[list(shape) for shape in given]}"
        )
