"""What is wrong with the options: all of it at once, one line each, before anything heavy is imported."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command_line import Files, Recert
from verifier.cli import checks
from verifier.cli.checks import Checked
from verifier.cli.process import Mistakes


def refusal(check: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(Mistakes) as caught:
        check(*arguments)
    (line,) = caught.value.problems
    return line


@pytest.mark.parametrize(
    ("text", "value"),
    [("8/255", 8 / 255), ("0.03", 0.03), ("1e-3", 1e-3), (".5", 0.5), ("2", 2.0), ("0", 0.0)],
)
def test_a_radius_as_people_write_it(text: str, value: float) -> None:
    assert checks.radius(text) == value


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("0,03", "write --eps 0.03"),
        ("8/0", "--eps 8/255"),
        ("much", "--eps 0.03"),
        ("-1", "0 or more"),
        ("inf", "finite"),
        ("nan", "finite"),
    ],
)
def test_no_radius(text: str, remedy: str) -> None:
    assert remedy in refusal(checks.radius, text)


NORMS = {math.inf: ["inf", "Linf", "l_inf", "L∞"], 2: ["l2", "L2", "2"], 1: ["1", "L1"], 1.5: ["1.5", "l1.5"]}


@pytest.mark.parametrize(("text", "p"), [(text, p) for p, texts in NORMS.items() for text in texts])
def test_norms_as_people_write_them(text: str, p: float) -> None:
    assert checks.norm_order(text) == p


@pytest.mark.parametrize("text", ["0", "l0", "0.5", "nan", "-1", "two", "", "l"])
def test_no_norm(text: str) -> None:
    assert "--norm inf, 2, 1" in refusal(checks.norm_order, text)


def test_steps_and_features() -> None:
    assert checks.ranges("0-4, -1", "--steps") == ((0, 4), (-1, -1))
    assert checks.ranges("-3--1", "--steps") == ((-3, -1),)
    assert checks.ranges(None, "--steps") is None
    assert "write --steps=3-5" in refusal(checks.ranges, "5-3", "--steps")
    assert "--features '0,x': 'x' is neither" in refusal(checks.ranges, "0,x", "--features")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("0-4,-1", ("0-4,-1", None, False)),
        (":0,1", (None, "0,1", False)),
        ("each", (None, None, True)),
        ("each,3-5:0", ("3-5", "0", True)),
        ("3-5:0", ("3-5", "0", False)),
    ],
)
def test_frames_in_the_words_of_today(spec: str, said: tuple[str | None, str | None, bool]) -> None:
    assert checks.frames(spec) == said


def test_frames_and_steps_say_the_same(recert: Recert, tiny: Files) -> None:
    def margins(*options: str) -> str:
        found = recert("certify", tiny.model, tiny.data, "--eps", 0.2, *options).stdout
        return "".join(line[:60] for line in found.splitlines() if line[:6].strip().isdecimal())

    new = margins("--steps", "-2,-1", "--features", "1", "--per-step")
    assert new == margins("--frames", "each,-2,-1:1")
    assert new != margins()


def test_old_names_of_methods(recert: Recert) -> None:
    for old, new in {"backward": "crown", "slopes": "alpha-crown", "branching": "bab"}.items():
        assert checks.method(old) == checks.method(new)
    text = recert("certify", "--help").stdout
    assert "alpha-crown" in text
    assert "backward" not in text
    assert "--frames" not in text


def test_files_are_looked_for_nearby(tmp_path: Path) -> None:
    (tmp_path / "speech_lstm.onnx").touch()
    assert f"did you mean {tmp_path}/speech_lstm.onnx?" in refusal(checks.model, tmp_path / "speech_lst.onnx")
    assert "holds speech_lstm.onnx" in refusal(checks.model, tmp_path / "zzz")
    assert "it is a folder" in refusal(checks.model, tmp_path)
    assert "there is no folder" in refusal(checks.data, tmp_path / "no" / "x.npz")
    assert "no such file" in refusal(checks.network, f"N={tmp_path}/speech.onnx")
    assert "write NAME=MODEL.onnx" in refusal(checks.network, "N=")
    assert checks.network(f"N={tmp_path}/speech_lstm.onnx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.npz").touch(mode=0o200)
    assert "chmod u+r" in refusal(checks.data, tmp_path / "x.npz")


def test_all_mistakes_at_once() -> None:
    checked = Checked()
    checked(checks.radius, "8/")
    assert checked(checks.norm_order, "2") == 2
    checked(checks.norm_order, "0")
    with pytest.raises(Mistakes) as caught:
        checked.end()
    assert len(caught.value.problems) == 2
    Checked().end()


def test_every_mistake_has_a_line(recert: Recert, tmp_path: Path) -> None:
    result = recert(
        *("certify", tmp_path / "no.onnx", tmp_path / "no.npz", "--eps", "8/x", "--norm", "0"),
        *("--steps", "a", "--limit", 0, "--jobs", 0, "--method", "crowns", "--seed", -1, "--timeout", 0),
    )
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert all(line.startswith("recert: error: ") for line in lines)
    assert len(lines) == 10
    assert any("did you mean --method crown" in line for line in lines)
