"""The engine's view of a network: gates joined by affine forms, scans around cells of the same make.

`compile_program` turns an IR graph into a `Block`: every elementwise nonlinearity is a `GateStep`, every
recurrence a `ScanStep` whose body is again a `Block`, and all that lies between is an `AffineForm`. A
*site* is one gate operand at one iteration; `Stage` groups the operands of a block that can be bounded
together, because they depend on the outputs of the same earlier gates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch

from parsers.errors import UnsupportedModel
from parsers.ir import Graph, Node, Scan
from relaxations import GATES, Gate
from verifier.network.affine import AffineForm, AffineReader, is_affine
from verifier.network.lowering import lower
from verifier.network.patterns import match


@dataclass(frozen=True, slots=True, eq=False)
class GateStep:
    """`output = gate(*operands)`, elementwise over `size` units."""

    gate: Gate
    parameters: Mapping[str, float]
    operands: tuple[AffineForm, ...]
    output: str
    size: int
    level: int
    origin: str


@dataclass(frozen=True, slots=True, eq=False)
class ScanStep:
    """`body` repeated `length` times; forms are over the variables of the surrounding block."""

    body: Block
    initial: tuple[AffineForm, ...]
    sequences: tuple[AffineForm, ...]
    finals: tuple[str, ...]
    stacked: tuple[str, ...]
    length: int
    reverse: bool
    level: int
    origin: str

    def frame(self, iteration: int) -> int:
        """The frame that `iteration` reads and writes."""
        return self.length - 1 - iteration if self.reverse else iteration


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
    problems: list[str] = []
    block = _compile(lower(graph), 0, dtype, torch.device(device), problems)
    if problems:
        raise UnsupportedModel(problems)
    return block


def gate_steps(block: Block) -> Iterator[GateStep]:
    """All gates of a program, those in its scans too."""
    for step in block.steps:
        if isinstance(step, GateStep):
            yield step
        else:
            yield from gate_steps(step.body)


def _compile(
    graph: Graph, states: int, dtype: torch.dtype, device: torch.device, problems: list[str]
) -> Block:
    producer = {node.output: node for node in graph.nodes if isinstance(node, Node)}
    scan_of = {name: node for node in graph.nodes if isinstance(node, Scan) for name in node.outputs}
    inputs = {value.name for value in graph.inputs}

    def is_constant(name: str) -> bool:
        return name in graph.constants

    def affine(name: str) -> bool:
        node = producer.get(name)
        return node is not None and is_affine(node, is_constant)

    gates: dict[str, tuple[str, tuple[str, ...], Node]] = {}

    def gate_of(name: str) -> tuple[str, tuple[str, ...], Node] | None:
        """The gate that makes value `name`: a joint pattern before a single primitive."""
        if name in gates:
            return gates[name]
        node = producer.get(name)
        if node is None:
            return None
        found = match(name, producer.get, is_constant)
        if found is not None:
            gates[name] = (found.gate, found.operands, node)
        elif not affine(name) and node.op in GATES:
            gates[name] = (node.op, node.inputs, node)
        return gates.get(name)

    def is_variable(name: str) -> bool:
        return name in inputs or name in scan_of or gate_of(name) is not None

    reader = AffineReader(graph, producer, is_variable, dtype=dtype, device=device)
    forms: dict[tuple[str, tuple[int, ...]], AffineForm] = {}
    steps: list[GateStep | ScanStep] = []
    level_of: dict[str, int] = dict.fromkeys(inputs, 0)
    placed: set[str] = set()

    def form(name: str, shape: tuple[int, ...] | None = None) -> AffineForm:
        wanted = graph.shape(name) if shape is None else shape
        key = (name, wanted)
        if key not in forms:
            forms[key] = reader.form(name, wanted)
        return forms[key]

    def level(read: tuple[AffineForm, ...]) -> int:
        return max((level_of[s] for f in read for s in f.terms), default=0)

    for name in _needed(graph, gate_of, producer, scan_of, affine, problems):
        if name in placed:
            continue
        if problems:  # nothing is built any more, but the cells' problems are listed with the rest
            if name in scan_of:
                _compile(scan_of[name].body, 0, dtype, device, problems)
                placed.update(scan_of[name].outputs)
            continue
        if name in scan_of:
            scan = scan_of[name]
            body = _compile(scan.body, len(scan.initial), dtype, device, problems)
            if any(isinstance(step, ScanStep) for step in body.steps):
                problems.append(
                    f"Scan '{scan.origin}': a recurrence inside a recurrence; unroll the inner one"
                )
            initial = tuple(form(v) for v in scan.initial)
            sequences = tuple(form(v) for v in scan.sequences)
            depth = level(initial + sequences) + 1
            steps.append(
                ScanStep(
                    body,
                    initial,
                    sequences,
                    scan.finals,
                    scan.stacked,
                    scan.length,
                    scan.reverse,
                    depth,
                    scan.origin,
                )
            )
            placed.update(scan.outputs)
            level_of.update(dict.fromkeys(scan.outputs, depth))
        else:
            found = gate_of(name)
            assert found is not None
            gate_name, operand_names, node = found
            shape = graph.shape(name)
            operands = tuple(form(v, shape) for v in operand_names)
            gate = GATES[gate_name]
            parameters = {key: float(node.attributes[key]) for key in gate.parameters}  # type: ignore[arg-type]
            depth = level(operands) + 1
            steps.append(GateStep(gate, parameters, operands, name, prod(shape), depth, node.origin))
            placed.add(name)
            level_of[name] = depth

    outputs = tuple(form(name) for name in graph.outputs) if not problems else ()
    used = [value.name for value in graph.inputs] + [v for step in steps for v in _outputs(step)]
    return Block(
        name=graph.name,
        variables={name: prod(graph.shape(name)) for name in used},
        inputs=tuple(value.name for value in graph.inputs),
        steps=tuple(steps),
        outputs=outputs,
        output_names=graph.outputs,
        shapes={name: graph.shape(name) for name in (*used, *graph.outputs)},
        stages=_stages(steps, level_of),
        width=sum(f.size for step in steps for f in _reads(step)) + sum(f.size for f in outputs),
        states=states,
    )


def _stages(steps: list[GateStep | ScanStep], level_of: Mapping[str, int]) -> tuple[Stage, ...]:
    """Each operand is bounded as early as what it reads allows, each step taken at its own level."""
    forms: dict[int, dict[int, AffineForm]] = {}
    for step in steps:
        if isinstance(step, GateStep):
            for f in step.operands:
                depth = max((level_of[s] for s in f.terms), default=0)
                forms.setdefault(depth, {})[id(f)] = f
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


def _needed(
    graph: Graph,
    gate_of: Callable[[str], tuple[str, tuple[str, ...], Node] | None],
    producer: Mapping[str, Node],
    scan_of: Mapping[str, Scan],
    affine: Callable[[str], bool],
    problems: list[str],
) -> list[str]:
    """Gate outputs and scan outputs that the graph's outputs depend on, in topological order.

    A value that only feeds a joint pattern (σ(x) inside σ(x)·tanh(y)) is not among them.
    """
    order: dict[str, None] = {}
    seen: set[str] = set()
    stack = [(name, False) for name in reversed(graph.outputs)]
    while stack:
        name, expanded = stack.pop()
        if expanded:
            order[name] = None
            continue
        if name in seen or name in graph.constants:
            continue
        seen.add(name)
        gate = gate_of(name)
        if gate is not None:
            stack.append((name, True))
            stack.extend((v, False) for v in gate[1])
        elif name in scan_of:
            stack.append((name, True))
            stack.extend((v, False) for v in scan_of[name].inputs)
        elif affine(name):
            stack.extend((v, False) for v in producer[name].inputs)
        elif name in producer:
            node = producer[name]
            problems.append(
                f"{node.op} '{node.origin or name}': there is no bound for it; only evaluation is supported"
            )
    return list(order)
