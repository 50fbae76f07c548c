"""The reference semantics of a `Graph`: float64, numpy, one instance, no cleverness."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from parsers.errors import BadInput
from parsers.ir import Graph, Node, Scan
from parsers.primitives import apply


def evaluate_numpy(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of `graph` by name, in float64. `inputs` holds one array of the declared shape per input."""
    values = trace_numpy(graph, inputs)
    return {name: values[name] for name in graph.outputs}


def trace_numpy(graph: Graph, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every value of `graph` by name (values inside a scan's body are not among them)."""
    values: dict[str, np.ndarray] = dict(graph.constants)
    for value in graph.inputs:
        if value.name not in inputs:
            raise BadInput(f"no data for input '{value.name}'")
        array = np.asarray(inputs[value.name], dtype=np.float64)
        if array.shape != value.shape:
            raise BadInput(f"input '{value.name}' is {value.shape}, the data are {array.shape}")
        values[value.name] = array
    for node in graph.nodes:
        if isinstance(node, Node):
            values[node.output] = apply(node.op, [values[n] for n in node.inputs], node.attributes)
        else:
            _run_scan(node, values)
    return values


def _run_scan(scan: Scan, values: dict[str, np.ndarray]) -> None:
    """sᵗ⁺¹, yᵗ = body(sᵗ, xᵗ); with `reverse` from the last position to the first, each yᵗ in its place."""
    states = [values[n] for n in scan.initial]
    stacked: list[list[np.ndarray]] = [[] for _ in scan.stacked]
    steps = range(scan.length)
    for t in reversed(steps) if scan.reverse else steps:
        read = [values[n][t] for n in scan.sequences]
        fed = dict(zip((v.name for v in scan.body.inputs), [*states, *read], strict=True))
        inside = trace_numpy(scan.body, fed)
        states = [inside[n] for n in scan.states_out]
        for column, name in zip(stacked, scan.step_outputs, strict=True):
            column.append(inside[name])
    values.update(zip(scan.finals, states, strict=True))
    for name, column in zip(scan.stacked, stacked, strict=True):
        values[name] = np.stack(column[::-1] if scan.reverse else column)
