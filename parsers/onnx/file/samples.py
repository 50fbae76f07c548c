"""Random inputs that a model can run on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from parsers.ir import Graph, Node
from parsers.onnx.building.values import Shape, is_float
from parsers.onnx.file.source import Source
from parsers.primitives import PRIMITIVES


def random_inputs(
    source: Source,
    shapes: Mapping[str, Shape],
    graph: Graph,
    rng: np.random.Generator,
    scale: float = 1.0,
) -> dict[str, np.ndarray]:
    """One array per input of `source`: normal numbers times `scale`, integers that suit their use in `graph`,
    fixed values."""
    inputs: dict[str, np.ndarray] = {}
    for spec in source.specs:
        if spec.name in source.fixed:
            inputs[spec.name] = np.asarray(source.fixed[spec.name]).astype(spec.dtype)
        elif is_float(spec.dtype):
            numbers = np.asarray(scale * rng.normal(size=shapes[spec.name]))
            inputs[spec.name] = numbers.astype(spec.dtype)
        elif spec.dtype == "bool":
            inputs[spec.name] = np.asarray(rng.integers(0, 2, size=shapes[spec.name])).astype(bool)
        else:
            chosen = np.asarray(rng.choice(_integers(graph, spec.name), size=shapes[spec.name]))
            inputs[spec.name] = chosen.astype(spec.dtype)
    return inputs


def _integers(graph: Graph, name: str) -> list[int]:
    """Numbers that make sense for an integer input: the rows of the smallest table it looks up; else what it
    is compared with; else 1 … time steps, which suits lengths."""
    same = {name}
    rows: list[int] = []
    compared: list[int] = []
    for node in graph.nodes:
        if not isinstance(node, Node) or not same.intersection(node.inputs):
            continue
        if node.op == "lookup":
            axis = node.attributes["axis"]
            rows.append(graph.shape(node.inputs[0])[axis])
        elif node.op == "equal":
            numbers = [graph.constants[n].reshape(-1) for n in node.inputs if n in graph.constants]
            compared += [int(v) for array in numbers for v in array[:16]]
        elif PRIMITIVES[node.op].moves:
            same.add(node.output)
    if rows:
        return list(range(min(rows)))
    if compared:
        return [*compared, max(compared) + 1]
    return list(range(1, max([scan.length for scan in graph.scans()], default=2) + 1))
