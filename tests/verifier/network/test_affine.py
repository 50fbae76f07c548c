"""Affine forms over long sequences: too large to tabulate, and yet what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import verifier.network.affine
from parsers import read_onnx
from verifier.network.linear_maps import Identity, Operator
from verifier.network.program import compile_program

SIZE = 6


def _gate_over(folder: Path, *nodes: onnx.NodeProto) -> Path:
    """tanh of value `y`, made from x [2, 3] by `nodes`."""
    out = helper.make_node("Tanh", ["y"], ["out"])
    weights = [
        numpy_helper.from_array(np.array([SIZE], np.int64), "flat"),
        numpy_helper.from_array(np.array([5, 4, 3, 2, 1, 0], np.int64), "backwards"),
        numpy_helper.from_array(np.array(2, np.float32), "two"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    y = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph([*nodes, out], "gate", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "gate.onnx")
    return folder / "gate.onnx"


RESHAPE = helper.make_node("Reshape", ["x", "flat"], ["v"])
CASES = {
    "a copy": ([RESHAPE, helper.make_node("Identity", ["v"], ["y"])], Identity),
    "another order": ([RESHAPE, helper.make_node("Gather", ["v", "backwards"], ["y"])], Operator),
    "a multiple": ([RESHAPE, helper.make_node("Mul", ["v", "two"], ["y"])], Operator),
}


@pytest.mark.parametrize("case", CASES)
def test_only_a_copy_is_the_identity(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier.network.affine, "TABULATE_UP_TO", 1)
    nodes, kind = CASES[case]
    (step,) = compile_program(read_onnx(_gate_over(tmp_path, *nodes))).steps
    (found,) = step.operands[0].terms.values()  # type: ignore[union-attr]
    assert isinstance(found, kind)
    x = torch.arange(SIZE, dtype=torch.float64)
    expected = {"a copy": x, "another order": x.flip(0), "a multiple": 2 * x}[case]
    assert torch.equal(found.apply(x), expected)
