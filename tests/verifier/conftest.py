"""Run `recert` inside the test process; a few tests start the real command instead."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner, Result

from parsers.onnx.file.runtime import Runtime
from tests.support.command_line import FEATURES, STEPS, Files, Recert, Refused, tiny_lstm
from verifier.cli.app import app


@pytest.fixture
def recert() -> Recert:
    """`recert("inspect", path)` → result with `exit_code`, `stdout`, `stderr`; a bug fails the test."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The analysis keeps its time limit, but the clock that would end this very process comes much later."""
    monkeypatch.setattr("verifier.cli.process.WRITING", -300.0)


@pytest.fixture
def refused(recert: Recert) -> Refused:
    """The one line of standard error with which a command declines; nothing may reach standard output."""

    def run(*arguments: object) -> str:
        result = recert(*arguments)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("recert: error: ")
        return lines[0]

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A model and a data set that it classifies with one mistake."""
    folder = tmp_path_factory.mktemp("tiny")
    onnx.save(tiny_lstm(), folder / "tiny.onnx")
    runtime = Runtime(folder / "tiny.onnx")
    lengths = np.array([STEPS, STEPS - 1, STEPS, STEPS, STEPS - 1])
    rng = np.random.default_rng(0)
    inputs = np.zeros((len(lengths), STEPS, FEATURES), np.float32)
    labels = np.zeros(len(lengths), np.int64)
    for k, length in enumerate(lengths):
        margin, scores = 0.0, np.zeros(0)
        while margin < 1.0:  # nothing near a boundary
            inputs[k] = 2 * rng.normal(size=(STEPS, FEATURES))
            scores = runtime.run({"x": inputs[k, :length, None]})["logits"].reshape(-1)
            margin = float(np.diff(np.sort(scores))[-1])
        labels[k] = scores.argmax() if k else scores.argmin()
    files = Files(folder / "tiny.onnx", folder / "tiny.npz", inputs, labels, lengths)
    files.save(files.data)
    return files
