"""Recurrent classifiers of any size with random weights, as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
CLASSES = 5


def write_classifier(
    kind: str, hidden: int, length: int, features: int, folder: Path, *, seed: int = 0
) -> Path:
    """A `kind` layer over x [length, 1, features] and a linear layer on its last state; weights uniform in
    ±1/√hidden, as torch initialises them."""
    random = np.random.default_rng(seed)
    gates = GATES[kind] * hidden

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        array = random.uniform(-1, 1, size=shape) / np.sqrt(hidden)
        return numpy_helper.from_array(array.astype(np.float32), name)

    weights = [
        weight("W", 1, gates, features),
        weight("R", 1, gates, hidden),
        weight("B", 1, 2 * gates),
        weight("C", CLASSES, hidden),
        weight("b", CLASSES),
        numpy_helper.from_array(np.array([0], np.int64), "direction"),
    ]
    after: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
    nodes = [
        helper.make_node(kind, ["x", "W", "R", "B"], ["", "h"], hidden_size=hidden, name="layer", **after),
        helper.make_node("Squeeze", ["h", "direction"], ["last"]),
        helper.make_node("Gemm", ["last", "C", "b"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [length, 1, features])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / f"{kind.lower()}_{hidden}_{length}_{features}_{seed}.onnx"
    onnx.save(model, path)
    return path
