"""What the tests of the command line share: a network small enough for a verdict in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from typer.testing import Result

Recert = Callable[..., Result]
Refused = Callable[..., str]

STEPS, FEATURES, HIDDEN, CLASSES = 3, 2, 3, 3


def tiny_lstm(steps: int | str = "time", *, seed: int = 3) -> onnx.ModelProto:
    """x [steps, 1, FEATURES] → LSTM → last state → logits [1, CLASSES]."""
    rng = np.random.default_rng(seed)
    weights = {
        "W": rng.normal(size=(1, 4 * HIDDEN, FEATURES)),
        "R": rng.normal(size=(1, 4 * HIDDEN, HIDDEN)),
        "B": 0.1 * rng.normal(size=(1, 8 * HIDDEN)),
        "V": 3 * rng.normal(size=(HIDDEN, CLASSES)),
    }
    shape = np.array([1, HIDDEN])
    nodes = [
        helper.make_node("LSTM", ["x", "W", "R", "B"], ["", "h"], hidden_size=HIDDEN),
        helper.make_node("Reshape", ["h", "shape"], ["last"]),
        helper.make_node("MatMul", ["last", "V"], ["logits"]),
    ]
    constants = [onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [steps, 1, FEATURES])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])],
        [*constants, onnx.numpy_helper.from_array(shape, "shape")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@dataclass(frozen=True)
class Files:
    """A model and data of two lengths, labelled as onnxruntime predicts, but for sample 0."""

    model: Path
    data: Path
    inputs: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray

    def save(self, path: Path, **changed: np.ndarray) -> Path:
        """The data set with some arrays replaced."""
        arrays = {"inputs": self.inputs, "labels": self.labels, "lengths": self.lengths} | changed
        np.savez(path, **arrays)  # type: ignore[arg-type]
        return path


def query(
    folder: Path, violation: str, *, steps: int = STEPS, radius: float = 0.01, outputs: int = 3
) -> Path:
    """A box of `radius` around zero and `violation`, in VNN-LIB 2.0."""
    shape = f"[{steps},1,{FEATURES}]"
    bounds = "".join(
        f"(assert (>= X[{t},0,{i}] {-radius}))(assert (<= X[{t},0,{i}] {radius}))\n"
        for t in range(steps)
        for i in range(FEATURES)
    )
    path = folder / "query.vnnlib"
    path.write_text(
        "(vnnlib-version <2.0>)\n"
        f"(declare-network N (declare-input X float32 {shape}) (declare-output Y float32 [1,{outputs}]))\n"
        f"{bounds}(assert {violation})\n"
    )
    return path
