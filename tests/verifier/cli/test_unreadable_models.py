"""Files that are no usable model: one line that says what is wrong, exit status 2, no standard output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.support.command_line import Recert, Refused
from tests.support.paths import MODELS


def save(path: Path, text: str) -> Path:
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def with_external_data(folder: Path, location: str) -> Path:
    """The vowels GRU with one weight moved to the file `location`, which is not written."""
    model = onnx.load(MODELS / "vowels_gru.onnx")
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def test_missing_file(refused: Refused, tmp_path: Path) -> None:
    assert "no such file" in refused("inspect", tmp_path / "nothing.onnx")


def test_not_onnx(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "letter.onnx"
    path.write_text("Dear verifier,\n")
    assert "letter.onnx" in refused("inspect", path)


def test_empty_file(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    assert "not an ONNX model" in refused("inspect", tmp_path / "empty.onnx")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_truncated_file(refused: Refused, tmp_path: Path, share: float) -> None:
    whole = (MODELS / "vowels_gru.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: int(share * len(whole))])
    assert "cut.onnx" in refused("inspect", path)


def test_missing_external_data(refused: Refused, tmp_path: Path) -> None:
    line = refused("inspect", with_external_data(tmp_path, "weights.bin"))
    assert "weights.bin" in line
    assert "put it beside the model" in line


def test_external_data_outside_the_folder(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.zeros(10_000, np.float32).tobytes())
    line = refused("inspect", with_external_data(tmp_path / "model", "../weights.bin"))
    assert "outside the model's folder" in line


def test_unsupported_operators_are_listed_all_at_once(recert: Recert, tmp_path: Path) -> None:
    path = save(
        tmp_path / "odd.onnx",
        """<ir_version: 8, opset_import: ["" : 17]>
        net (float[1,4] x) => (float[1,4] y) { a = Det2(x) b = Tanh(a) c = Hardmax3(b) y = Relu(c) }""",
    )
    result = recert("inspect", path)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [("Det2" in line, "Hardmax3" in line) for line in lines] == [(True, False), (False, True)]
    assert all(line.startswith("recert: error: ") for line in lines)


def test_unsupported_attribute(refused: Refused, tmp_path: Path) -> None:
    model = onnx.load(MODELS / "vowels_gru.onnx")
    (node,) = [n for n in model.graph.node if n.op_type == "GRU"]
    node.attribute.append(onnx.helper.make_attribute("zoneout", 0.1))
    (tmp_path / "gru.onnx").write_bytes(model.SerializeToString())
    line = refused("inspect", tmp_path / "gru.onnx", "--bind", "time=3")
    assert "zoneout" in line
    assert node.name in line
