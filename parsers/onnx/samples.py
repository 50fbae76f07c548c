"""Random inputs that a model can run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from parsers.ir import Graph, Node
from parsers.onnx.dimensions import InputSpec
from parsers.onnx.values import Shape, is_float


def random_inputs(
    specs: Sequence[InputSpec],
    shapes: Mapping[str, Shape],
    fixed: Mapping[str, np.ndarray],
    graph: Graph,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """One array per input: normal numbers, integers inside the tables they index, the fixed values as given."""
    inputs: dict[str, np.ndarray] = {}
    for spec in specs:
        if spec.name in fixed:
            inputs[spec.name] = np.asarray(fixed[spec.name]).astype(spec.dtype)
        elif is_float(spec.dtype):
            inputs[spec.name] = rng.normal(size=shapes[spec.name]).astype(spec.dtype)
        elif spec.dtype == "bool":
            inputs[spec.name] = rng.integers(0, 2, size=shapes[spec.name]).astype(bool)
        else:
            low, high = _integer_range(graph, spec.name)
            inputs[spec.name] = rng.integers(low, high, size=shapes[spec.name]).astype(spec.dtype)
    return inputs


def _integer_range(graph: Graph, name: str) -> tuple[int, int]:
    """Indices of the smallest table that `name` looks up; else 1 … frames, which suits lengths."""
    same = {name}
    rows: list[int] = []
    for node in graph.nodes:
        if not isinstance(node, Node) or not same.intersection(node.inputs):
            continue
        if node.op == "lookup":
            axis = node.attributes["axis"]
            assert isinstance(axis, int)
            rows.append(graph.shape(node.inputs[0])[axis])
        elif node.op in ("reshape", "transpose", "take", "slice"):
            same.add(node.output)
    if rows:
        return 0, min(rows)
    return 1, max([scan.length for scan in graph.scans()], default=2) + 1
