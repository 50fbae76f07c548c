"""`recert inspect`: equations of the cells, and the same ones whatever the exporter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from parsers import read_onnx
from parsers.ir import Scan
from tests.support.command_line import Recert, Refused
from tests.support.networks.handmade import Builder, lstm_classifier
from tests.support.paths import MODELS
from verifier.inspection.equations import cell_equations, network_equations

LSTM = [
    "a1 = x·W1 + h·U1 + b1",
    "a2 = x·W2 + h·U2 + b2",
    "a3 = x·W3 + h·U3 + b3",
    "a4 = x·W4 + h·U4 + b4",
    "c' = σ(a2) ⊙ c + σ(a3) ⊙ tanh(a4)",
    "h' = σ(a1) ⊙ tanh(c')",
]


def cells(path: Path) -> list[list[str]]:
    shapes = {} if "mnist" in path.name or "_15" in path.name else {"time": 6}
    return [cell_equations(scan) for scan in read_onnx(path, shapes).scans()]


@pytest.mark.parametrize("file", ["vowels_lstm.onnx", "vowels_lstm_dynamo.onnx", "vowels_lstm_15.onnx"])
def test_every_export_of_an_lstm_has_the_same_equations(file: str) -> None:
    assert cells(MODELS / file) == [LSTM]


def test_a_bidirectional_stack_is_four_cells() -> None:
    assert cells(MODELS / "vowels_bilstm2.onnx") == [LSTM] * 4


def test_gru_blend() -> None:
    (lines,) = cells(MODELS / "vowels_gru.onnx")
    assert lines[-1] == "h' = σ(−a1) ⊙ tanh(a3) + σ(a1) ⊙ h"
    assert any("σ(a2) ⊙ (h·U" in line for line in lines)


def test_an_lstm_by_hand() -> None:
    graph = lstm_classifier(steps=3, features=2, hidden=4, classes=3)
    (scan,) = graph.scans()
    lines = cell_equations(scan)
    assert lines == LSTM
    assert (
        network_equations(graph)[0]
        == "s1, s2 = final h, all y of cell 1(x, h=0, c=0), 3 time steps, first to last"
    )


def test_a_window_that_cannot_be_moved_is_shown() -> None:
    """A slice of a softmax is not the softmax of a slice: the window must stay outside."""
    net = Builder("net", {"x": (1, 6)})
    weights = net.constant("W", np.arange(12.0).reshape(6, 2) + 1)
    part = net.node(
        "slice",
        net.node("softmax", net.node("matmul", "x", weights), axis=1),
        axis=1,
        start=0,
        stop=1,
        step=1,
    )
    (line,) = network_equations(net.graph(part))
    assert line.endswith("= softmax(x·W1, axis=1)[0]")


def test_a_slice_of_time_goes_to_the_input() -> None:
    net = Builder("net", {"x": (5, 3)})
    weights = net.constant("W", np.arange(6.0).reshape(3, 2) + 1)
    step = net.node("slice", net.node("matmul", "x", weights), axis=0, start=2, stop=3, step=1)
    (line,) = network_equations(net.graph(net.node("tanh", step)))[-1:]
    assert line.endswith("= tanh(a1)")
    assert network_equations(net.graph(net.node("tanh", step)))[0] == "a1 = x[2, :]·W1"


def test_repeated_values_are_written_once() -> None:
    net = Builder("net", {"x": (1, 3)})
    twice = net.node("mul", "x", "x")
    (first, second) = network_equations(net.graph(net.node("add", twice, net.node("tanh", twice))))
    assert first == "u1 = x ⊙ x"
    assert second.endswith("= u1 + tanh(u1)")


def test_text_and_json_say_the_same(recert: Recert) -> None:
    text = recert("inspect", MODELS / "vowels_gru.onnx", "--bind", "time=9").stdout
    found = json.loads(recert("inspect", MODELS / "vowels_gru.onnx", "--bind", "time=9", "--json").stdout)
    (cell,) = found["cells"]
    assert cell["form"] == "GRU"
    assert cell["length"] == 9
    assert cell["states"] == {"h": 32}
    assert found["inputs"] == [{"name": "x", "shape": [9, 1, 12], "dtype": "float32"}]
    assert found["refusals"] == []
    for line in (*cell["equations"], *found["network"], *found["notes"]):
        assert line in text
    assert "32 × σ(−x)·tanh(y) + σ(x)·z" in text
    assert found["parameters"] == sum(a.size for a in _weights(MODELS / "vowels_gru.onnx") if a.size > 1)


def _weights(path: Path) -> list[np.ndarray]:
    graph = read_onnx(path, {"time": 9})
    bodies = [node.body for node in graph.nodes if isinstance(node, Scan)]
    return [array for part in (graph, *bodies) for array in part.constants.values()]


def test_no_size_that_nobody_gave_is_shown_as_the_files(recert: Recert) -> None:
    result = recert("inspect", MODELS / "vowels_lstm.onnx")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "  inputs      x [batch, time, 12] float32" in lines
    assert "  outputs     logits [batch, 9] float32" in lines
    assert "  time steps  time of shape [1, 12], first to last" in lines
    assert "  assumed     time = 8, only to show the structure; --bind time=N sets it" in lines
    assert "network at time = 8" in lines
    assert "time steps, first to last" in result.stdout
    found = json.loads(recert("inspect", MODELS / "vowels_lstm.onnx", "--json").stdout)
    assert found["assumed"] == {"time": 8}
    assert found["dimensions"]["x"] == ["batch", "time", 12]


def test_a_size_that_is_given_is_shown(recert: Recert) -> None:
    result = recert("inspect", MODELS / "vowels_lstm.onnx", "--bind", "time=8")
    assert "x [batch, 8, 12] float32" in result.stdout
    assert "  time steps  8 of shape [1, 12], first to last" in result.stdout.splitlines()
    assert "assumed" not in result.stdout


def test_inspect_says_which_kernels_run(recert: Recert) -> None:
    assert "compiled kernels: " in recert("inspect", MODELS / "vowels_rnn.onnx").stdout


def test_a_binding_must_make_sense(refused: Refused) -> None:
    assert "write NAME=20" in refused("inspect", MODELS / "vowels_gru.onnx", "--bind", "time=soon")
    assert "nothing in the model is called" in refused(
        "inspect", MODELS / "vowels_gru.onnx", "--bind", "tme=3"
    )
