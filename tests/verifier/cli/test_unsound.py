"""A wrong bound, planted: recert notices, asks for the file, and ends with a status of its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parsers.errors import UnsoundBound
from tests.support.command_line import Files, Recert, query
from tests.support.paths import ROOT
from verifier.problem.region import Region

UNSOUND = 3
EPS = 0.6  # where intervals alone do not decide
PLANT = """
from verifier.problem.region import Region
right = Region.minimum
Region.minimum = lambda self, *rest: right(self, *rest) + 100.0
"""


def _query(folder: Path, tiny: Files) -> tuple[Any, ...]:
    """What CROWN proves (Y[0,0] ≤ 2.43) and intervals do not (≤ 4.35)."""
    return "verify", query(folder, "(>= Y[0,0] 3.0)", radius=0.5), "--network", tiny.model


@pytest.mark.parametrize("command", ["certify", "radius", "verify"])
def test_a_planted_wrong_bound(
    recert: Recert, tiny: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    asked = {
        "certify": ("certify", tiny.model, tiny.data, "--eps", EPS),
        "radius": ("radius", tiny.model, tiny.data),
        "verify": _query(tmp_path, tiny),
    }[command]
    right = recert(*asked)
    assert right.exit_code == 0
    minimum = Region.minimum
    monkeypatch.setattr(Region, "minimum", lambda self, *rest: minimum(self, *rest) + 100.0)
    wrong = recert(*asked)
    assert wrong.exit_code == UNSOUND
    assert wrong.stdout == ""
    assert "two bounds of one value do not overlap" in wrong.stderr
    assert "please send the file" in wrong.stderr.splitlines()[-1]


def test_in_a_process_that_was_started_for_some_samples(tiny: Files, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(PLANT)  # every interpreter that is started imports it
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    program = "from verifier.cli import main\nif __name__ == '__main__': main()"
    command = (
        sys.executable,
        "-c",
        program,
        "certify",
        tiny.model,
        tiny.data,
        "--eps",
        str(EPS),
        "--jobs",
        "2",
    )
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert (done.returncode, done.stdout) == (UNSOUND, ""), done.stderr
    assert "please send the file" in done.stderr


def test_the_alarm_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(UnsoundBound("one thing contradicts another")))
    assert error.found == "one thing contradicts another"
    assert "one thing contradicts another" in str(error)


def test_the_plant_is_what_raises_the_alarm(tiny: Files, recert: Recert) -> None:
    assert recert("certify", tiny.model, tiny.data, "--eps", EPS, "--jobs", 2).exit_code == 0
