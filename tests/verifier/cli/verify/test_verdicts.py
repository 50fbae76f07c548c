"""`recert verify`: the verdict alone on the first line, the assignment after `sat`, no verdict if refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from parsers.onnx.file.runtime import Runtime
from tests.support.command_line import FEATURES, STEPS, Files, Recert, Refused, query
from tests.support.paths import MODELS

SIZE = STEPS * FEATURES


def at_zero(tiny: Files) -> np.ndarray:
    return Runtime(tiny.model).run({"x": np.zeros((STEPS, 1, FEATURES), np.float32)})["logits"][0]


def test_unsat(recert: Recert, tiny: Files, tmp_path: Path) -> None:
    result = recert("verify", query(tmp_path, "(>= Y[0,0] 50.0)"), "--network", f"N={tiny.model}")
    assert (result.exit_code, result.stdout) == (0, "unsat\n")
    assert result.stderr.startswith("recert: all of 1 cases")


def test_sat_with_the_assignment_of_the_standard(recert: Recert, tiny: Files, tmp_path: Path) -> None:
    best = at_zero(tiny).argmax()
    others = " ".join(f"(>= Y[0,{best}] Y[0,{k}])" for k in range(3) if k != best)
    result = recert("verify", query(tmp_path, f"(and {others})"), "--network", tiny.model)
    lines = result.stdout.splitlines()
    assert lines[:2] == ["sat", f"X float32 [{STEPS},1,{FEATURES}]"]
    assert lines[2 + SIZE] == "Y float32 [1,3]"
    assert len(lines) == 3 + SIZE + 3
    x = np.array([float(v) for v in lines[2 : 2 + SIZE]], np.float32)
    assert np.abs(x).max() <= np.float32(0.01)
    y = Runtime(tiny.model).run({"x": x.reshape(STEPS, 1, FEATURES)})["logits"][0]
    assert [float(v) for v in lines[3 + SIZE :]] == y.astype(float).tolist() or np.array_equal(
        np.array([float(v) for v in lines[3 + SIZE :]], np.float32), y
    )


def test_version_1_is_answered_in_its_own_form(recert: Recert, tiny: Files, tmp_path: Path) -> None:
    names = [f"X_{i}" for i in range(SIZE)]
    text = "".join(f"(declare-const {n} Real)\n" for n in (*names, "Y_0", "Y_1", "Y_2"))
    text += "".join(f"(assert (>= {n} -0.5))\n(assert (<= {n} 0.5))\n" for n in names)
    path = tmp_path / "query.vnnlib"
    path.write_text(text + "(assert (<= Y_0 90))\n")
    lines = recert("verify", path, "--network", tiny.model).stdout.splitlines()
    assert lines[0] == "sat"
    assert re.fullmatch(r"\(\(X_0 \S+\)", lines[1])
    assert re.fullmatch(r" \(Y_2 \S+\)\)", lines[-1])
    assert len(lines) == 1 + SIZE + 3


def test_unknown(recert: Recert, tiny: Files, tmp_path: Path) -> None:
    """Just above what the network gives at a single point: neither provable nor reachable."""
    top = float(at_zero(tiny)[0])
    path = query(tmp_path, f"(> Y[0,0] {top + 3e-8:.12f})", radius=0.0)
    result = recert("verify", path, "--network", tiny.model)
    assert (result.exit_code, result.stdout) == (0, "unknown\n")


@pytest.mark.parametrize("timeout", ["0", "-1", "nan"])
def test_timeouts_that_make_no_sense(refused: Refused, tiny: Files, tmp_path: Path, timeout: str) -> None:
    path = query(tmp_path, "(>= Y[0,0] 50.0)")
    assert "greater than 0" in refused("verify", path, "--network", tiny.model, "--timeout", timeout)


def test_time_left_over_changes_nothing(recert: Recert, tiny: Files, tmp_path: Path) -> None:
    path = query(tmp_path, "(>= Y[0,0] 50.0)")
    assert recert("verify", path, "--network", tiny.model, "--timeout", 300).stdout == "unsat\n"


def test_missing_query(refused: Refused, tiny: Files, tmp_path: Path) -> None:
    assert "none.vnnlib" in refused("verify", tmp_path / "none.vnnlib", "--network", tiny.model)


@pytest.mark.parametrize(
    "text", ["", "(assert", "(vnnlib-version <2.0>)(declare-network N)", "\x00\xff\x00", "(assert (<= Z 1))"]
)
def test_malformed_query(refused: Refused, tiny: Files, tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.vnnlib"
    path.write_bytes(text.encode("latin1"))
    assert "bad.vnnlib" in refused("verify", path, "--network", tiny.model)


def test_query_about_another_network(refused: Refused, tiny: Files, tmp_path: Path) -> None:
    path = query(tmp_path, "(>= Y[0,0] 50.0)", outputs=4)
    line = refused("verify", path, "--network", tiny.model)
    assert "another network" in line
    assert "logits" in line


def test_query_of_other_input_shape(refused: Refused, tiny: Files, tmp_path: Path) -> None:
    path = tmp_path / "query.vnnlib"
    path.write_text(
        "(vnnlib-version <2.0>)\n"
        "(declare-network N (declare-input X float32 [3,7]) (declare-output Y float32 [1,3]))\n"
        "(assert (<= Y[0,0] 1.0))"
        + "".join(
            f"(assert (>= X[{i},{j}] 0.0))(assert (<= X[{i},{j}] 1.0))" for i in range(3) for j in range(7)
        )
    )
    refused("verify", path, "--network", tiny.model)


@pytest.mark.parametrize("networks", [["M={}"], ["N={}", "N={}"], ["N="]])
def test_wrong_network_argument(refused: Refused, tiny: Files, tmp_path: Path, networks: list[str]) -> None:
    given = [part for n in networks for part in ("--network", n.format(tiny.model))]
    assert "--network" in refused("verify", query(tmp_path, "(>= Y[0,0] 50.0)"), *given)


def test_float16_is_not_covered(refused: Refused, tiny: Files, tmp_path: Path) -> None:
    path = query(tmp_path, "(>= Y[0,0] 50.0)")
    path.write_text(path.read_text().replace("float32", "float16"))
    assert "declare it `real`" in refused("verify", path, "--network", tiny.model)


def test_float16_file_is_certified_over_the_reals_only(recert: Recert, tmp_path: Path) -> None:
    model = parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        net (float16[1,2] x) => (float16[1,2] y) { a = Tanh(x) y = Neg(a) }"""
    )
    onnx.save(model, tmp_path / "half.onnx")
    path = tmp_path / "query.vnnlib"
    path.write_text(
        "(vnnlib-version <2.0>)\n"
        "(declare-network N (declare-input X real [1,2]) (declare-output Y real [1,2]))\n"
        "(assert (and (>= X[0,0] 0.0) (<= X[0,0] 1.0) (>= X[0,1] 0.0) (<= X[0,1] 1.0)))\n"
        "(assert (>= Y[0,0] 0.5))\n"
    )
    result = recert("verify", path, "--network", tmp_path / "half.onnx")
    assert result.stdout == "unsat\n"
    assert "computes in float16" in result.stderr


def test_model_missing(refused: Refused, tmp_path: Path) -> None:
    path = query(tmp_path, "(>= Y[0,0] 50.0)")
    assert "no such file" in refused("verify", path, "--network", f"N={tmp_path / 'gone.onnx'}")


@pytest.mark.parametrize(
    ("name", "verdict"), [("vowels_gru_target_v1", "sat"), ("vowels_rnn_15_robust_v2", "unsat")]
)
def test_shipped_queries(recert: Recert, name: str, verdict: str) -> None:
    model = MODELS / ("vowels_gru.onnx" if "gru" in name else "vowels_rnn.onnx")
    result = recert("verify", MODELS / "queries" / f"{name}.vnnlib", "--network", model)
    assert result.stdout.splitlines()[0] == verdict
