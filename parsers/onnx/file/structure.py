"""Whether two files can hold one network with other weights."""

from __future__ import annotations

from collections import Counter

import onnx

STORAGE = ("Constant", "Identity")  # how an exporter keeps weights, no part of the network's structure


def operators(model: onnx.ModelProto) -> Counter[str]:
    """How often each operator occurs in `model`, subgraphs included."""
    found: Counter[str] = Counter()

    def count(graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if node.op_type not in STORAGE:
                found[node.op_type] += 1
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    count(attribute.g)

    count(model.graph)
    return found


def difference(first: onnx.ModelProto, second: onnx.ModelProto) -> str:
    """The operators in which two models differ, in words, `2 LSTM, not 1`; empty where there are none.

    Networks that differ only in their weights have the same operators; the converse is not checked.
    """
    one, other = operators(first), operators(second)
    names = sorted(name for name in one | other if one[name] != other[name])
    return ", ".join(f"{one[name]} {name}, not {other[name]}" for name in names)
