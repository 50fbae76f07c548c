"""Files and bindings that cannot be read: one line that says what is wrong and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from parsers import read_onnx
from parsers.errors import (
    BadInput,
    RecertError,
    UnboundDimension,
    UnreadableModel,
    UnsupportedModel,
)
from tests.support.onnx_files.exports import EXPORTS, present
from tests.support.onnx_files.small_models import save

RELU = helper.make_node("Relu", ["x"], ["y"], name="act")


def fails(kind: type[RecertError], match: str, act: Callable[[], object]) -> str:
    with pytest.raises(kind, match=match) as caught:
        act()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_not_a_file(tmp_path: Path) -> None:
    fails(UnreadableModel, "no such file", lambda: read_onnx(tmp_path / "none.onnx"))


@pytest.mark.parametrize("content", [b"", b"this is text", b"\x89PNG\r\n" + bytes(64), b"\xf3" * 256])
def test_not_onnx(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    fails(UnreadableModel, "not a", lambda: read_onnx(path))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_cut_off(share: float, tmp_path: Path) -> None:
    weights = {"w": np.ones((40, 40), np.float32)}
    path = save(
        tmp_path / "m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [1, 40]}, ["y"], weights
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises((UnreadableModel, UnsupportedModel)):
        read_onnx(path)


@present
def test_external_data(tmp_path: Path) -> None:
    name = "extdata__digits_lstm_trained"
    model, data = EXPORTS / f"{name}.onnx", EXPORTS / f"{name}.data"
    path = tmp_path / "inside" / model.name
    path.parent.mkdir()
    shutil.copy(model, path)
    fails(UnreadableModel, "is missing", lambda: read_onnx(path))
    inside = path.parent / data.name
    inside.write_bytes(data.read_bytes()[:100])
    fails(UnreadableModel, "is cut off", lambda: read_onnx(path))
    shutil.copy(data, inside)
    assert read_onnx(path).outputs
    (tmp_path / data.name).write_bytes(data.read_bytes())
    proto = onnx.load(model, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = f"../{data.name}"
    path.write_bytes(proto.SerializeToString())
    fails(UnreadableModel, "outside the model's folder", lambda: read_onnx(path))
    inside.unlink()
    inside.symlink_to(tmp_path / data.name)
    shutil.copy(model, path)
    fails(UnreadableModel, "outside the model's folder", lambda: read_onnx(path))


def test_all_unsupported_operators_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="first"),
        helper.make_node("NotAnOp", ["x"], ["b"], name="second"),
        helper.make_node("Add", ["a", "b"], ["y"], name="fine"),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"x": [2, 2]}, ["y"])
    text = fails(UnsupportedModel, "Det", lambda: read_onnx(path))
    assert "'first'" in text
    assert "'second'" in text
    assert "fine" not in text
    with pytest.raises(UnsupportedModel) as caught:
        read_onnx(path)
    assert len(caught.value.problems) == 2


def test_unsupported_attribute_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"], slope=0.5)], {"x": [2]}, ["y"])
    fails(UnsupportedModel, "attribute 'slope'", lambda: read_onnx(path))


def test_operator_newer_than_read(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [RELU], {"x": [2]}, ["y"], opset=9999)
    fails(UnsupportedModel, "opset 9999 is newer", lambda: read_onnx(path))


def test_opset_too_old(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [RELU], {"x": [2]}, ["y"], opset=6)
    fails(UnsupportedModel, "opset 6 predates 7", lambda: read_onnx(path))


def test_mixed_element_types(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "w"], ["y"])
    path = save(
        tmp_path / "m.onnx", [node], {"x": ([2], TensorProto.DOUBLE)}, ["y"], {"w": np.ones(2, np.float32)}
    )
    fails(UnsupportedModel, "mix float64 and float32", lambda: read_onnx(path))


def test_dangling_and_circular(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Add", ["x", "gone"], ["y"])], {"x": [2]}, ["y"])
    fails(UnsupportedModel, "'gone' is used but nothing produces it", lambda: read_onnx(path))
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["x", "a"], ["b"])]
    path = save(tmp_path / "m.onnx", nodes, {"x": [2]}, ["a"])
    fails(UnsupportedModel, "in a circle", lambda: read_onnx(path))


def test_unsorted_graph_is_repaired(tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["a"], ["y"]), helper.make_node("Relu", ["x"], ["a"])]
    graph = read_onnx(save(tmp_path / "m.onnx", nodes, {"x": [2]}, ["y"]))
    assert any("topological order" in note for note in graph.notes)


def test_free_dimensions(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [RELU], {"x": ["batch", "time", 3]}, ["y"])
    text = fails(UnboundDimension, "'time'", lambda: read_onnx(path))
    assert "input 'x'" in text
    assert "shapes={'time': 20}" in text
    graph = read_onnx(path, {"time": 5})
    assert graph.inputs[0].shape == (1, 5, 3)
    assert any("taken to be the batch" in note for note in graph.notes)
    assert read_onnx(path, {"batch": 2, "time": 5}).inputs[0].shape == (2, 5, 3)
    assert read_onnx(path, {"x": (4, 6, 3)}).inputs[0].shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("shapes", "match"),
    [
        ({"x": (2, 5, 4)}, "does not fit input 'x'"),
        ({"x": (2, 5)}, "does not fit input 'x'"),
        ({"z": (2, 5, 3)}, "nothing in the model is called"),
        ({"frames": 5}, "nothing in the model is called"),
        ({"x": (2, 5, 3), "time": 6}, "is bound to"),
        ({"x": (2, 0, 3)}, "does not fit input 'x'"),
        ({"time": 0}, "cannot have size 0"),
        ({"time": np.int64(-1)}, "cannot have size -1"),
    ],
)
def test_bindings_that_do_not_fit(shapes: dict[str, object], match: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [RELU], {"x": ["batch", "time", 3]}, ["y"])
    fails(BadInput, match, lambda: read_onnx(path, shapes))  # type: ignore[arg-type]


def test_a_nameless_leading_axis_is_the_batch_only_if_it_is_not_time(tmp_path: Path) -> None:
    cell = helper.make_graph(
        [helper.make_node("Add", ["s", "f"], ["t"]), helper.make_node("Tanh", ["t"], ["n"])],
        "cell",
        [helper.make_tensor_value_info(n, 1, [3]) for n in ("s", "f")],
        [helper.make_tensor_value_info("n", 1, [3])],
    )
    node = helper.make_node("Scan", ["h", "x"], ["y"], body=cell, num_scan_inputs=1)
    path = save(tmp_path / "m.onnx", [node], {"x": [None, 3]}, ["y"], {"h": np.zeros(3, np.float32)})
    fails(UnboundDimension, "sets the number of steps", lambda: read_onnx(path))
    assert next(read_onnx(path, {"x": (4, 3)}).scans()).length == 4
    path = save(tmp_path / "m.onnx", [RELU], {"x": [None, 3]}, ["y"])
    assert read_onnx(path).inputs[0].shape == (1, 3)


def test_fixed_inputs(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx", [helper.make_node("Add", ["x", "k"], ["y"])], {"x": [2], "k": [2]}, ["y"]
    )
    assert [v.name for v in read_onnx(path, fixed={"k": np.ones(2, np.float32)}).inputs] == ["x"]
    fails(BadInput, "nothing in the model is called", lambda: read_onnx(path, fixed={"q": np.ones(2)}))
    fails(BadInput, "does not fit", lambda: read_onnx(path, fixed={"k": np.ones(3)}))


def test_strings_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    path = save(tmp_path / "m.onnx", [node], {"x": ([2], TensorProto.STRING)}, ["y"])
    fails(BadInput, "strings", lambda: read_onnx(path))


def test_damaged_files_never_give_a_traceback(tmp_path: Path) -> None:
    weights = {"w": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "axes": np.asarray([1])}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("ReduceSum", ["b", "axes"], ["y"], keepdims=0),
    ]
    path = save(tmp_path / "m.onnx", nodes, {"x": [2, 3]}, ["y"], weights)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), size=3):
            damaged[position] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            read_onnx(path)
        except RecertError:
            refused += 1
    assert refused > 50
