"""The engine's view of a network: gates joined by affine forms, scans around cells of the same make.

`compile_program` turns an IR graph into a `Block`: every elementwise nonlinearity is a `GateStep`, every
recurrence a `ScanStep` whose body is again a `Block`, and all that lies between is an `AffineForm`. Steps and
forms are numbered through the whole program (`verifier.network.keys`). A *site* is one gate at one time step;
`Stage` groups the operands of a block that can be bounded together, because they depend on the outputs of the
same earlier gates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import prod
from typing import NamedTuple

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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Block:
    """Steps in order, over flat variables.

    `variables`  name → number of entries; `inputs` the first of them (for a cell: states, then sequences);
    `outputs`    the forms of the block's outputs (for a cell: next states, then what it stacks);
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

    def __repr__(self) -> str:
        return f"<Block '{self.name}': {len(self.steps)} steps, {len(self.stages)} stages>"


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


def sites_of(block: Block) -> Iterator[tuple[GateStep, int]]:
    """Every gate of a program at every time step, in the order in which they are bounded."""
    for stage in block.stages:
        for step in stage.steps:
            if isinstance(step, GateStep):
                yield step, 0
            else:
                for time in range(step.length):
                    yield from ((gate, time) for gate, _ in sites_of(step.body))


class _GateCall(NamedTuple):
    """The gate `name` of values `operands`, for which `node` stands in the graph."""

    name: str
    operands: tuple[str, ...]
    node: Node


class _Schedule:
    """Which gates and scans the outputs of `graph` need, in what `order`; `cells` has the schedule of each
    scan's body, by its first output; `problems` are all nodes that have no bound, in cells too."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producer = {node.output: node for node in graph.nodes if isinstance(node, Node)}
        self._scan_of = {
            name: node for node in graph.nodes if isinstance(node, Scan) for name in node.outputs
        }
        self._inputs = {value.name for value in graph.inputs}
        self._gates: dict[str, _GateCall] = {}
        self.problems: list[str] = []
        self.order = self._in_order()
        self.cells: dict[str, _Schedule] = {}
        for scan in self.order:
            if not isinstance(scan, Scan):
                continue
            cell = self.cells[scan.outputs[0]] = _Schedule(scan.body)
            self.problems += cell.problems
            if cell.cells and not cell.problems:
                self.problems.append(
                    f"Scan '{scan.origin}': a recurrence inside a recurrence; unroll the inner one"
                )

    def is_variable(self, name: str) -> bool:
        return name in self._inputs or name in self._scan_of or self._gate(name) is not None

    def _is_constant(self, name: str) -> bool:
        return name in self.graph.constants

    def _affine(self, name: str) -> bool:
        node = self.producer.get(name)
        return node is not None and is_affine(node, self._is_constant)

    def _gate(self, name: str) -> _GateCall | None:
        """The gate that makes value `name`: a pattern of several nodes before a single primitive."""
        if name in self._gates:
            return self._gates[name]
        node = self.producer.get(name)
        if node is None:
            return None
        found = match(name, self.producer.get, self._is_constant)
        if found is not None:
            self._gates[name] = _GateCall(found.gate, found.operands, node)
        elif not self._affine(name) and node.op in GATES:
            self._gates[name] = _GateCall(node.op, node.inputs, node)
        return self._gates.get(name)

    def _in_order(self) -> list[_GateCall | Scan]:
        """The gates and scans that the outputs depend on, in topological order.

        A value that only feeds a pattern (σ(x) inside σ(x)·tanh(y)) is not among them.
        """
        order: dict[str, _GateCall | Scan] = {}
        seen: set[str] = set()
        stack: list[tuple[str, _GateCall | Scan | None]] = [(n, None) for n in reversed(self.graph.outputs)]
        while stack:
            name, step = stack.pop()
            if step is not None:
                order.setdefault(step.outputs[0] if isinstance(step, Scan) else name, step)
                continue
            if name in seen or self._is_constant(name):
                continue
            seen.add(name)
            step = self._gate(name) or self._scan_of.get(name)
            if step is not None:
                stack.append((name, step))
                stack.extend((v, None) for v in (step.inputs if isinstance(step, Scan) else step.operands))
            elif self._affine(name):
                stack.extend((v, None) for v in self.producer[name].inputs)
            elif name in self.producer:
                node = self.producer[name]
                what = f"{node.op} '{node.origin or name}'"
                self.problems.append(f"{what}: there is no bound for it; only evaluation is supported")
        return list(order.values())


class _Numbers(NamedTuple):
    """The next number of a step, and of a form, anywhere in the program."""

    steps: Iterator[int]
    forms: Iterator[int]


class _Builder:
    """Builds one block as its `schedule` says."""

    def __init__(
        self, schedule: _Schedule, numbers: _Numbers, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._schedule = schedule
        self._graph = schedule.graph
        self._numbers = numbers
        self._dtype, self._device = dtype, device
        self._reader = AffineReader(
            schedule.graph, schedule.producer, schedule.is_variable, dtype=dtype, device=device
        )
        self._forms: dict[tuple[str, tuple[int, ...]], AffineForm] = {}
        self._level_of: dict[str, int] = dict.fromkeys((value.name for value in self._graph.inputs), 0)

    def block(self, states: int) -> Block:
        """The block; the first `states` of its inputs and outputs are states."""
        graph, steps = self._graph, [self._step(call) for call in self._schedule.order]
        outputs = tuple(self._form(name) for name in graph.outputs)
        inputs = tuple(value.name for value in graph.inputs)
        used = (*inputs, *(name for step in steps for name in _outputs(step)))
        return Block(
            name=graph.name,
            variables={name: prod(graph.shape(name)) for name in used},
            inputs=inputs,
            steps=tuple(steps),
            outputs=outputs,
            output_names=graph.outputs,
            shapes={name: graph.shape(name) for name in (*used, *graph.outputs)},
            stages=self._stages(steps),
            width=sum(f.size for step in steps for f in _reads(step)) + sum(f.size for f in outputs),
            states=states,
        )

    def _step(self, call: _GateCall | Scan) -> GateStep | ScanStep:
        step = self._scan(call) if isinstance(call, Scan) else self._gate(call)
        self._level_of |= dict.fromkeys(_outputs(step), step.level)
        return step

    def _gate(self, call: _GateCall) -> GateStep:
        gate, node, shape = GATES[call.name], call.node, self._graph.shape(call.node.output)
        operands = tuple(self._form(name, shape) for name in call.operands)
        return GateStep(
            number=next(self._numbers.steps),
            gate=gate,
            parameters={key: float(node.attributes[key]) for key in gate.parameters},  # type: ignore[arg-type]
            operands=operands,
            output=node.output,
            size=prod(shape),
            level=self._depth(operands) + 1,
            origin=node.origin,
        )

    def _scan(self, scan: Scan) -> ScanStep:
        cell = self._schedule.cells[scan.outputs[0]]
        body = _Builder(cell, self._numbers, self._dtype, self._device).block(len(scan.initial))
        initial = tuple(self._form(name) for name in scan.initial)
        sequences = tuple(self._form(name) for name in scan.sequences)
        return ScanStep(
            number=next(self._numbers.steps),
            body=body,
            initial=initial,
            sequences=sequences,
            finals=scan.finals,
            stacked=scan.stacked,
            length=scan.length,
            reverse=scan.reverse,
            level=self._depth(initial + sequences) + 1,
            origin=scan.origin,
        )

    def _form(self, name: str, shape: tuple[int, ...] | None = None) -> AffineForm:
        wanted = self._graph.shape(name) if shape is None else shape
        if (name, wanted) not in self._forms:
            self._forms[name, wanted] = self._reader.form(next(self._numbers.forms), name, wanted)
        return self._forms[name, wanted]

    def _depth(self, read: Sequence[AffineForm]) -> int:
        """The level of the last gate that one of the forms reads."""
        return max((self._level_of[name] for form in read for name in form.terms), default=0)

    def _stages(self, steps: list[GateStep | ScanStep]) -> tuple[Stage, ...]:
        """Each operand is bounded as early as what it reads allows, each step taken at its own level."""
        forms: dict[int, dict[int, AffineForm]] = {}
        for step in steps:
            if isinstance(step, GateStep):
                for form in step.operands:
                    forms.setdefault(self._depth([form]), {})[form.number] = form
        deepest = max((step.level for step in steps), default=0)
        return tuple(
            Stage(
                tuple(forms.get(depth, {}).values()),
                tuple(step for step in steps if step.level == depth + 1),
            )
            for depth in range(deepest)
        )


def _reads(step: GateStep | ScanStep) -> tuple[AffineForm, ...]:
    return step.operands if isinstance(step, GateStep) else step.initial + step.sequences


def _outputs(step: GateStep | ScanStep) -> tuple[str, ...]:
    return (step.output,) if isinstance(step, GateStep) else step.finals + step.stacked
