"""One pass over the nodes of an ONNX graph, each read by the function that the registry has for it."""

from __future__ import annotations

import onnx

from parsers.onnx.building.values import Any, Const, Poison, Sym, tensor
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import is_misplaced, lookup
from parsers.onnx.reading.scope import Scope
from parsers.onnx.reading.types import check_types


def interpret(graph: onnx.GraphProto, scope: Scope) -> list[Any]:
    """Read all nodes of `graph` into `scope`, which has its inputs already; returns its outputs."""
    for initializer in graph.initializer:
        scope.values[initializer.name] = tensor(initializer, scope.reading.folder)
    if graph.sparse_initializer:
        raise Unsupported("sparse initializers are not read", "export dense weights")
    for node in in_order(graph, scope):
        _interpret_node(node, scope)
    return [scope[output.name] for output in graph.output]


def _interpret_node(node: onnx.NodeProto, scope: Scope) -> None:
    where = f"{node.op_type} ('{node.name or (node.output[0] if node.output else '')}')"
    results: tuple[Any, ...]
    try:
        results = _results(node, scope, where)
    except Unsupported as problem:
        scope.reading.problem(where, str(problem))
        results = tuple(Poison() for _ in node.output)
    listed = min(len(node.output), len(results))  # a node may leave trailing outputs out
    for name, value in zip(node.output[:listed], results[:listed], strict=True):
        if name:
            scope.values[name] = value
            if isinstance(value, Sym | Const):
                scope.builder.label(value, name)


def _results(node: onnx.NodeProto, scope: Scope, where: str) -> tuple[Any, ...]:
    reading = scope.reading
    opset = reading.opsets.get("" if node.domain == "ai.onnx" else node.domain, 0)
    entry = lookup(node.domain, node.op_type, opset)
    inputs = [scope[name] if name else None for name in node.input]
    if any(isinstance(value, Poison) for value in inputs):
        return tuple(Poison() for _ in node.output)
    if is_misplaced(node.domain, node.op_type, opset):
        reading.misplaced = True
        reading.note(
            f"{node.op_type} is not in opset {opset}, which the file claims; it was read as first defined"
        )
    check_types(node, inputs, opset)
    scope.builder.origin = where
    call = Call(node, inputs, opset, scope)
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
