"""The competition's scripts, run as the competition runs them: bash, six arguments, a result file."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.independent_replay import Wrong, confirm
from tests.support.paths import MODELS, ROOT

SCRIPTS = ROOT / "vnncomp_scripts"
SUM = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2] x) => (float[1,1] y) { w = Constant<value = float[2,1] {1.0, 1.0}>() y = MatMul(x, w) }"""
BOX = "".join(f"(assert (>= X_{i} 0.0))(assert (<= X_{i} 1.0))" for i in range(2))
FLAT = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)" + BOX
TWO = """(vnnlib-version <2.0>)
(declare-network f (declare-input X float32 [1,2]) (declare-output Y float32 [1,1]))
(declare-network g ({relation} f) (declare-input U float32 [1,2]) (declare-output V float32 [1,1]))
(assert (and (>= X[0,0] 0.0) (<= X[0,0] 1.0) (>= X[0,1] 0.0) (<= X[0,1] 1.0)))
(assert (and (== U[0,0] X[0,0]) (>= U[0,1] 0.25) (<= U[0,1] 0.5) (>= U[0,0] 0.0) (<= U[0,0] 1.0)))
(assert {violation})
"""


def script(name: str, *arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SCRIPTS / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=90,
        check=False,
        env=os.environ | {"RECERT_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"} | environment,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A benchmark whose folder has a blank and a quote in its name."""
    from onnx import save
    from onnx.parser import parse_model

    folder = tmp_path / "a bench'mark"
    (folder / "onnx").mkdir(parents=True)
    (folder / "vnnlib").mkdir()
    save(parse_model(SUM), folder / "onnx" / "sum.onnx")
    (folder / "vnnlib" / "sat.vnnlib").write_text(FLAT + "(assert (>= Y_0 1.5))")
    (folder / "vnnlib" / "unsat.vnnlib").write_text(FLAT + "(assert (>= Y_0 2.5))")
    unbounded = FLAT.replace("(assert (<= X_1 1.0))", "")
    (folder / "vnnlib" / "unknown.vnnlib").write_text(unbounded + "(assert (> Y_0 1000.0))")
    (folder / "vnnlib" / "broken.vnnlib").write_text(FLAT + "(assert (>= Z_0 2.0))")
    return folder


def run(folder: Path, onnx: str, query: str, timeout: float = 60) -> tuple[str, Path]:
    results = folder / "results.txt"
    done = script(
        "run_instance.sh", "v1", "cat egory", onnx, f"vnnlib/{query}", "results.txt", timeout, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [p.name for p in folder.iterdir() if p.is_file()] == ["results.txt"]
    return results.read_text().splitlines()[0], results


@pytest.mark.parametrize(
    ("query", "verdict"),
    [("sat", "sat"), ("unsat", "unsat"), ("unknown", "unknown"), ("broken", "error"), ("missing", "error")],
)
def test_every_verdict(folder: Path, query: str, verdict: str) -> None:
    found, results = run(folder, "onnx/sum.onnx", f"{query}.vnnlib")
    assert found == verdict
    if verdict == "sat":
        assert results.read_text().startswith("sat\n((X_0 ")
        confirm(folder / "vnnlib" / "sat.vnnlib", results, [str(folder / "onnx" / "sum.onnx")])
    else:
        assert results.read_text() == verdict + "\n"


def test_gzipped_files(folder: Path) -> None:
    for path in (folder / "onnx" / "sum.onnx", folder / "vnnlib" / "unsat.vnnlib"):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert run(folder, "onnx/sum.onnx.gz", "unsat.vnnlib.gz")[0] == "unsat"
    assert run(folder, "onnx/sum.onnx", "unsat.vnnlib")[0] == "unsat"


@pytest.mark.parametrize("relation", ["equal-to", "isomorphic-to"])
@pytest.mark.parametrize(
    ("violation", "verdict"), [("(> V[0,0] (+ Y[0,0] 0.25))", "sat"), ("(> V[0,0] 1.75)", "unsat")]
)
def test_several_networks(folder: Path, relation: str, violation: str, verdict: str) -> None:
    """The onnx field lists them; paths are the benchmark's, wherever the script is called from."""
    query = folder / "vnnlib" / "two.vnnlib"
    query.write_text(TWO.format(relation=relation, violation=violation))
    shutil.copy(folder / "onnx" / "sum.onnx", folder / "onnx" / "other.onnx")
    field = "[('f', 'onnx/sum.onnx'), ('g', 'onnx/other.onnx')]"
    elsewhere = folder / "vnnlib"
    done = script("run_instance.sh", "v1", "c", field, "two.vnnlib", "r.txt", 60, cwd=elsewhere)
    assert done.returncode == 0
    assert (elsewhere / "r.txt").read_text().splitlines()[0] == verdict
    if verdict == "sat":
        models = [f"f={folder}/onnx/sum.onnx", f"g={folder}/onnx/other.onnx"]
        confirm(query, elsewhere / "r.txt", models)
    assert script("prepare_instance.sh", "v1", "c", field, "two.vnnlib", cwd=elsewhere).returncode == 0


def test_the_time_limit_is_kept(tmp_path: Path) -> None:
    """Start-up included: half a second does not even import what is needed."""
    query = MODELS / "queries" / "mnist_rows_lstm_robust_v1.vnnlib"
    begun = time.monotonic()
    script("run_instance.sh", "v1", "c", MODELS / "mnist_rows_lstm.onnx", query, "r.txt", 0.5, cwd=tmp_path)
    assert time.monotonic() - begun < 3
    assert (tmp_path / "r.txt").read_text() == "timeout\n"


def test_the_result_file_is_seeded(tmp_path: Path) -> None:
    """Whoever ends the script early finds a verdict that costs nothing."""
    query = MODELS / "queries" / "mnist_rows_lstm_robust_v1.vnnlib"
    arguments = ["v1", "c", str(MODELS / "mnist_rows_lstm.onnx"), str(query), "r.txt", "60"]
    with subprocess.Popen(
        ["bash", str(SCRIPTS / "run_instance.sh"), *arguments],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"RECERT_PYTHON": sys.executable},
        start_new_session=True,
    ) as process:
        while not (tmp_path / "r.txt").exists():
            time.sleep(0.01)
        os.killpg(process.pid, 9)
    assert (tmp_path / "r.txt").read_text() == "unknown\n"


def test_prepare_only_looks(folder: Path) -> None:
    def prepare(*arguments: object) -> int:
        return script("prepare_instance.sh", *arguments, cwd=folder).returncode

    assert prepare("v1", "c", "onnx/sum.onnx", "vnnlib/sat.vnnlib") == 0
    assert prepare("v1", "c", "onnx/none.onnx", "vnnlib/sat.vnnlib") == 1
    assert prepare("v2", "c", "onnx/sum.onnx", "vnnlib/sat.vnnlib") == 1
    assert prepare("v1") == 1


@pytest.mark.parametrize("name", ["install_tool.sh", "prepare_instance.sh", "run_instance.sh"])
def test_other_versions_are_refused(name: str, tmp_path: Path) -> None:
    done = script(name, "v2", "c", "a.onnx", "b.vnnlib", "r.txt", 1, cwd=tmp_path)
    assert done.returncode == 1
    assert "usage" in done.stderr
    assert not (tmp_path / "r.txt").exists()


def test_the_independent_replay_can_fail(folder: Path) -> None:
    """A value off by its last digit, an output that is not the network's, a bound that is not met."""
    _, results = run(folder, "onnx/sum.onnx", "sat.vnnlib")
    good = "sat\n((X_0 1.0)\n (X_1 0.5)\n (Y_0 1.5))\n"
    bad = [
        good.replace("X_1 0.5", "X_1 0.49999998"),
        good.replace("Y_0 1.5", "Y_0 1.6"),
        good.replace("X_0 1.0", "X_0 1.5").replace("Y_0 1.5", "Y_0 2.0"),
        good.replace("sat", "unsat"),
        good.replace("1.0", "0.5").replace("Y_0 1.5", "Y_0 1.0"),
    ]
    arguments = folder / "vnnlib" / "sat.vnnlib", results, [str(folder / "onnx" / "sum.onnx")]
    results.write_text(good)
    confirm(*arguments)
    for text in bad:
        results.write_text(text)
        with pytest.raises(Wrong):
            confirm(*arguments)
