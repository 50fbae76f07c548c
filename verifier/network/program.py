"""The engine's view of a network: gates joined by affine forms, scans around cells of the same make.

`compile_program` turns an IR graph into a `Block`: every elementwise nonlinearity is a `GateStep`, every
recurrence a `ScanStep` whose body is again a `Block`, and all that lies between is an `AffineForm`. Steps and
forms are numbered through the whole program (`verifier.network.keys`). A *site* is one gate at one time step;
`Stage` groups the operands of a block that can be bounded together, because they depend on the outputs of the
same earlier gates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import prod
from typing import Any, NamedTuple

import torch

from parsers.errors import UnsupportedModel
from parsers.ir import Graph, Node, Scan
from relaxations import GATES, Gate
from verifier.network.affine import AffineForm, AffineReader, is_affine
from verifier.network.keys import SiteKey
from verifier.network.lowering import lower
from verifier.network.patterns import match


@dataclass(frozen=True, slots=True, eq=False)
class GateStep:
    """`output = gate(*operands)`, elementwise over `size` units."""

    number: int
    gate: Gate
    parameters: Mapping[str, float]
    operands: tuple[AffineForm, ...]
    output: str
    size: int
    level: int
    origin: str

    def at(self, time: int) -> SiteKey:
        """What the step is called at a time step."""
        return SiteKey(self.number, time)


@dataclass(frozen=True, slots=True, eq=False)
class ScanStep:
    """`body` repeated `length` times; forms are over the variables of the surrounding block."""

    number: int
    body: Block
    initial: tuple[AffineForm, ...]
    sequences: tuple[AffineForm, ...]
    finals: tuple[str, ...]
    stacked: tuple[str, ...]
    length: int
    reverse: bool
    level: int
    origin: str

    def at(self, time: int) -> SiteKey:
        """What the step is called at one of its own time steps."""
        return SiteKey(self.number, time)

    def position(self, time: int) -> int:
        """The position of its sequences that is read and written at a time step."""
        return self.length - 1 - time if self.reverse else time


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Forms that can be bounded together, then the steps that become possible once they are."""

    forms: tuple[AffineForm, ...]
    steps: tuple[GateStep | ScanStep, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Steps in order, over flat variables.

    `variables`  name → number of entries; `inputs` the first of them (for a cell: states, then frames);
    `outputs`    the forms of the block's outputs (for a cell: next states, then stacked frames);
    `stages`     `steps` again, grouped: stage k bounds the operands that read only gates of level ≤ k;
    `width`      targets that one adjoint product may sum over, for the rounding model.
    """

    name: str
    variables: Mapping[str, int]
    inputs: tuple[str, ...]
    steps: tuple[GateStep | ScanStep, ...]
    outputs: tuple[AffineForm, ...]
    output_names: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    stages: tuple[Stage, ...]
    width: int
    states: int
    fused: dict[Any, Any] = field(default_factory=dict)  # stacked tables, a cache that the sweep fills


def compile_program(
    graph: Graph, *, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> Block:
    """Compile `graph` for the bound engine. Raises `UnsupportedModel` with every node that has no bound."""
    schedule = _Schedule(lower(graph))
    if schedule.problems:
        raise UnsupportedModel(schedule.problems)
    return _Builder(schedule, _Numbers(count(), count()), dtype, torch.device(device)).block(0)


def gate_steps(block: Block) -> Iterator[GateStep]:
    """All gates of a program, those in its scans too."""
    for step in block.steps:
        if isinstance(step, GateStep):
            yield step
        else:
            yield from gate_steps(step.body)


class _GateCall(NamedTuple):
    """The gate `name` of values `operands`, for which `node` stands in the graph."""

    name: str
    operands: tuple[str, ...]
    node: Node

