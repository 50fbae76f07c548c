"""What `recert verify` takes besides a query and a file: more files, fixed inputs, a folder for tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from parsers.onnx.file.runtime import Runtime
from tests.support.command_line import Recert, Refused
from tests.support.paths import MODELS

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2] x, int64[1] scale) => (float[1,2] y) {
  s = Cast<to = 1>(scale) t = Tanh(x) y = Mul(t, s)
}"""
PLAIN = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2] x) => (float[1,2] y) { inner = Tanh(x) y = Neg(inner) }"""
BOX = "(assert (and (>= X[0,0] 0.0) (<= X[0,0] 1.0) (>= X[0,1] 0.25) (<= X[0,1] 1.0)))\n"
ONE = """(vnnlib-version <2.0>)
(declare-network N (declare-input X float32 [1,2]) {} (declare-output Y float32 [1,2]))
"""


@pytest.fixture
def scaled(tmp_path: Path) -> Path:
    onnx.save(parse_model(MODEL), tmp_path / "scaled.onnx")
    return tmp_path / "scaled.onnx"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    onnx.save(parse_model(PLAIN), tmp_path / "plain.onnx")
    return tmp_path / "plain.onnx"


def written(folder: Path, text: str) -> Path:
    (folder / "q.vnnlib").write_text(text)
    return folder / "q.vnnlib"


# --- --fix ---------------------------------------------------------------------------------------------


def test_a_fixed_input_is_no_part_of_the_question(recert: Recert, scaled: Path, tmp_path: Path) -> None:
    query = written(tmp_path, ONE.format("") + BOX + "(assert (>= Y[0,1] 2.0))")
    for scale, verdict in ((2, "unsat"), (3, "sat")):
        result = recert("verify", query, "--network", scaled, "--fix", f"scale={scale}")
        assert result.stdout.splitlines()[0] == verdict
        if verdict == "sat":
            values = [float(line) for line in result.stdout.splitlines() if line[0] in "-0123456789"]
            x = np.array([values[:2]], np.float32)
            y = Runtime(scaled).run({"x": x, "scale": np.array([3])})["y"]
            assert values[2:] == y.reshape(-1).tolist()


@pytest.mark.parametrize(
    ("fix", "message"),
    [
        ("scale=2.5", "int64"),
        ("nothing=1", "nothing"),
        ("scale", "--fix scale: write NAME="),
        ("scale=many", "--fix scale=many: write NAME="),
        ("scale=nan", "--fix scale=nan: write NAME="),
    ],
)
def test_fixes_that_make_no_sense(
    refused: Refused, scaled: Path, tmp_path: Path, fix: str, message: str
) -> None:
    query = written(tmp_path, ONE.format("") + BOX + "(assert (>= Y[0,1] 2.0))")
    assert message in refused("verify", query, "--network", scaled, "--fix", fix)


def test_other_commands_fix_inputs_too(recert: Recert, scaled: Path, tmp_path: Path) -> None:
    assert "fixed to a constant" in recert("inspect", scaled, "--fix", "scale=2").stdout
    data = tmp_path / "data.npz"
    np.savez(data, inputs=np.array([[[0.1, 0.9]]], np.float32), labels=np.array([1]))
    for command in (["certify", "--eps", "0.01"], ["radius"]):
        result = recert(command[0], scaled, data, *command[1:], "--fix", "scale=2")
        assert result.exit_code == 0, result.stderr


# --- --serialise-assignments ---------------------------------------------------------------------------


def test_assignments_as_tensors(recert: Recert, plain: Path, tmp_path: Path) -> None:
    declared = ONE.format('(declare-hidden H float32 [1,2] "inner")').replace("Y float32", "Y real")
    query = written(tmp_path, declared + BOX + "(assert (and (<= Y[0,0] -0.5) (<= H[0,1] 0.25)))")
    folder = tmp_path / "not" / "there"
    result = recert("verify", query, "--network", f"N={plain}", "--serialise-assignments", folder)
    assert result.stdout == "sat\n"
    tensors = {p.stem: onnx.TensorProto.FromString(p.read_bytes()) for p in folder.iterdir()}
    arrays = {name: onnx.numpy_helper.to_array(t) for name, t in tensors.items()}
    assert {name: (a.shape, str(a.dtype)) for name, a in arrays.items()} == dict.fromkeys(
        "XHY", ((1, 2), "float32")
    )
    np.testing.assert_array_equal(Runtime(plain).run({"x": arrays["X"]})["y"], arrays["Y"])
    np.testing.assert_array_equal(arrays["H"], -arrays["Y"])


def test_a_folder_that_cannot_be(refused: Refused, plain: Path, tmp_path: Path) -> None:
    query = written(tmp_path, ONE.format("") + BOX)
    arguments = "verify", query, "--network", plain, "--serialise-assignments", plain
    assert "--serialise-assignments" in refused(*arguments)


# --- several networks and hidden values ----------------------------------------------------------------

PAIR = (
    """(vnnlib-version <2.0>)
(declare-network N (declare-input X float32 [1,2]) (declare-output Y float32 [1,2]))
(declare-network M ({} N) (declare-input A float32 [1,2]) (declare-output B float32 [1,2]))
"""
    + BOX
    + BOX.replace("X[", "A[")
)


@pytest.mark.parametrize(
    ("relation", "given", "message"),
    [
        ("equal-to", ["N={0}", "M={0}"], "needs files for N, --network is given 2 times; give it once"),
        ("isomorphic-to", ["N={0}"], "needs files for N, M, --network is given 1 times; give it twice"),
        ("isomorphic-to", ["N={0}", "N={0}"], "N=… is given twice"),
        ("isomorphic-to", ["N={0}", "O={0}"], "declares network N, M, not 'O'"),
        ("isomorphic-to", ["N={0}", "{0}"], "not '"),
    ],
)
def test_files_must_match_the_declarations(
    refused: Refused, plain: Path, tmp_path: Path, relation: str, given: list[str], message: str
) -> None:
    query = written(tmp_path, PAIR.format(relation) + "(assert (<= Y[0,0] B[0,0]))")
    arguments = [part for text in given for part in ("--network", text.format(plain))]
    assert message in refused("verify", query, *arguments)


def test_isomorphic_networks_have_the_same_operators(refused: Refused, plain: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    onnx.save(parse_model(PLAIN.replace("Tanh", "Sigmoid")), other)
    query = written(tmp_path, PAIR.format("isomorphic-to") + "(assert (<= Y[0,0] B[0,0]))")
    files = ["--network", f"N={plain}", "--network", f"M={other}"]
    assert "M is declared isomorphic to N, but" in refused("verify", query, *files)


@pytest.mark.parametrize(
    ("violation", "verdict"),
    [
        ("(<= (+ Y[0,0] (* 0.5 X[0,1])) (- B[0,0] 0.7))", "unsat"),
        ("(and (>= A[0,0] (+ X[0,0] 0.5)) (>= Y[0,0] (+ B[0,0] 0.3)))", "sat"),
        ("(>= (* Y[0,1] B[0,1]) 0.7)", "unsat"),
        ("(>= (* Y[0,1] B[0,1] B[0,1] -1.0) 0.4)", "sat"),
    ],
)
@pytest.mark.usefixtures("patient")
def test_one_file_twice(recert: Recert, plain: Path, tmp_path: Path, violation: str, verdict: str) -> None:
    query = written(tmp_path, PAIR.format("equal-to") + f"(assert {violation})")
    result = recert("verify", query, "--network", f"N={plain}", "--timeout", 60)
    assert result.stdout.splitlines()[0] == verdict


EQUAL = "(assert (and (== A[0,0] X[0,0]) (== X[0,1] A[0,1])))"


@pytest.mark.parametrize(
    ("violation", "verdict"),
    [
        ("(>= Y[0,0] (+ B[0,0] 0.3))", "unsat"),  # of inputs that need not be equal it would be sat
        ("(or (>= (+ Y[0,1] X[0,0]) (+ B[0,1] A[0,0] 0.3)) (<= A[0,1] (- X[0,1] 0.25)))", "unsat"),
        ("(<= (+ Y[0,0] B[0,0]) -1.4)", "sat"),
    ],
)
@pytest.mark.parametrize("relation", ["equal-to", "isomorphic-to"])
def test_inputs_that_are_equal_are_one_input(
    recert: Recert, plain: Path, tmp_path: Path, relation: str, violation: str, verdict: str
) -> None:
    query = written(tmp_path, PAIR.format(relation) + EQUAL + f"(assert {violation})")
    files = [f"--network=N={plain}", *([f"--network=M={plain}"] if relation != "equal-to" else [])]
    result = recert("verify", query, *files)
    assert result.stdout.splitlines()[0] == verdict
    if verdict == "sat":
        values = [float(line) for line in result.stdout.splitlines()[1:] if line[0] in "-0123456789"]
        assert values[:4] == values[4:]


@pytest.mark.parametrize(
    ("hidden", "message"),
    [
        ('(declare-hidden H float32 [1,2] "absent")', "no value 'absent' inside"),
        ('(declare-hidden H float32 [1,2] "y")', "'y' is an output"),
        ('(declare-hidden H float32 [2,1] "inner")', "hidden value H is declared [2,1]"),
        ('(declare-hidden H float64 [1,2] "inner")', "hidden value H is declared float64"),
        (
            '(declare-hidden H float32 [1,2] "inner")(declare-hidden G float32 [1,2] "inner")',
            "declared before",
        ),
    ],
)
def test_hidden_values_must_be_there(
    refused: Refused, plain: Path, tmp_path: Path, hidden: str, message: str
) -> None:
    query = written(tmp_path, ONE.format(hidden) + BOX + "(assert (<= H[0,0] 0.0))")
    assert message in refused("verify", query, "--network", plain)


def test_hidden_values_of_a_shipped_network(recert: Recert, tmp_path: Path) -> None:
    """The stacked states of a GRU lie in (−1, 1); the value goes by the exporter's name for it."""
    names = [f"X[{t},0,{i}]" for t in range(3) for i in range(12)]
    text = (
        "(vnnlib-version <2.0>)(declare-network N (declare-input X float32 [3,1,12])"
        '(declare-hidden H float32 [3,1,1,32] "/core/GRU_output_0") (declare-output Y float32 [1,9]))'
        + "".join(f"(assert (and (>= {n} -0.5) (<= {n} 0.5)))" for n in names)
    )
    model = MODELS / "vowels_gru.onnx"
    for violation, verdict in (("(>= H[2,0,0,5] 1.01)", "unsat"), ("(<= H[0,0,0,5] 0.9)", "sat")):
        query = written(tmp_path, text + f"(assert {violation})")
        result = recert("verify", query, "--network", model)
        assert result.stdout.splitlines()[0] == verdict, result.stderr
