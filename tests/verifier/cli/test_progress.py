"""The line that says what a run is at: it fits, it moves within a group, and it is rare in a pipe."""

from __future__ import annotations

import pytest

from verifier.cli import progress
from verifier.cli.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("verifier.cli.progress.time.monotonic", lambda: now[0])
    return now


def test_it_moves_within_a_group(clock: list[float]) -> None:
    run = Progress(12)
    run.at("attack", 3)
    assert "left" not in run.line(200)  # nothing to judge by
    clock[0] = 30.0
    for _ in range(3):
        run.found("certified")
    run.at("bounds", 6)
    assert "3/12  0:30, about 1:30 left  bounds  3 certified" in run.line(200)
    clock[0] = 60.0  # at ten seconds a sample, half of the six are through
    assert "3/12  1:00, about 1:00 left" in run.line(200)
    clock[0] = 500.0
    assert run.line(200).index("3/12") == progress.BAR + 1


def test_a_time_limit_bounds_the_time_left(clock: list[float]) -> None:
    run = Progress(10, timeout=60.0, workers=2)
    assert "at most 5:00 left" in run.line(200)
    clock[0] = 60.0
    run.found("unknown")
    assert "at most 4:30 left" in run.line(200)


def test_it_fits(clock: list[float]) -> None:
    run = Progress(100000)
    for kind in ("certified", "unknown", "misclassified", "broken"):
        run.found(kind)
    clock[0] = 5e4
    run.at("a phase with a long name, which tells at length what is being done", 16)
    for width in (79, 120):
        assert len(run.line(width)) <= width
        assert "left" in run.line(width)


def test_a_pipe_gets_a_line_a_minute(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(4) as run:
        run.found("certified")
        assert capsys.readouterr().err == ""
        clock[0] = progress.RARE + 1
        run.found("certified")
        run.at("attack")
        assert len(capsys.readouterr().err.splitlines()) == 1
