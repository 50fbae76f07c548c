"""The intermediate representation: what every ONNX file becomes, whichever framework wrote it.

A `Graph` is a list of nodes in topological order over named values. A `Node` applies one primitive of
the closed set in `parsers.primitives`; a `Scan` repeats a `Graph`, its *cell*, over the time steps of
its sequences. LSTM, GRU, RNN, ONNX Scan, Loop and unrolled graphs all become `Scan` with a body of
primitives.

Everything here is frozen. Shapes are concrete and contain the network's own batch axis; a further
leading axis (many inputs at once) is the evaluator's business and appears nowhere in the graph.
Values are real numbers: the graph means the function over the reals that its float32 weights define.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parsers.errors import InvalidGraph
from parsers.primitives import PRIMITIVES, infer_shape

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A named tensor: `shape` without any instance axis, `dtype` the element type the ONNX file declares."""

    name: str
    shape: Shape
    dtype: str = "float32"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """`output = op(*inputs, **attributes)`; `origin` names the ONNX node it came from, for messages."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output,)


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """`body` repeated `length` times over the leading axis of `sequences`.

        s⁰ = initial,   (sᵗ⁺¹, yᵗ) = body(sᵗ, xᵗ),   finals = s^length,   stacked = [y⁰, y¹, …]

    `body.inputs` are the states, then what one time step reads of every sequence; `body.outputs` are the next
    states, then what one time step adds to every stacked output. These have no time axis. With `reverse` the
    steps go from the last position to the first and yᵗ is stored at the position of the xᵗ it was made from.
    """

    body: Graph
    initial: tuple[str, ...]
    sequences: tuple[str, ...]
    finals: tuple[str, ...]
    stacked: tuple[str, ...]
    length: int
    reverse: bool = False
    form: str = "Scan"
    origin: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.initial + self.sequences

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.finals + self.stacked

    @property
    def states_in(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.body.inputs[: len(self.initial)])

    @property
    def step_inputs(self) -> tuple[str, ...]:
        return tuple(v.name for v in self.body.inputs[len(self.initial) :])

    @property
    def states_out(self) -> tuple[str, ...]:
        return self.body.outputs[: len(self.initial)]

    @property
    def step_outputs(self) -> tuple[str, ...]:
        return self.body.outputs[len(self.initial) :]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Primitives and scans in topological order.

    `inputs`      the values a caller feeds; `constants` weights by name (float64 holding float32 values
                  exactly, or int64 for indices); `outputs` names, in the file's order;
    `values`      name → Value for every input, constant and node output;
    `notes`       what reading changed or assumed, one line each, for `recert inspect`.
    """

    name: str
    inputs: tuple[Value, ...]
    constants: Mapping[str, np.ndarray]
    nodes: tuple[Node | Scan, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, Value]
    notes: tuple[str, ...] = ()

    def shape(self, name: str) -> Shape:
        return self.values[name].shape

    def scans(self) -> Iterator[Scan]:
        return (node for node in self.nodes if isinstance(node, Scan))


def validate(graph: Graph) -> Graph:
    """Return `graph` if it is well formed, else raise `InvalidGraph` naming the first fault.

    Checked: every name is defined once and before its use; every op is in the primitive set and has just
    the attributes that its primitive takes; every recorded shape is the one that the primitive computes;
    a scan's body agrees with what surrounds it in count and shape; outputs exist.
    """
    defined: set[str] = set()

    def define(name: str, where: str) -> None:
        if name in defined:
            raise InvalidGraph(f"{graph.name}: {where} defines '{name}' a second time")
        if name not in graph.values:
            raise InvalidGraph(f"{graph.name}: '{name}' has no recorded shape")
        defined.add(name)

    for value in graph.inputs:
        define(value.name, "the input list")
        if graph.values[value.name] != value:
            recorded = graph.values[value.name]
            raise InvalidGraph(f"{graph.name}: input '{value.name}' is recorded as {recorded}")
    for name, array in graph.constants.items():
        define(name, "the constants")
        if graph.shape(name) != array.shape:
            raise InvalidGraph(f"{graph.name}: constant '{name}' is {array.shape}, not {graph.shape(name)}")
    for node in graph.nodes:
        where = f"{node.op if isinstance(node, Node) else 'Scan'} ({node.origin})"
        for name in node.inputs:
            if name not in defined:
                raise InvalidGraph(f"{graph.name}: {where} uses '{name}' before it is defined")
        for name in node.outputs:
            define(name, where)
        if isinstance(node, Node):
            _validate_node(graph, node, where)
        else:
            _validate_scan(graph, node, where)
    for name in graph.outputs:
        if name not in defined:
            raise InvalidGraph(f"{graph.name}: output '{name}' is never defined")
    return graph


def _validate_node(graph: Graph, node: Node, where: str) -> None:
    primitive = PRIMITIVES.get(node.op)
    if primitive is None:
        raise InvalidGraph(f"{graph.name}: {where} is not a primitive")
    if set(node.attributes) != set(primitive.attributes):
        has, wants = sorted(node.attributes), sorted(primitive.attributes)
        raise InvalidGraph(f"{graph.name}: {where} has attributes {has}, wants {wants}")
    inputs = [graph.constants.get(name, graph.shape(name)) for name in node.inputs]
    try:
        shape = infer_shape(node.op, inputs, node.attributes)
    except (ValueError, IndexError, TypeError) as error:
        raise InvalidGraph(f"{graph.name}: {where} cannot take its inputs ({error})") from error
    if shape != graph.shape(node.output):
        raise InvalidGraph(f"{graph.name}: {where} makes {shape}, recorded as {graph.shape(node.output)}")


def _validate_scan(graph: Graph, scan: Scan, where: str) -> None:
    body = validate(scan.body)
    if scan.length < 1:
        raise InvalidGraph(f"{graph.name}: {where} has length {scan.length}")
    if len(body.inputs) != len(scan.inputs) or len(body.outputs) != len(scan.outputs):
        raise InvalidGraph(f"{graph.name}: {where} and its body disagree in the number of values")
    over_time = (scan.length,)
    wanted = [
        *zip(scan.initial, scan.states_in, [()] * len(scan.initial), strict=True),
        *zip(scan.sequences, scan.step_inputs, [over_time] * len(scan.sequences), strict=True),
        *zip(scan.finals, scan.states_out, [()] * len(scan.finals), strict=True),
        *zip(scan.stacked, scan.step_outputs, [over_time] * len(scan.stacked), strict=True),
    ]
    for outer, inner, time in wanted:
        if graph.shape(outer) != time + body.shape(inner):
            inside = time + body.shape(inner)
            raise InvalidGraph(
                f"{graph.name}: {where}: '{outer}' is {graph.shape(outer)}, its cell has {inside}"
            )
    for before, after in zip(scan.states_in, scan.states_out, strict=True):
        if body.shape(before) != body.shape(after):
            raise InvalidGraph(f"{graph.name}: {where}: state '{before}' changes its shape")
