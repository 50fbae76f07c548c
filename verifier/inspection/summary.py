"""What `recert inspect` shows: a graph as equations, with states, lengths, parameters and gate patterns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod

from parsers.errors import UnsupportedModel
from parsers.ir import Graph, Scan, Value
from parsers.primitives import PRIMITIVES
from verifier.inspection.equations import cell_equations, cell_names, network_equations
from verifier.network.patterns import Symbol, patterns
from verifier.network.program import Block, GateStep, ScanStep, compile_program


@dataclass(frozen=True, slots=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Gates:
    """`units` applications of `pattern`, in one time step where it stands in a cell. A pattern of several
    operands is relaxed as one multivariate gate."""

    pattern: str
    units: int


@dataclass(frozen=True, slots=True)
class Cell:
    """One recurrence, in the `form` that the file had; `states` maps letters of `equations` to sizes."""

    form: str
    origin: str
    length: int
    direction: str
    frame: tuple[int, ...]
    states: Mapping[str, int]
    equations: tuple[str, ...]
    parameters: int
    gates: tuple[Gates, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Inspection:
    """`refusals` are the nodes without a bound: empty if the network can be certified."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    cells: tuple[Cell, ...]
    network: tuple[str, ...]
    gates: tuple[Gates, ...]
    parameters: int
    refusals: tuple[str, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    def __repr__(self) -> str:
        """`Inspection(2 LSTM of 15 time steps, 4,512 parameters, can be certified)`"""
        cells = Counter(f"{cell.form} of {cell.length} time steps" for cell in self.cells)
        words = [f"{count} {cell}" for cell, count in cells.items()] or ["no recurrent cell"]
        words.append(f"{self.parameters:,} parameters")
        words.append("cannot be certified" if self.refusals else "can be certified")
        return f"Inspection({', '.join(words)})"


def inspect(graph: Graph) -> Inspection:
    """Describe `graph`; nothing is evaluated or bounded."""
    refusals: tuple[str, ...] = ()
    block: Block | None = None
    try:
        block = compile_program(graph)
    except UnsupportedModel as error:
        refusals = tuple(error.problems)
    bodies = {} if block is None else {s.finals: s.body for s in block.steps if isinstance(s, ScanStep)}
    return Inspection(
        inputs=tuple(_tensor(value) for value in graph.inputs),
        outputs=tuple(_tensor(graph.values[name]) for name in graph.outputs),
        cells=tuple(_cell(scan, bodies.get(scan.finals)) for scan in graph.scans()),
        network=tuple(network_equations(graph)),
        gates=_gates(block),
        parameters=_parameters(graph) + sum(_parameters(scan.body) for scan in graph.scans()),
        refusals=refusals,
        notes=graph.notes,
    )


def _tensor(value: Value) -> Tensor:
    return Tensor(value.name, value.shape, value.dtype)


def _cell(scan: Scan, body: Block | None) -> Cell:
    letters = cell_names(scan)
    sizes = {value.name: prod(value.shape) for value in scan.body.inputs}
    return Cell(
        form=scan.form,
        origin=scan.origin,
        length=scan.length,
        direction="reverse" if scan.reverse else "forward",
        frame=scan.body.shape(scan.step_inputs[0]) if scan.step_inputs else (),
        states={letters[name]: sizes[name] for name in scan.states_in},
        equations=tuple(cell_equations(scan)),
        parameters=_parameters(scan.body),
        gates=_gates(body),
    )


def _parameters(graph: Graph) -> int:
    """Weights after folding (the sum of two biases is one), without single numbers such as the 1 of 1 − z."""
    return sum(array.size for array in graph.constants.values() if array.size > 1)


def _gates(block: Block | None) -> tuple[Gates, ...]:
    if block is None:
        return ()
    units: Counter[str] = Counter()
    for step in block.steps:
        if isinstance(step, GateStep):
            units[_formula(step)] += step.size
    return tuple(Gates(pattern, count) for pattern, count in units.items())


def _formula(step: GateStep) -> str:
    """`σ(x)·tanh(y)`: the traced function of a multivariate gate, or a primitive by its name."""
    traced = dict(patterns()).get(step.gate.name)
    if traced is not None:
        return _symbol(traced)
    primitive = PRIMITIVES.get(step.gate.name)
    return f"{primitive.symbol if primitive else step.gate.name}({', '.join('xyz'[: step.gate.arity])})"


def _symbol(symbol: Symbol) -> str:
    if symbol.operand >= 0:
        return "xyz"[symbol.operand]
    parts = [_symbol(child) for child in symbol.children]
    match symbol.op:
        case "add" | "sub":
            return f"{parts[0]} {PRIMITIVES[symbol.op].symbol} {parts[1]}"
        case "mul":
            return "·".join(f"({part})" if " " in part else part for part in parts)
        case "neg":
            return f"−{parts[0]}"
    return f"{PRIMITIVES[symbol.op].symbol}({', '.join(parts)})"
