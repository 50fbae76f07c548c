"""Refusals, by name: of gates that are not in the table and of boxes on which a gate has no planes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from relaxations.errors import InvalidBox, OutsideDomain, UnknownGate
from relaxations.gate import Gate
from relaxations.gates import GATES
from relaxations.polygons.polygon import Diagonals


def resolved(gate: Gate | str, parameters: Mapping[str, Any] | None) -> tuple[Gate, Mapping[str, Any]]:
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


def check_box(gate: Gate, lower: Tensor, upper: Tensor) -> None:
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


def check_diagonals(gate: Gate, lower: Tensor, diagonals: Diagonals | None) -> None:
    if diagonals is None:
        return
    if gate.arity != 2:
        raise InvalidBox(f"gate '{gate.name}' has {gate.arity} operands; diagonals cut boxes of two")
    wanted = [lower.shape, lower.shape, *[lower[1:].shape] * 4]
    given = [t.shape for t in (diagonals.centre, diagonals.half, *diagonals.sides())]
    if given != wanted:
        raise InvalidBox(
            f"diagonals of boxes {list(lower.shape)} have frames of that shape and bounds "
            f"{list(wanted[2])}, not {[list(shape) for shape in given]}"
        )


def check_domain(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> None:
    if gate.inside is not None and not bool(gate.inside(lower, upper, **parameters).all()):
        raise OutsideDomain(
            f"gate '{gate.name}' is not defined on the whole of a box (all span {float(lower.min()):g} to "
            f"{float(upper.max()):g}); tighten its operand's bounds or split the input"
        )
