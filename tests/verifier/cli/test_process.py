"""The real command in a process of its own: start-up, streams, signals, closed pipes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.command_line import Files
from tests.support.paths import MODELS, ROOT
from verifier.cli.process import Deadline

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
COMMAND = [sys.executable, "-c", "from verifier.cli import main; main()"]


def recert(*arguments: object) -> subprocess.CompletedProcess[str]:
    return ended([*COMMAND, *map(str, arguments)])


def python(program: str) -> subprocess.CompletedProcess[str]:
    return ended([sys.executable, "-c", program])


def ended(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120, check=False)


HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "numpy",
    "vnnlib",
    "rich.progress",
    "verifier.proof.prover",
    "parsers",
)


@pytest.mark.parametrize("command", [[], ["verify"], ["certify"], ["radius"], ["inspect"], ["supports"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    """What costs time is not imported; the time itself would depend on the machine."""
    program = (
        "import sys\nfrom verifier.cli.app import app\n"
        f"try: app({[*command, '--help']!r})\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    result = python(program)
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


@pytest.mark.parametrize(
    ("sent", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_ended_by_a_signal(sent: signal.Signals, status: int, word: str, jobs: int) -> None:
    """A signal once work has begun: results so far, a status, no traceback, no process left."""
    arguments = ["certify", MODELS / "vowels_lstm.onnx", MODELS / "vowels_test.npz"]
    options = ["--eps", 0.02, "--json", "-", "--jobs", jobs]
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments), *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        # a shell's background jobs ignore SIGINT, and hand that on to tests that run in one
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.send_signal(sent)
        rest, errors = process.stdout.read(), process.stderr.read()
        process.wait(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in errors
    count = len([first, *rest.splitlines()])
    told = re.search(rf"recert: {word} after (\d+) of 370 samples\n", errors)
    assert told is not None
    assert abs(int(told[1]) - count) <= 1  # it may come between a line and its count
    assert f" of {told[1]} " in errors  # the summary of what was found
    assert not left(process.pid)


def left(session: int) -> list[int]:
    """Processes of a session that still run after a moment; resource trackers need one to see the end."""
    found: list[int] = []
    for _ in range(50):
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(stat.parent.name))
        if not found:
            break
        time.sleep(0.1)
    return found


def test_workers_do_not_outlive_the_command() -> None:
    """Even where it is killed and can tell them nothing."""
    arguments = ["certify", MODELS / "vowels_lstm.onnx", MODELS / "vowels_test.npz"]
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments), "--eps", "0.02", "--json", "-", "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    assert not left(process.pid)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_a_full_disk(tiny: Files) -> None:
    """One line, after what was found."""
    result = recert("certify", tiny.model, tiny.data, "--eps", "0.01", "--json", "/dev/full")
    assert result.returncode == 2
    assert "No space left on device" in result.stderr
    assert result.stderr.count("recert: ") == 1
    assert "Traceback" not in result.stderr


def test_a_full_disk_under_standard_output(tiny: Files) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*COMMAND, "certify", str(tiny.model), str(tiny.data), "--eps", "0.01"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            timeout=120,
            check=False,
        )
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "No space left on device" in line


def test_mistakes_are_told_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom verifier.cli.app import app\n"
        f"try: app(['certify', {str(tmp_path / 'no.onnx')!r}, 'x.npz', '--eps', '1'])\n"
        f"except SystemExit: pass\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    )
    result = python(program)
    assert result.stdout == "[]\n"
    assert result.stderr.count("no such file") == 2


def test_usage_in_one_line() -> None:
    result = recert("certify", "--norm", "2")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.endswith("certify MODEL DATA.npz --eps E")
    result = recert("certify", "--epps", "2")
    assert result.stderr.startswith("recert: error: No such option: --epps")
    assert result.stderr.count("\n") == 1


def test_reader_that_goes_away(tiny: Files) -> None:
    with subprocess.Popen(
        [*COMMAND, "certify", str(tiny.model), str(tiny.data), "--eps", "0.01", "--json", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        process.wait(timeout=60)
    assert errors == "recert: whoever read the output has gone\n"
    assert process.returncode == 141


def test_a_verdict_is_written_before_the_time_limit() -> None:
    """Start-up is counted, and it does not matter what the process is busy with: here, importing."""
    begun = time.monotonic()
    query = MODELS / "queries" / "mnist_rows_lstm_robust_v1.vnnlib"
    result = recert("verify", query, "--network", MODELS / "mnist_rows_lstm.onnx", "--timeout", 0.5)
    assert (result.returncode, result.stdout) == (0, "timed-out\n")
    assert time.monotonic() - begun < 5  # the limit, and the interpreter's own start on a busy machine


def test_only_one_verdict(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    with Deadline(60.0, time.monotonic()) as deadline:
        deadline.write("unsat")
        deadline._expire()  # the clock strikes while the verdict is being written
    assert capfd.readouterr().out == "unsat\n"
    with Deadline(0.1, time.monotonic()):
        time.sleep(0.5)
    assert capfd.readouterr().out == "timed-out\n"
    assert ended == [0]
