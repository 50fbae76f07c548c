"""Tables that fit a terminal of 80 columns, summaries with intervals, hints where an option would help."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binomtest

from tests.support.command_line import Files, Recert
from verifier.cli import report
from verifier.cli.checks import Asked
from verifier.problem.method import Method
from verifier.robustness.outcome import Outcome, Verdict

ASKED = Asked(
    *(Path("a/net.onnx"), Path("data.npz"), float("inf"), None, None, None, False, None, {}),
    *(None, None, None, Method.bab, 1),
)


def outcome(verdict: Verdict, index: int, lower: float | None, upper: float | None, method: str) -> Outcome:
    return Outcome(
        index=index, label=10, predicted=8, verdict=verdict, lower=lower, upper=upper, method=method
    )


WORST = [
    outcome(Verdict.misclassified, 12345, None, None, "none"),
    outcome(Verdict.unknown, 1, -9.17234, -0.0000123456, "truncated-crown"),
    outcome(Verdict.certified, 2, 0.000012345, 123.456, "crown-octagon"),
]


@pytest.mark.parametrize(("count", "total"), [(0, 1), (4, 5), (9, 12), (370, 370), (1, 1000)])
def test_intervals_are_wilsons(count: int, total: int) -> None:
    low, high = report.wilson(count, total)
    expected = binomtest(count, total).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def rendered(width: int, show: Callable[[Console], None], *, terminal: bool = False) -> list[str]:
    out = io.StringIO()
    show(Console(file=out, width=width, force_terminal=terminal, color_system=None, legacy_windows=False))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 110, 200])
def test_nothing_is_cut_off(width: int) -> None:
    lines = rendered(width, lambda console: report.printed_table(console, report.outcome_table(WORST)))
    medium = rendered(width, lambda console: report.printed_table(console, report.outcome_table(WORST[:1])))
    text = "\n".join(lines)
    for word in ("sample", "label", "predicted", "verdict", "margin ≥", "margin ≤", "seconds", "method"):
        assert word in text
    for word in ("misclassified", "truncated-crown", "-1.2e-05", "-9.172", "12345"):
        assert word in text
    assert "…" not in text + "".join(medium)
    assert max(map(len, medium)) <= width
    assert max(map(len, lines)) <= width
    assert lines == [line.rstrip() for line in lines]


def test_a_pipe_gets_eighty_columns() -> None:
    assert report.results_console(None).width == 80


def test_long_lines_break_on_a_terminal_alone() -> None:
    reasons = ["", "  sample 3: " + "word " * 30 + "end"]
    broken = rendered(80, lambda console: report.printed(console, reasons), terminal=True)
    assert broken[:1] == [""]
    assert max(map(len, broken)) <= 80
    assert [len(line) - len(line.lstrip()) for line in broken[1:]] == [2, 4, 4]
    assert rendered(80, lambda console: report.printed(console, reasons)) == reasons


def test_titles() -> None:
    assert (
        report.title(ASKED, 12, "L∞, ε = 8/255") == "net.onnx, 12 samples: L∞, ε = 8/255; all inputs may move"
    )
    some = replace(ASKED, steps=((0, 4), (-1, -1)), features=((0, 0),), per_step=True, clip=(0.0, 1.0))
    assert report.title(some, 1, "L2") == (
        "net.onnx, 1 sample: L2; features 0 of time steps 0 to 4, -1 may move, a ball for each time step"
        " within [0, 1]"
    )
    assert report.norm_name(1.5) == "L1.5"


@pytest.mark.parametrize(
    ("least", "greatest", "eps", "said"),
    [
        (0.0, 1.0, 0.1, "--clip 0 1"),
        (0.0, 255.0, 1.0, "--clip 0 255"),
        (-1.0, 1.0, 0.1, "--clip -1 1"),
        (0.2, 0.8, 0.1, ""),
        (-4.0, 3.6, 0.1, ""),
        (0.0, 0.001, 0.1, ""),
    ],
)
def test_a_range_that_data_lie_in(least: float, greatest: float, eps: float, said: str) -> None:
    hint = report.clip_hint(ASKED, least, greatest, eps)
    assert said in hint
    assert bool(said) == bool(hint)
    assert not report.clip_hint(replace(ASKED, clip=(0.0, 1.0)), least, greatest, eps)


def test_hints_on_standard_error(recert: Recert, tiny: Files, tmp_path: Path) -> None:
    span = np.ptp(tiny.inputs)
    data = tiny.save(tmp_path / "unit.npz", inputs=(tiny.inputs - tiny.inputs.min()) / span)
    result = recert("certify", tiny.model, data, "--eps", "8/255")
    assert "hint: all values lie in [0, 1]" in result.stderr
    assert "ε = 8/255" in result.stdout
    assert "--clip 0 1" not in recert("certify", tiny.model, data, "--eps", 0.01, "--clip", 0, 1).stderr


def test_what_would_help_with_undecided_samples() -> None:
    assert "--timeout" in report.remedy(ASKED, 2)
    assert "--method" in report.remedy(replace(ASKED, method=Method.crown), 2)
    assert not report.remedy(ASKED, 0)
    assert not report.remedy(replace(ASKED, timeout=3.0), 2)
