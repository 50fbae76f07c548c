"""Small graphs written by hand, for tests that need a network but no file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from parsers.ir import Graph, Node, Scan, Value, validate
from parsers.primitives import infer_shape


class Builder:
    """Adds nodes one by one and infers their shapes."""

    def __init__(self, name: str, inputs: Mapping[str, tuple[int, ...]]) -> None:
        self.name = name
        self.inputs = tuple(Value(n, shape) for n, shape in inputs.items())
        self.values = {v.name: v for v in self.inputs}
        self.constants: dict[str, np.ndarray] = {}
        self.nodes: list[Node | Scan] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants[name] = np.asarray(array, dtype=np.float32).astype(np.float64)
        self.values[name] = Value(name, self.constants[name].shape)
        return name

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        known = [self.constants.get(n, self.values[n].shape) for n in inputs]
        output = f"{op}_{len(self.nodes)}"
        self.values[output] = Value(output, infer_shape(op, known, attributes))
        self.nodes.append(Node(op, inputs, output, attributes))
        return output

    def scan(
        self, body: Graph, initial: tuple[str, ...], sequences: tuple[str, ...], reverse: bool = False
    ) -> Scan:
        length = self.values[sequences[0]].shape[0]
        stem, states = f"scan{len(self.nodes)}", len(initial)
        finals = tuple(f"{stem}_final{i}" for i in range(states))
        stacked = tuple(f"{stem}_stacked{i}" for i in range(len(body.outputs) - states))
        scan = Scan(body, initial, sequences, finals, stacked, length, reverse)
        for outer, inner in zip(scan.outputs, body.outputs, strict=True):
            shape = body.shape(inner)
            self.values[outer] = Value(outer, shape if outer in finals else (length, *shape))
        self.nodes.append(scan)
        return scan

    def graph(self, *outputs: str) -> Graph:
        graph = Graph(self.name, self.inputs, self.constants, tuple(self.nodes), outputs, self.values)
        return validate(graph)


def lstm_cell(features: int, hidden: int, seed: int) -> Graph:
    """(h, c), x → (h', c'), h' with gates in the order i, o, f, z."""
    rng = np.random.default_rng(seed)
    cell = Builder("lstm cell", {"h": (1, hidden), "c": (1, hidden), "x": (1, features)})
    w = cell.constant("W", rng.normal(size=(features, 4 * hidden)) / np.sqrt(features))
    r = cell.constant("R", rng.normal(size=(hidden, 4 * hidden)) / np.sqrt(hidden))
    b = cell.constant("b", 0.3 * rng.normal(size=4 * hidden))
    total = cell.node("add", cell.node("add", cell.node("matmul", "x", w), cell.node("matmul", "h", r)), b)
    parts = [
        cell.node("slice", total, axis=1, start=k * hidden, stop=(k + 1) * hidden, step=1) for k in range(4)
    ]
    i, o, f = (cell.node("sigmoid", part) for part in parts[:3])
    z = cell.node("tanh", parts[3])
    c = cell.node("add", cell.node("mul", f, "c"), cell.node("mul", i, z))
    h = cell.node("mul", o, cell.node("tanh", c))
    return cell.graph(h, c, h)


def lstm_classifier(
    steps: int, features: int, hidden: int, classes: int, seed: int = 0, reverse: bool = False
) -> Graph:
    """x (1, steps, features) → logits (1, classes), read off the last state."""
    rng = np.random.default_rng(seed + 1)
    net = Builder("lstm", {"x": (1, steps, features)})
    h0 = net.constant("h0", np.zeros((1, hidden)))
    c0 = net.constant("c0", np.zeros((1, hidden)))
    over_time = net.node("transpose", "x", perm=(1, 0, 2))
    scan = net.scan(lstm_cell(features, hidden, seed), (h0, c0), (over_time,), reverse=reverse)
    w = net.constant("Wo", rng.normal(size=(hidden, classes)))
    b = net.constant("bo", 0.1 * rng.normal(size=classes))
    return net.graph(net.node("add", net.node("matmul", scan.finals[0], w), b), scan.stacked[0])
