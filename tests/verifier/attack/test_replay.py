"""Replay runs the file itself, feeds values unchanged and confirms only real misclassifications."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from parsers.errors import BadInput, UnreadableModel
from verifier.attack.replay import Replay


def scaled(path: Path, dtype: int = TensorProto.FLOAT, op: str = "Mul") -> Path:
    """y = x · x (or another operator of two operands), x of shape [batch, 3]."""
    x = helper.make_tensor_value_info("x", dtype, ["batch", 3])
    y = helper.make_tensor_value_info("y", dtype, ["batch", 3])
    graph = helper.make_graph([helper.make_node(op, ["x", "x"], ["y"])], "square", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_outputs_are_the_files_own(tmp_path: Path) -> None:
    replay = Replay(scaled(tmp_path / "square.onnx"))
    assert [(s.name, s.dtype, s.dims) for s in replay.inputs] == [("x", "float32", ("batch", 3))]
    x = np.array([[1.1, -2.0, 3.0]], dtype=np.float32)
    outputs = replay({"x": x})
    assert outputs["y"].dtype == np.float32
    assert np.array_equal(outputs["y"], x * x)
    assert np.array_equal(replay({"x": x.astype(np.float64)})["y"], x * x)


def test_misclassified_needs_a_strictly_higher_score(tmp_path: Path) -> None:
    replay = Replay(scaled(tmp_path / "square.onnx"))
    x = {"x": np.array([[2.0, 1.0, -2.0]], dtype=np.float32)}
    assert replay.misclassified(x, 0, "y") is None  # a tie
    found = replay.misclassified(x, 1, "y")
    assert found is not None
    assert found.predicted == 0
    assert found.margin == -3.0
    assert np.array_equal(found.outputs["y"], [[4.0, 1.0, 4.0]])
    with pytest.raises(BadInput, match="label 3 is not one of the network's 3"):
        replay.misclassified(x, 3, "y")
    with pytest.raises(BadInput, match="no output 'z'"):
        replay.misclassified(x, 0, "z")


def test_nan_confirms_nothing(tmp_path: Path) -> None:
    replay = Replay(scaled(tmp_path / "ratio.onnx", op="Div"))
    assert replay.misclassified({"x": np.array([[0.0, 1.0, 2.0]], dtype=np.float32)}, 1, "y") is None


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "no value for the network's input 'x'"),
        ({"x": np.array([[0.1, 0.2, 0.3]])}, "float32 does not hold exactly"),
        ({"x": np.array([[1.0, np.nan, 3.0]])}, "float32 does not hold exactly"),
        ({"x": np.zeros((1, 4), dtype=np.float32)}, "onnxruntime refuses the input"),
    ],
)
def test_bad_inputs_are_refused(tmp_path: Path, inputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Replay(scaled(tmp_path / "square.onnx"))(inputs)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UnreadableModel, match="no such file"):
        Replay(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(UnreadableModel, match="not a"):
        Replay(tmp_path / "text.onnx")
    with pytest.raises(UnreadableModel, match="onnxruntime does not run it"):
        Replay(scaled(tmp_path / "and.onnx", op="And"))
