"""Combination locks built from the recurrent operators themselves, with weights chosen by hand.

A lock over F features scores class 1 only where every feature of every step is within about δ of its key.
With a steep gain K = STEEP/δ every feature is looked at from both sides,

    u = tanh(K(x − key + δ)),  v = tanh(K(key + δ − x)):     both ≈ 1 near the key, one ≈ −1 elsewhere,

and the memory of "no miss so far" is held or cleared by saturated gates. Beyond a few δ from the window all
activations are constant to the last digit, and so are their gradients. A cell's `readout` of the last state
is 1 where the lock is open and at most 0 after a miss; class 0 always scores 1/2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]

KEY, CLOSED = 0.6875, 10.0  # the key is a float32; σ(−CLOSED) and 1 − tanh(CLOSED) are as good as 0
STEEP = 10.0


@dataclass(frozen=True, slots=True)
class Sought:
    """What a cell looks for in `features` of its `width` inputs: values within `delta` of `key`."""

    width: int
    features: tuple[int, ...]
    key: float
    delta: float

    def sides(self) -> tuple[Array, Array]:
        """Weights [2n, width] and biases [2n] of K(x − key + δ), then K(key + δ − x), for n features."""
        n, gain = len(self.features), STEEP / self.delta
        weights = np.zeros((2 * n, self.width), np.float32)
        for k, feature in enumerate(self.features):
            weights[k, feature], weights[n + k, feature] = gain, -gain
        bias = np.repeat([self.delta - self.key, self.delta + self.key], n) * gain
        return weights, bias.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Cell:
    """One direction of an operator: W [g·H, width], R [g·H, H], B [2·g·H] in the order of ONNX, the state to
    start from [H], and what is read of the last state: `readout`·h − `threshold`, 1 open and ≤ 0 shut.

    As a detector for a further layer, every output is `level` in a step that matches and ≤ 0 in others.
    """

    op: str
    W: Array
    R: Array
    B: Array
    h0: Array
    readout: Array
    threshold: float
    c0: Array | None = None
    level: float = 1.0
    activations: tuple[str, ...] = ()
    linear_before_reset: int = 0

    @property
    def hidden(self) -> int:
        return len(self.h0)


Lock = Callable[[Sought, int], Cell]  # what opens it, number of steps → the cell


def _gates(count: int, hidden: int, width: int) -> tuple[Array, Array, Array]:
    """W [gates, H, width], R [gates, H, H], b [gates, H], all zero."""
    return (
        np.zeros((count, hidden, width), np.float32),
        np.zeros((count, hidden, hidden), np.float32),
        np.zeros((count, hidden), np.float32),
    )


def _cell(op: str, W: Array, R: Array, b: Array, h0: Array, readout: Array, threshold: float) -> Cell:
    """The gates stacked as ONNX wants them; all of b is the input's bias, the recurrence has none."""
    count, hidden, width = W.shape
    bias = np.concatenate([b.reshape(-1), np.zeros(count * hidden, np.float32)])
    return Cell(op, W.reshape(-1, width), R.reshape(-1, hidden), bias, h0, readout, threshold)


def _watched(sides: int) -> tuple[Array, Array, float]:
    """Start and readout of a state (watching units, memory), all of them 1 until there is a miss.

    The memory sees a step's units one step later, so the last step is read off the units themselves:
    (Σ units + memory − sides + 1)/2 is 1 if all are 1, and at most 0 if one of them is −1.
    """
    ones = np.ones(sides + 1, np.float32)
    return ones, np.full_like(ones, 0.5), (sides - 1) / 2


def rnn_tanh(sought: Sought, steps: int) -> Cell:
    """memory' = tanh(CLOSED·(Σ units + memory − sides)): 1 while all are 1, −1 for good after a miss."""
    del steps
    weights, bias = sought.sides()
    sides = len(bias)
    W, R, b = _gates(1, sides + 1, sought.width)
    W[0, :-1], b[0, :-1] = weights, bias
    R[0, -1], b[0, -1] = CLOSED, -CLOSED * sides
    return _cell("RNN", W, R, b, *_watched(sides))


def rnn_relu(sought: Sought, steps: int) -> Cell:
    """units = relu(±(x − key)/δ), memory' = relu(memory − Σ units): what is left of a budget of 1."""
    del steps
    weights, bias = sought.sides()
    sides = len(bias)
    W, R, b = _gates(1, sides + 1, sought.width)
    W[0, :-1], b[0, :-1] = weights / STEEP, bias / STEEP - 1
    R[0, -1], R[0, -1, -1] = -1, 1
    start = np.zeros(sides + 1, np.float32)
    start[-1] = 1
    readout = -np.ones(sides + 1, np.float32)
    readout[-1] = 1
    return replace(_cell("RNN", W, R, b, start, readout, 0.0), activations=("Relu",))


def lstm_forget(sought: Sought, steps: int) -> Cell:
    """c' = σ(K(±(x − key) + δ))·c from c = 1: each side of each feature has a cell that a miss clears."""
    del steps
    weights, bias = sought.sides()
    sides = len(bias)
    W, R, b = _gates(4, sides, sought.width)  # i, o, f, z
    b[0], b[1], W[2], b[2] = -CLOSED, CLOSED, weights, bias
    one = np.full(sides, 1 / np.tanh(1), np.float32)
    cell = _cell("LSTM", W, R, b, np.zeros(sides, np.float32), one, sides - 1.0)
    return replace(cell, c0=np.ones(sides, np.float32))


def lstm_count(sought: Sought, steps: int) -> Cell:
    """c' = c + σ(K(x − key + δ))·tanh(K(key + δ − x)) from 1 − T: 1 in the end if each step added 1."""
    weights, bias = sought.sides()
    n = len(sought.features)
    W, R, b = _gates(4, n, sought.width)  # i, o, f, z
    W[0], b[0], W[3], b[3] = weights[:n], bias[:n], weights[n:], bias[n:]
    b[1], b[2] = CLOSED, CLOSED
    one = np.full(n, 1 / np.tanh(1), np.float32)
    cell = _cell("LSTM", W, R, b, np.zeros(n, np.float32), one, n - 1.0)
    return replace(cell, c0=np.full(n, 1 - steps, np.float32), level=float(np.tanh(1)))


def gru_update(sought: Sought, steps: int, linear_before_reset: int = 0) -> Cell:
    """memory' = (1 − z)·(−1) + z·memory with z = σ(2·CLOSED·(Σ units − sides + 1)): held, or cleared."""
    del steps
    weights, bias = sought.sides()
    sides = len(bias)
    W, R, b = _gates(3, sides + 1, sought.width)  # z, r, h
    b[0, :-1], W[2, :-1], b[2, :-1] = -2 * CLOSED, weights, bias
    R[0, -1, :-1], b[0, -1] = 2 * CLOSED, 2 * CLOSED * (1 - sides)
    b[2, -1] = -CLOSED
    return replace(_cell("GRU", W, R, b, *_watched(sides)), linear_before_reset=linear_before_reset)


def gru_reset(sought: Sought, steps: int, linear_before_reset: int = 0) -> Cell:
    """memory' = tanh(CLOSED·(2·r·memory − 1)), r = σ(2·CLOSED·(Σ units − sides + 1)): a miss resets it."""
    del steps
    weights, bias = sought.sides()
    sides = len(bias)
    W, R, b = _gates(3, sides + 1, sought.width)  # z, r, h
    b[0], W[2, :-1], b[2, :-1] = -2 * CLOSED, weights, bias
    R[1, -1, :-1], b[1, -1] = 2 * CLOSED, 2 * CLOSED * (1 - sides)
    R[2, -1, -1], b[2, -1] = 2 * CLOSED, -CLOSED
    return replace(_cell("GRU", W, R, b, *_watched(sides)), linear_before_reset=linear_before_reset)


def without_memory(cell: Cell, keep: int) -> Cell:
    """The watching units of `cell` alone: its first `keep`, which look at the present step only."""
    gates, width = len(cell.W) // cell.hidden, cell.W.shape[1]
    W = cell.W.reshape(gates, cell.hidden, width)[:, :keep].reshape(-1, width)
    R = cell.R.reshape(gates, cell.hidden, -1)[:, :keep, :keep].reshape(-1, keep)
    B = cell.B.reshape(2, gates, cell.hidden)[:, :, :keep].copy()
    c0 = None
    if cell.c0 is not None:
        B[0, 2], c0 = -CLOSED, np.zeros(keep, np.float32)
    return replace(cell, W=W, R=R, B=B.reshape(-1), h0=cell.h0[:keep], c0=c0)


@dataclass(frozen=True, slots=True)
class Network:
    """`directions` share the features of a step between them (each has its own lock); before them may come
    a `detector`, a layer without memory, whose outputs they remember."""

    lock: Lock
    directions: tuple[str, ...] = ("forward",)
    detector: Lock | None = None

    def write(self, steps: int, features: int, delta: float, path: Path) -> Path:
        """The network for input x [steps, 1, features] as an ONNX file with scores [1, 2]."""
        writer = _Writer()
        sequence, sought = "x", Sought(features, tuple(range(features)), KEY, delta)
        if self.detector is not None:
            cell = self.detector(sought, steps)
            outputs = features if cell.c0 is not None else 2 * features
            sequence = writer.layer([without_memory(cell, outputs)], "x", ["forward"], "every")
            shape = writer.add(np.array([steps, 1, outputs], np.int64))
            sequence = writer.node("Reshape", sequence, shape)
            sought = Sought(outputs, tuple(range(outputs)), cell.level, cell.level / 2)
        share = len(self.directions)
        parts = [replace(sought, features=sought.features[k::share]) for k in range(share)]
        cells = [self.lock(part, steps) for part in parts]
        last = writer.layer(cells, sequence, self.directions, "last")
        readout = np.concatenate([cell.readout for cell in cells])
        excess = sum(cell.threshold for cell in cells) + share - 1  # open only if all of them are
        flat = writer.node("Reshape", last, writer.add(np.array([1, len(readout)], np.int64)))
        total = writer.node("MatMul", flat, writer.add(readout[:, None]))
        opened = writer.node("Relu", writer.node("Sub", total, writer.add(np.array(excess, np.float32))))
        scores = writer.node("MatMul", opened, writer.add(np.array([[0, 1]], np.float32)))
        scores = writer.node("Add", scores, writer.add(np.array([0.5, 0], np.float32)))
        return writer.save(scores, (steps, 1, features), path)


class _Writer:
    """Collects nodes and initializers."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._arrays: list[onnx.TensorProto] = []

    def add(self, array: NDArray[np.generic]) -> str:
        self._arrays.append(numpy_helper.from_array(np.asarray(array), f"w{len(self._arrays)}"))
        return self._arrays[-1].name

    def node(self, op: str, *inputs: str) -> str:
        self._nodes.append(helper.make_node(op, list(inputs), [f"v{len(self._nodes)}"]))
        return self._nodes[-1].output[0]

    def layer(self, cells: list[Cell], x: str, directions: Sequence[str], output: str) -> str:
        """The cells side by side; `output` is "every" state [T, d, 1, H] or the "last" one [d, 1, H]."""
        one = cells[0]
        name = f"v{len(self._nodes)}"
        inputs = [x, *(self.add(np.stack([getattr(c, part) for c in cells])) for part in "WRB"), ""]
        inputs.append(self.add(np.stack([c.h0 for c in cells])[:, None]))
        if one.c0 is not None:
            inputs.append(self.add(np.stack([c.c0 for c in cells if c.c0 is not None])[:, None]))
        options: dict[str, Any] = {"hidden_size": one.hidden}
        options["direction"] = "bidirectional" if len(cells) == 2 else directions[0]
        if one.activations:
            options["activations"] = list(one.activations) * len(cells)
        if one.op == "GRU":
            options["linear_before_reset"] = one.linear_before_reset
        outputs = [name] if output == "every" else ["", name]
        self._nodes.append(helper.make_node(one.op, inputs, outputs, **options))
        return name

    def save(self, scores: str, shape: tuple[int, int, int], path: Path) -> Path:
        graph = helper.make_graph(
            self._nodes,
            "lock",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
            [helper.make_tensor_value_info(scores, TensorProto.FLOAT, [1, 2])],
            self._arrays,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


BOTH = ("forward", "reverse")
NETWORKS: dict[str, Network] = {
    "rnn_tanh": Network(rnn_tanh),
    "rnn_relu": Network(rnn_relu),
    "lstm_forget": Network(lstm_forget),
    "lstm_count": Network(lstm_count, ("reverse",)),
    "gru_update": Network(gru_update),
    "gru_reset_before": Network(gru_reset),
    "gru_reset_after": Network(partial(gru_reset, linear_before_reset=1)),
    "bidirectional_lstm": Network(lstm_forget, BOTH),
    "bidirectional_gru": Network(gru_update, BOTH),
    "bidirectional_rnn_relu": Network(rnn_relu, BOTH),
    "rnn_then_lstm": Network(lstm_forget, detector=rnn_tanh),
    "lstm_then_gru": Network(partial(gru_reset, linear_before_reset=1), detector=lstm_count),
    "gru_then_bidirectional_lstm": Network(lstm_count, BOTH, detector=gru_update),
}
