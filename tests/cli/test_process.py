"""The real command in a process of its own: start-up, streams, signals, closed pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.running import MODELS, Files

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
COMMAND = [sys.executable, "-c", "from verifier.cli import main; main()"]


def recert(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
        check=False,
    )


HEAVY = ("torch", "onnx", "onnxruntime", "numpy", "vnnlib", "rich.progress", "verifier.verify", "parsers")


@pytest.mark.parametrize("command", [[], ["verify"], ["certify"], ["radius"], ["inspect"], ["supports"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    """What costs time is not imported; the time itself would depend on the machine."""
    program = (
        "import sys\nfrom verifier.cli.app import app\n"
        f"try: app({[*command, '--help']!r})\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=60,
        check=True,
    )
    assert "Usage: " in result.stdout
    assert result.stderr == "[]\n"


def test_streams_and_status_of_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "not.onnx").write_text("x")
    result = recert("inspect", tmp_path / "not.onnx")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("recert: error: ")
    assert result.stderr.count("\n") == 1


def test_usage_errors_have_status_2() -> None:
    assert recert("certify").returncode == 2
    assert recert("frobnicate").returncode == 2
    assert recert("certify", "model.onnx", "data.npz", "--eps", "many").returncode == 2


def test_interrupted_by_a_signal() -> None:
    """SIGINT once work has begun: results so far, status 130, no traceback."""
    arguments = [
        "certify",
        MODELS / "vowels_lstm.onnx",
        MODELS / "vowels_test.npz",
        "--eps",
        "0.02",
        "--json",
        "-",
    ]
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    count = len([first, *rest.splitlines()])
    assert f"recert: interrupted after {count} of 370 samples" in errors


def test_reader_that_goes_away(tiny: Files) -> None:
    with subprocess.Popen(
        [*COMMAND, "certify", str(tiny.model), str(tiny.data), "--eps", "0.01", "--json", "-"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        process.wait(timeout=60)
    assert "Traceback" not in errors
    assert process.returncode == 141


def test_the_time_limit_includes_start_up(tiny: Files, tmp_path: Path) -> None:
    query = tmp_path / "query.vnnlib"
    query.write_text(
        "(vnnlib-version <2.0>)\n"
        "(declare-network N (declare-input X float32 [1,1,2]) (declare-output Y float32 [1,3]))\n"
        "(assert (and (>= X[0,0,0] 0.0) (<= X[0,0,0] 1.0) (>= X[0,0,1] 0.0) (<= X[0,0,1] 1.0)))\n"
        "(assert (>= Y[0,0] 50.0))\n"
    )
    begun = time.monotonic()
    result = recert("verify", query, "--network", tiny.model, "--timeout", "0.5")
    assert result.returncode == 0
    assert result.stdout in ("timed-out\n", "unsat\n")
    assert time.monotonic() - begun < 60
