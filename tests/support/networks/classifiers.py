"""Small recurrent classifiers with random weights, written as ONNX files: what the bound tests run on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STEPS, FEATURES, HIDDEN, CLASSES = 5, 3, 4, 3
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


class Writer:
    """Collects the nodes and float32 initializers of one model with input x [T, 1, FEATURES]."""

    def __init__(self, seed: int, scale: float = 1.0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)
        self._scale = scale

    def weight(self, *shape: int, fan_in: int = 1) -> str:
        array = self._random.normal(size=shape) * self._scale / np.sqrt(fan_in)
        return self.constant(array.astype(np.float32))

    def constant(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: object) -> list[str]:
        names = [f"{op.lower()}{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=names[0], **attributes))
        return names

    def recurrent(
        self, op: str, x: str, features: int, direction: str = "forward", **attributes: object
    ) -> str:
        """A layer with its outputs side by side: [T, 1, directions·HIDDEN]."""
        directions = 2 if direction == "bidirectional" else 1
        gates = _GATES[op]
        inputs = [
            x,
            self.weight(directions, gates * HIDDEN, features, fan_in=features),
            self.weight(directions, gates * HIDDEN, HIDDEN, fan_in=HIDDEN),
            self.weight(directions, 2 * gates * HIDDEN, fan_in=4),
        ]
        y, *_ = self.node(op, *inputs, outputs=2, hidden_size=HIDDEN, direction=direction, **attributes)
        (moved,) = self.node("Transpose", y, perm=[0, 2, 1, 3])  # [T, 1, directions, HIDDEN]
        shape = self.constant(np.array([STEPS, 1, directions * HIDDEN], np.int64))
        return self.node("Reshape", moved, shape)[0]

    def last(self, sequence: str) -> str:
        index = self.constant(np.array(STEPS - 1, np.int64))
        return self.node("Gather", sequence, index, axis=0)[0]

    def head(self, features: str, size: int) -> str:
        return self.node("Gemm", features, self.weight(size, CLASSES, fan_in=size), self.weight(CLASSES))[0]

    def save(self, output: str, path: Path) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [STEPS, 1, FEATURES])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, CLASSES])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def _plain(op: str, **attributes: object) -> Callable[[Writer], str]:
    def make(write: Writer) -> str:
        return write.head(write.last(write.recurrent(op, "x", FEATURES, **attributes)), HIDDEN)

    return make


def _stacked(op: str, direction: str) -> Callable[[Writer], str]:
    def make(write: Writer) -> str:
        width = HIDDEN * (2 if direction == "bidirectional" else 1)
        first = write.recurrent(op, "x", FEATURES, direction)
        second = write.recurrent(op, first, width, direction)
        return write.head(write.last(second), width)

    return make


def _attention(write: Writer) -> str:
    """Softmax over time of a score of each hidden state, then the weighted sum: two perturbed factors."""
    states = write.recurrent("GRU", "x", FEATURES, linear_before_reset=1)
    (weights,) = write.node("Softmax", write.node("MatMul", states, write.weight(HIDDEN, 1))[0], axis=0)
    (weighted,) = write.node("Mul", states, weights)
    axes = write.constant(np.array([0], np.int64))
    (pooled,) = write.node("ReduceSum", weighted, axes, keepdims=0)
    return write.head(pooled, HIDDEN)


def _residual_relu(write: Writer) -> str:
    """Every step's scores averaged, through a ReLU and with a skip from the inputs' last step."""
    states = write.recurrent("LSTM", "x", FEATURES)
    (hidden,) = write.node(
        "Relu", write.node("MatMul", states, write.weight(HIDDEN, HIDDEN, fan_in=HIDDEN))[0]
    )
    (mean,) = write.node("ReduceMean", hidden, axes=[0], keepdims=0)
    (skip,) = write.node("MatMul", write.last("x"), write.weight(FEATURES, HIDDEN, fan_in=FEATURES))
    return write.head(write.node("Add", mean, skip)[0], HIDDEN)


NETWORKS: dict[str, Callable[[Writer], str]] = {
    "lstm": _plain("LSTM"),
    "lstm_reverse": _plain("LSTM", direction="reverse"),
    "lstm_input_forget": _plain("LSTM", input_forget=1),
    "lstm_clip": _plain("LSTM", clip=0.7),
    "lstm_hard_sigmoid_relu": _plain("LSTM", activations=["HardSigmoid", "Relu", "Tanh"]),
    "gru": _plain("GRU"),
    "gru_reset_after": _plain("GRU", linear_before_reset=1),
    "rnn_tanh": _plain("RNN"),
    "rnn_relu": _plain("RNN", activations=["Relu"]),
    "lstm_two_layers": _stacked("LSTM", "forward"),
    "gru_two_layers_bidirectional": _stacked("GRU", "bidirectional"),
    "attention": _attention,
    "residual_relu": _residual_relu,
}


def write_network(name: str, folder: Path, *, seed: int = 0, scale: float = 1.0) -> Path:
    """Write network `name` into `folder`; `scale` multiplies all weights (large: saturated gates)."""
    write = Writer(seed, scale)
    return write.save(NETWORKS[name](write), folder / f"{name}_{seed}_{scale}.onnx")
