"""Models that onnxruntime refuses, rewritten into equivalent ones that it runs: a judge for the reading.

Two gaps of onnxruntime are bridged: recurrent operators with `layout=1`, which become `layout=0` between
transposes, and recurrent operators in double precision, which become single precision.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

RECURRENT = ("LSTM", "GRU", "RNN")
# Batch-first axes of X, initial_h, initial_c and of Y, Y_h, Y_c → the axes of layout 0.
INPUT_PERMS = {0: (1, 0, 2), 5: (1, 0, 2), 6: (1, 0, 2)}
OUTPUT_PERMS = {0: (2, 0, 1, 3), 1: (1, 0, 2), 2: (1, 0, 2)}


def equivalent(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str] | None:
    """A model of the same function that onnxruntime may run, and what was rewritten; else None."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    changes = []
    if _time_first(copy.graph):
        changes.append("layout=1 rewritten as layout=0 between transposes")
    if any(_is_double(g) for g in (copy.graph.input, copy.graph.output)):
        _single(copy.graph)
        changes.append("double precision rewritten as single")
    return (copy, " and ".join(changes)) if changes else None


def _time_first(graph: onnx.GraphProto) -> bool:
    nodes: list[onnx.NodeProto] = []
    changed = False
    for node in graph.node:
        layout = next((a for a in node.attribute if a.name == "layout"), None)
        if node.op_type not in RECURRENT or layout is None or layout.i == 0:
            nodes.append(node)
            continue
        changed = True
        node.attribute.remove(layout)
        after = []
        for k, perm in INPUT_PERMS.items():
            if k < len(node.input) and node.input[k]:
                moved = f"{node.output[0] or node.name}.in{k}.time_first"
                nodes.append(helper.make_node("Transpose", [node.input[k]], [moved], perm=perm))
                node.input[k] = moved
        for k, perm in OUTPUT_PERMS.items():
            if k < len(node.output) and node.output[k]:
                moved = f"{node.output[k]}.time_first"
                after.append(helper.make_node("Transpose", [moved], [node.output[k]], perm=perm))
                node.output[k] = moved
        nodes += [node, *after]
    if changed:
        kept = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
        del graph.node[:]
        graph.node.extend(kept)
    return changed


def _is_double(values: object) -> bool:
    return any(v.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE for v in values)  # type: ignore[attr-defined]


def _single(graph: onnx.GraphProto) -> None:
    """Every double of `graph` and its subgraphs as float, weights rounded."""
    double, single = onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT

    def tensor(t: onnx.TensorProto) -> None:
        if t.data_type == double:
            with np.errstate(over="ignore"):
                rounded = numpy_helper.to_array(t).astype(np.float32)
            t.CopyFrom(numpy_helper.from_array(rounded, t.name))

    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == double:
            value.type.tensor_type.elem_type = single
    del graph.value_info[:]
    for initializer in graph.initializer:
        tensor(initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                tensor(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == double:
                attribute.i = single
            if attribute.type == onnx.AttributeProto.GRAPH:
                _single(attribute.g)
