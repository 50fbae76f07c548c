"""`Scope`: the names visible in one ONNX graph, and the walk that reads its nodes in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Any, Const, Poison, Sym, tensor
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.registry import is_misplaced, lookup
from parsers.onnx.reading.types import check_types


@dataclass
class Reading:
    """What is shared by all scopes of one model."""

    opsets: Mapping[str, int]
    folder: str
    notes: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)  # which node, and why not
    misplaced: bool = False

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def problem(self, where: str, why: str) -> None:
        if (where, why) not in self.problems:
            self.problems.append((where, why))

    def listed(self) -> list[str]:
        """One line for each operator and reason, with all the nodes that it holds for."""
        nodes: dict[tuple[str, str], list[str]] = {}
        for where, why in self.problems:
            nodes.setdefault((where.split(" ")[0], why), []).append(where)
        return [f"{', '.join(where)}: {why}" for (_, why), where in nodes.items()]


class Scope:
    """Values by ONNX name. A subgraph's scope looks outward for what it does not define."""

    def __init__(self, reading: Reading, builder: Builder, parent: Scope | None = None) -> None:
        self.reading = reading
        self.builder = builder
        self.parent = parent
        self.values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.parent
        raise Unsupported(
            f"value '{name}' is used but nothing produces it", "the exporter left a dangling tensor"
        )

    def read(self, graph: onnx.GraphProto) -> list[Any]:
        """Read all nodes of `graph`; returns its outputs. Its inputs must be in `values` already."""
        for initializer in graph.initializer:
            self.values[initializer.name] = tensor(initializer, self.reading.folder)
        if graph.sparse_initializer:
            raise Unsupported("sparse initializers are not read", "export dense weights")
        for node in in_order(graph, self):
            self._read_node(node)
        return [self[output.name] for output in graph.output]

    def _read_node(self, node: onnx.NodeProto) -> None:
        where = f"{node.op_type} ('{node.name or (node.output[0] if node.output else '')}')"
        results: tuple[Any, ...]
        try:
            results = self._results(node, where)
        except Unsupported as problem:
            self.reading.problem(where, str(problem))
            results = tuple(Poison() for _ in node.output)
        for name, value in zip(node.output, results, strict=False):
            if name:
                self.values[name] = value
                if isinstance(value, Sym | Const):
                    self.builder.label(value, name)

    def _results(self, node: onnx.NodeProto, where: str) -> tuple[Any, ...]:
        from parsers.onnx.reading.call import Call

        opset = self.reading.opsets.get("" if node.domain == "ai.onnx" else node.domain, 0)
        entry = lookup(node.domain, node.op_type, opset)
        inputs = [self[name] if name else None for name in node.input]
        if any(isinstance(value, Poison) for value in inputs):
            return tuple(Poison() for _ in node.output)
        if is_misplaced(node.domain, node.op_type, opset):
            self.reading.misplaced = True
            self.reading.note(
                f"{node.op_type} is not in opset {opset}, which the file claims; it was read as first defined"
            )
        check_types(node, inputs, opset)
        self.builder.origin = where
        call = Call(node, inputs, opset, self)
        try:
            results = entry.read(call)
        except (ValueError, IndexError, TypeError, OverflowError) as error:
            raise Unsupported(f"its shapes do not fit ({error})", "the model is not valid ONNX") from error
        results = results if isinstance(results, tuple) else (results,)
        call.check_all_read()
        missing = [name for name in node.output[len(results) :] if name]
        if missing:
            raise Unsupported(f"output '{missing[0]}' is not read here", "remove it from the model")
        return results


def in_order(graph: onnx.GraphProto, scope: Scope) -> list[onnx.NodeProto]:
    """The nodes, each after what it uses. An unsorted file is repaired with a note."""
    nodes = list(graph.node)
    made = {name for node in nodes for name in node.output if name}
    done: set[str] = set()
    ordered: list[onnx.NodeProto] = []
    waiting = nodes
    while waiting:
        late = []
        for node in waiting:
            if all(name in done or name not in made for name in needs(node)):
                ordered.append(node)
                done.update(node.output)
            else:
                late.append(node)
        if len(late) == len(waiting):
            raise Unsupported(
                f"nodes of graph '{graph.name}' depend on each other in a circle", "export again"
            )
        waiting = late
    if ordered != nodes:
        scope.reading.note(f"graph '{graph.name}' was not in topological order; its nodes were sorted")
    return ordered


def needs(node: onnx.NodeProto) -> set[str]:
    """Names a node uses, those used inside its subgraphs included."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            inner = attribute.g
            own = {i.name for i in inner.input} | {i.name for i in inner.initializer}
            own |= {name for n in inner.node for name in n.output}
            used = {name for n in inner.node for name in needs(n)} | {o.name for o in inner.output}
            names |= used - own
    return names
