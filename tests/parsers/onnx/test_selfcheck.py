"""A reader that reads wrongly is caught before anything is proved: each test breaks it on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from parsers import read_onnx
from parsers.errors import SelfCheckFailed
from parsers.onnx import ops
from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Val, constant
from parsers.onnx.control import loop
from parsers.onnx.control.steps import Iteration
from parsers.onnx.reading import registry
from parsers.onnx.reading.call import Call
from parsers.onnx.recurrent import gru, layer, lstm
from tests.support.onnx_files.small_models import recurrent, save

ops.load()
BIDIRECTIONAL = {"direction": "bidirectional", "directions": 2}


def broken(monkeypatch: pytest.MonkeyPatch, name: str, read: registry.Reader) -> None:
    entry = registry.OPS["", name]
    monkeypatch.setitem(registry.OPS, ("", name), replace(entry, read=read))


def refuse(path: Path, value: str, **arguments: Any) -> None:
    with pytest.raises(SelfCheckFailed, match=f"first value that differs is '{value}'"):
        read_onnx(path, **arguments)


def test_the_unbroken_reader_passes(tmp_path: Path) -> None:
    for op in ("LSTM", "GRU", "RNN"):
        path, _ = recurrent(tmp_path / "m.onnx", op, np.random.default_rng(1), initial=True, **BIDIRECTIONAL)
        assert any(note.startswith("checked against onnxruntime") for note in read_onnx(path).notes)


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (1, 0, 2, 3), (0, 1, 3, 2), (3, 1, 2, 0)])
def test_swapped_gates(order: Sequence[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, _ = recurrent(tmp_path / "m.onnx", "LSTM", np.random.default_rng(1))
    right = layer.Weights.gate
    monkeypatch.setattr(layer.Weights, "gate", lambda w, b, a, k: right(w, b, a, order[k]))
    refuse(path, "Y")


def test_swapped_reset_and_update_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, _ = recurrent(tmp_path / "m.onnx", "GRU", np.random.default_rng(1))
    right = layer.Weights.gate
    monkeypatch.setattr(layer.Weights, "gate", lambda w, b, a, k: right(w, b, a, (1, 0, 2)[k]))
    refuse(path, "Y")


@pytest.mark.parametrize("direction", [{"direction": "reverse"}, BIDIRECTIONAL])
def test_ignored_direction(
    direction: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, _ = recurrent(tmp_path / "m.onnx", "LSTM", np.random.default_rng(1), **direction)
    right = Builder.scan

    def forward(b: Builder, *args: Any, **kwargs: Any) -> tuple[list[Val], list[Val]]:
        return right(b, *args, **{**kwargs, "reverse": False})

    monkeypatch.setattr(Builder, "scan", forward)
    refuse(path, "Y")


def test_ignored_reset_flag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, _ = recurrent(tmp_path / "m.onnx", "GRU", np.random.default_rng(1), linear_before_reset=1)

    def cell(b: Builder, Xt: Val, states: Sequence[Val], w: layer.Weights) -> tuple[Val]:
        return gru.cell(b, Xt, states, replace(w, flag=False))

    broken(
        monkeypatch,
        "GRU",
        lambda op: layer.layer(op, cell, 3, ("H",), ["Sigmoid", "Tanh"], "linear_before_reset"),
    )
    refuse(path, "Y")


def test_ignored_peepholes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, _ = recurrent(tmp_path / "m.onnx", "LSTM", np.random.default_rng(1), peepholes=True, initial=True)

    def cell(b: Builder, Xt: Val, states: Sequence[Val], w: layer.Weights) -> tuple[Val, Val]:
        return lstm.cell(b, Xt, states, replace(w, P=None))

    default = ["Sigmoid", "Tanh", "Tanh"]
    broken(monkeypatch, "LSTM", lambda op: layer.layer(op, cell, 4, ("H", "C"), default, "input_forget"))
    refuse(path, "Y")


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_dropped_initial_state(op: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, _ = recurrent(tmp_path / "m.onnx", op, np.random.default_rng(1), initial=True)

    def zero(_op: Call, _given: Val | None, shape: tuple[int, int, int], _batch_first: bool) -> Val:
        return constant(np.zeros(shape), "float32")

    monkeypatch.setattr(layer, "_initial", zero)
    refuse(path, "Y")


def test_ignored_clip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, _ = recurrent(tmp_path / "m.onnx", "RNN", np.random.default_rng(1), clip=0.3)
    monkeypatch.setattr(layer.Weights, "clipped", lambda _w, _b, x: x)
    refuse(path, "Y")


def counting_loop(tmp_path: Path, steps: int) -> Path:
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["x", "i"], ["f"], axis=0),
            helper.make_node("Add", ["s", "f"], ["a"]),
            helper.make_node("Tanh", ["a"], ["next"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", 7, []),
            helper.make_tensor_value_info("go", 9, []),
            helper.make_tensor_value_info("s", 1, [3]),
        ],
        [helper.make_tensor_value_info("on", 9, []), helper.make_tensor_value_info("next", 1, [3])],
    )
    weights = {"m": np.asarray(steps), "true": np.asarray(True), "h": np.zeros(3, np.float32)}
    node = helper.make_node("Loop", ["m", "true", "h"], ["y"], body=body)
    return save(tmp_path / "m.onnx", [node], {"x": [4, 3]}, ["y"], weights)


@pytest.mark.parametrize("steps", [3, 4])
def test_trip_count_off_by_one(steps: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = counting_loop(tmp_path, steps)
    assert next(read_onnx(path).scans()).length == steps
    right = loop.iterate

    def short(it: Iteration) -> tuple[Any, ...]:
        assert it.count is not None
        return right(replace(it, count=it.count - 1))

    monkeypatch.setattr(loop, "iterate", short)
    refuse(path, "y")


def wrong_tanh(op: Call) -> Val:
    return op.b.emit("softsign", op[0])


def test_the_first_diverging_value_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = ["a", "b", "c", "y"]
    chain = zip(["Relu", "Neg", "Tanh", "Sigmoid"], ["x", *names], names, strict=False)
    nodes = [helper.make_node(op, [source], [target], name=f"n_{target}") for op, source, target in chain]
    path = save(tmp_path / "m.onnx", nodes, {"x": [2, 3]}, ["y"])
    broken(monkeypatch, "Tanh", wrong_tanh)
    with pytest.raises(SelfCheckFailed, match="first value that differs is 'c', made by Tanh 'n_c'"):
        read_onnx(path)


def test_a_second_size_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A reader that is right for one number of time steps only: the mean over time with a fixed divisor."""
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0)
    path = save(tmp_path / "m.onnx", [node], {"x": [1, "time", 3]}, ["y"])

    def mean_of_four(op: Call) -> Val:
        op.get_attr("axes", [1]), op.get_attr("keepdims", 0)
        return op.b.div(op.b.sum(op[0], (1,)), op.b.number(4, op[0]))

    assert "second size of time" in read_onnx(path, {"time": 4}).notes[-1]
    broken(monkeypatch, "ReduceMean", mean_of_four)
    with pytest.raises(SelfCheckFailed):
        read_onnx(path, {"time": 4})


@pytest.mark.parametrize(("gain", "outcome"), [(0.5, ""), (6.0, "results have no meaning")])
def test_chaotic_networks_cannot_be_checked(gain: float, outcome: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path, _ = recurrent(tmp_path / "m.onnx", "RNN", rng, T=100, H=24, B=1, scale=gain / np.sqrt(24))
    if not outcome:
        assert read_onnx(path).notes[-1].startswith("checked")
        return
    with pytest.raises(SelfCheckFailed, match=outcome):
        read_onnx(path)
