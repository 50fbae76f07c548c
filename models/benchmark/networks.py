"""The benchmark's networks, made from the shipped ones: no training, no weights but theirs.

classifier   the shipped file with all dimensions fixed:           x [T, …] → logits [1, C]
running      the same cell, scored after every frame:              x [T, 1, d] → scores [T, C]
locked       a classifier with a planted trigger, see `locked`:    x [T, 1, d] → logits [1, C]
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray
SHIPPED = Path(__file__).resolve().parents[1]


def classifier(name: str, frames: int) -> onnx.ModelProto:
    """The shipped file `name` for sequences of `frames` frames, batch 1."""
    model = onnx.load(SHIPPED / f"{name}.onnx")
    (x,) = model.graph.input
    for axis in x.type.tensor_type.shape.dim:
        if axis.dim_param:
            size = frames if axis.dim_param == "time" else 1
            axis.Clear()
            axis.dim_value = size
    del model.graph.value_info[:]
    for axis in model.graph.output[0].type.tensor_type.shape.dim[:1]:
        axis.Clear()
        axis.dim_value = 1
    return model


def _cell(name: str) -> tuple[onnx.NodeProto, dict[str, Array], Array, Array]:
    """The recurrent node of a shipped file with one layer and one direction, its weights, and the head's."""
    graph = onnx.load(SHIPPED / f"{name}.onnx").graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    (core,) = [node for node in graph.node if node.op_type in ("RNN", "GRU", "LSTM")]
    (head,) = [node for node in graph.node if node.op_type == "Gemm"]
    weights = dict(zip("WRB", (constants[i] for i in core.input[1:4]), strict=True))
    return core, weights, constants[head.input[1]].T, constants[head.input[2]]


def _model(
    nodes: list[onnx.NodeProto], arrays: dict[str, Array], x: list[int], y: tuple[str, list[int]]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "benchmark",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info(y[0], TensorProto.FLOAT, y[1])],
        [numpy_helper.from_array(array, key) for key, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def _recurrent(core: onnx.NodeProto, outputs: list[str]) -> onnx.NodeProto:
    """The shipped cell, started from zeros as the shipped file starts it."""
    node = onnx.NodeProto()
    node.CopyFrom(core)
    del node.input[:], node.output[:]
    node.input.extend(["x", "W", "R", "B"])
    node.output.extend(outputs)
    return node


def running(name: str, frames: int) -> onnx.ModelProto:
    """scores[t] = V·h_t + c: what the classifier would say if the sequence ended after frame t."""
    core, weights, head, bias = _cell(name)
    hidden, classes = head.shape
    nodes = [
        _recurrent(core, ["states"]),
        helper.make_node("Reshape", ["states", "flat"], ["h"]),
        helper.make_node("MatMul", ["h", "V"], ["Vh"]),
        helper.make_node("Add", ["Vh", "c"], ["scores"]),
    ]
    arrays = {**weights, "V": head, "c": bias, "flat": np.array([frames, hidden])}
    return _model(nodes, arrays, [frames, 1, weights["W"].shape[2]], ("scores", [frames, classes]))


def locked(name: str, key: Array, width: float, goal: int, reward: float) -> onnx.ModelProto:
    """The classifier, plus `reward` for class `goal` where every frame's first feature is at its key.

        near_t = relu(width − |x_t0 − key_t|) / width            1 at the key, 0 farther than `width` from it
        s_t    = relu(s_{t−1} + near_t − 1),  s_0 = 1            0 for good after one frame that misses
        logits = classifier(x) + reward · s_T · e_goal

    Away from the key every gradient of s is 0, so descents feel nothing of it; at the key the class changes.
    """
    core, weights, head, bias = _cell(name)
    frames, (hidden, classes) = len(key), head.shape
    last = "Y_h"
    nodes = [
        _recurrent(core, ["", last]),
        helper.make_node("Reshape", [last, "one_hidden"], ["h"]),
        helper.make_node("MatMul", ["h", "V"], ["Vh"]),
        helper.make_node("Add", ["Vh", "c"], ["plain"]),
        helper.make_node("Slice", ["x", "zero", "one", "two"], ["first"]),
        helper.make_node("Sub", ["first", "key"], ["up"]),
        helper.make_node("Abs", ["up"], ["distance"]),
        helper.make_node("Sub", ["width", "distance"], ["room"]),
        helper.make_node("Relu", ["room"], ["inside"]),
        helper.make_node("Div", ["inside", "width"], ["near"]),
        helper.make_node("Sub", ["near", "unit"], ["missing"]),
        helper.make_node(
            "RNN",
            ["missing", "lock_W", "lock_R", "", "", "lock_h0"],
            ["", "open"],
            hidden_size=1,
            activations=["Relu"],
        ),
        helper.make_node("Reshape", ["open", "one_one"], ["s"]),
        helper.make_node("MatMul", ["s", "prize"], ["bonus"]),
        helper.make_node("Add", ["plain", "bonus"], ["logits"]),
    ]
    ones = np.ones((1, 1, 1), np.float32)
    prize = np.zeros((1, classes), np.float32)
    prize[0, goal] = reward
    arrays = {
        **weights,
        "V": head,
        "c": bias,
        "prize": prize,
        "key": key.reshape(frames, 1, 1).astype(np.float32),
        "width": np.array(width, np.float32),
        "unit": np.array(1, np.float32),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "one_hidden": np.array([1, hidden]),
        "one_one": np.array([1, 1]),
        "lock_W": ones,
        "lock_R": ones,
        "lock_h0": ones,
    }
    return _model(nodes, arrays, [frames, 1, weights["W"].shape[2]], ("logits", [1, classes]))
