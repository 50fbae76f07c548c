"""`recert certify` and `recert radius` on a small LSTM: what is written where, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from parsers.onnx.file.runtime import Runtime
from tests.support.command_line import STEPS, Files, Recert, Refused

KNOWN = {"index", "label", "predicted", "verdict", "seconds", "method", "finished", "reason", "kernels"}
FIELDS = KNOWN | {"margin_lower", "margin_upper"}


def objects(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def by_index(entries: Iterable[dict[str, object]]) -> dict[object, dict[str, object]]:
    return {entry["index"]: entry for entry in entries}


def test_json_on_standard_output_is_alone_there(recert: Recert, tiny: Files) -> None:
    result = recert("certify", tiny.model, tiny.data, "--eps", 0.01, "--json", "-")
    assert result.exit_code == 0
    found = objects(result.stdout)
    assert all(set(entry) == FIELDS for entry in found)
    assert sorted(entry["index"] for entry in found) == list(range(len(tiny.labels)))  # type: ignore[type-var]
    assert "clean accuracy" in result.stderr
    verdicts = {entry["index"]: entry["verdict"] for entry in found}
    assert verdicts[0] == "misclassified"
    assert set(verdicts.values()) <= {"misclassified", "certified"}


def test_table_and_summary_on_standard_output(recert: Recert, tiny: Files, tmp_path: Path) -> None:
    lines = tmp_path / "found.jsonl"
    result = recert("certify", tiny.model, tiny.data, "--eps", 0.01, "--json", lines)
    assert result.exit_code == 0
    assert result.stderr == ""  # no progress bar in a pipe
    assert len(objects(lines.read_text())) == len(tiny.labels)
    for heading in ("sample", "verdict", "margin ≥", "margin ≤", "seconds"):
        assert heading in result.stdout
    assert "clean accuracy          80.0 %  4 of 5   37.6 –  96.4 %  (95 %, Wilson)" in result.stdout
    assert "certified accuracy      80.0 %  4 of 5" in result.stdout


def test_certified_samples_survive_random_points(recert: Recert, tiny: Files) -> None:
    eps = 0.05
    found = by_index(objects(recert("certify", tiny.model, tiny.data, "--eps", eps, "--json", "-").stdout))
    runtime, rng = Runtime(tiny.model), np.random.default_rng(1)
    for k, (x, length) in enumerate(zip(tiny.inputs, tiny.lengths, strict=True)):
        if found[k]["verdict"] != "certified":
            continue
        lower, upper = found[k]["margin_lower"], found[k]["margin_upper"]
        assert isinstance(lower, float)
        assert isinstance(upper, float)
        assert 0 < lower <= upper
        for _ in range(50):
            moved = (x + rng.uniform(-eps, eps, size=x.shape)).astype(np.float32)[:length, None]
            scores = runtime.run({"x": moved})["logits"].reshape(-1)
            assert scores[tiny.labels[k]] - np.delete(scores, tiny.labels[k]).max() >= lower - 1e-5


def test_a_large_ball_is_broken(recert: Recert, tiny: Files) -> None:
    found = objects(recert("certify", tiny.model, tiny.data, "--eps", 20, "--json", "-").stdout)
    verdicts = [entry["verdict"] for entry in found]
    assert verdicts.count("broken") == 4
    for entry in found:
        assert (entry["margin_upper"] is None) == (entry["verdict"] == "misclassified")
        assert entry["verdict"] != "broken" or entry["margin_upper"] < 0  # type: ignore[operator]


def test_zero_radius_is_the_sample_itself(recert: Recert, tiny: Files) -> None:
    found = objects(recert("certify", tiny.model, tiny.data, "--eps", 0, "--json", "-").stdout)
    for entry in found:
        if entry["verdict"] == "certified":
            lower, upper = entry["margin_lower"], entry["margin_upper"]
            assert isinstance(lower, float)
            assert lower == pytest.approx(upper, abs=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        ("--norm", "2"),
        ("--norm", "1.5", "--per-step"),
        ("--steps", "0", "--features", "1"),
        ("--clip", "-9", "9"),
        ("--dtype", "float32"),
        ("--threads", "1", "--seed", "7", "--timeout", "30", "--device", "cpu"),
    ],
)
def test_options_reach_the_verifier(recert: Recert, tiny: Files, options: tuple[str, ...]) -> None:
    result = recert("certify", tiny.model, tiny.data, "--eps", 0.05, "--json", "-", *options)
    assert result.exit_code == 0
    found = by_index(objects(result.stdout))
    plain = by_index(objects(recert("certify", tiny.model, tiny.data, "--eps", 0.05, "--json", "-").stdout))
    for index, entry in found.items():
        assert entry["verdict"] in ("certified", "misclassified", "unknown")
        if options[0] in ("--norm", "--steps") and entry["verdict"] == "certified":
            bound, of_the_box = entry["margin_upper"], plain[index]["margin_upper"]
            assert isinstance(bound, float)
            assert isinstance(of_the_box, float)
            assert bound > of_the_box  # a smaller region leaves a larger margin


def test_limit(recert: Recert, tiny: Files) -> None:
    found = objects(
        recert("certify", tiny.model, tiny.data, "--eps", 0.01, "--limit", 2, "--json", "-").stdout
    )
    assert sorted(entry["index"] for entry in found) == [0, 1]  # type: ignore[type-var]


def test_an_interrupt_leaves_what_was_found(
    recert: Recert, tiny: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from verifier.robustness.classifier import Classifier

    margins, calls = Classifier.margins, []

    def interrupted(self: Classifier, *arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:  # the second group of samples
            raise KeyboardInterrupt
        return margins(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Classifier, "margins", interrupted)
    lines = tmp_path / "found.jsonl"
    result = recert("certify", tiny.model, tiny.data, "--eps", 0.01, "--json", lines)
    assert result.exit_code == 130
    found = objects(lines.read_text())
    assert 0 < len(found) < len(tiny.labels)
    assert f"interrupted after {len(found)} of 5 samples" in result.stderr
    assert f"of {len(found)}" in result.stdout


def test_radius_encloses_and_agrees_with_certify(recert: Recert, tiny: Files) -> None:
    found = objects(recert("radius", tiny.model, tiny.data, "--tolerance", 0.5, "--json", "-").stdout)
    assert KNOWN | {"radius_lower", "radius_upper"} == set(found[0])
    right = [entry for entry in found if entry["label"] == entry["predicted"]]
    assert len(right) == 4
    for entry in right:
        lower, upper = entry["radius_lower"], entry["radius_upper"]
        assert isinstance(lower, float)
        assert isinstance(upper, float)
        assert 0 < lower < upper < math.inf
    (wrong,) = [entry for entry in found if entry["index"] == 0]
    assert wrong["radius_lower"] is None
    assert wrong["radius_upper"] is None
    least = min(entry["radius_lower"] for entry in right)  # type: ignore[type-var]
    again = objects(recert("certify", tiny.model, tiny.data, "--eps", least, "--json", "-").stdout)
    assert [e["verdict"] for e in again].count("certified") == 4


def test_radius_table(recert: Recert, tiny: Files) -> None:
    text = recert("radius", tiny.model, tiny.data, "--limit", 2, "--tolerance", 0.5).stdout
    assert "radius ≥" in text
    assert "median radius" in text


@pytest.mark.parametrize("command", ["certify", "radius"])
def test_the_method_is_the_last_that_is_tried(recert: Recert, tiny: Files, command: str) -> None:
    def tried(*options: str) -> list[dict[str, object]]:
        ask = ("--eps", 0.6) if command == "certify" else ("--tolerance", 0.02, "--limit", 2)
        found = recert(command, tiny.model, tiny.data, *ask, "--json", "-", *options).stdout
        return sorted(objects(found), key=lambda entry: str(entry["index"]))

    cheap, deep = tried("--method", "backward"), tried()
    first = {"none", "interval", "pgd", "crown"}
    assert {entry["method"] for entry in cheap} <= first
    assert {entry["method"] for entry in deep} - first
    field = "margin_lower" if command == "certify" else "radius_lower"
    for before, after in zip(cheap, deep, strict=True):
        low, high = before[field], after[field]
        if isinstance(low, float) and isinstance(high, float):
            assert min(high, 1e-5) >= min(low, 1e-5)


# --- refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--eps", "-0.1"), "0 or more"),
        (("--eps", "nan"), "finite"),
        (("--eps", "inf"), "finite"),
        (("--eps", "0.1", "--norm", "0.5"), "any number from 1 up"),
        (("--eps", "0.1", "--norm", "two"), "any number from 1 up"),
        (("--eps", "0.1", "--clip", "1", "0"), "must not exceed"),
        (("--eps", "0.1", "--clip", "0", "0.001"), "leave the range"),
        (("--eps", "0.1", "--timeout", "0"), "greater than 0"),
        (("--eps", "0.1", "--limit", "0"), "at least 1"),
        (("--eps", "0.1", "--threads", "0"), "at least 1"),
        (("--eps", "0.1", "--memory", "0"), "at least 1"),
        (("--eps", "0.1", "--seed", "-1"), "at least 0"),
        (("--eps", "0.1", "--steps", "soon"), "neither an index nor a range"),
        (("--eps", "0.1", "--steps", "7"), "0 to 2"),
        (("--eps", "0.1", "--output", "probabilities"), "logits"),
        (("--eps", "0.1", "--json", "no/such/folder/x.jsonl"), "a folder that exists"),
    ],
)
def test_options_that_make_no_sense(
    refused: Refused, tiny: Files, options: tuple[str, ...], remedy: str
) -> None:
    assert remedy in refused("certify", tiny.model, tiny.data, *options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("command", ["certify", "radius"])
def test_cuda_where_there_is_none(refused: Refused, tiny: Files, command: str) -> None:
    options = ("--eps", "0.1") if command == "certify" else ()
    assert "use --device cpu" in refused(command, tiny.model, tiny.data, *options, "--device", "cuda")


@pytest.mark.parametrize("option", ["--start", "--tolerance"])
def test_radius_options(refused: Refused, tiny: Files, option: str) -> None:
    assert "greater than 0" in refused("radius", tiny.model, tiny.data, option, "0")


def damaged(tiny: Files, fault: str) -> dict[str, np.ndarray]:
    """Arrays that replace good ones."""
    inputs, labels, lengths = tiny.inputs.copy(), tiny.labels.copy(), tiny.lengths.copy()
    match fault:
        case "nan":
            inputs[2, 1, 0] = np.nan
        case "infinity":
            inputs[1, 0, 1] = np.inf
        case "label":
            labels[4] = 3
        case "negative label":
            labels[4] = -1
        case "label type":
            labels = labels.astype(np.float32)
        case "labels short":
            labels = labels[:-1]
        case "length":
            lengths[3] = STEPS + 1
        case "features":
            inputs = inputs[..., :1]
        case "objects":
            inputs = inputs.astype(object)
    return {"inputs": inputs, "labels": labels, "lengths": lengths}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("nan", "sample 2"),
        ("infinity", "sample 1"),
        ("label", "label 3 of sample 4"),
        ("negative label", "label -1 of sample 4"),
        ("label type", "integers"),
        ("labels short", "'labels'"),
        ("length", "length of sample 3"),
        ("features", "do not fit input"),
        ("objects", "never loaded"),
    ],
)
def test_data_that_do_not_fit(refused: Refused, tiny: Files, tmp_path: Path, fault: str, words: str) -> None:
    data = tiny.save(tmp_path / "bad.npz", **damaged(tiny, fault))
    lines = tmp_path / "old.jsonl"
    lines.write_text("earlier results\n")
    assert words in refused("certify", tiny.model, data, "--eps", 0.1, "--json", lines)
    assert lines.read_text() == "earlier results\n"


@pytest.mark.parametrize("content", [b"", b"not a zip file"])
def test_unreadable_data(refused: Refused, tiny: Files, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    assert "bad.npz" in refused("certify", tiny.model, tmp_path / "bad.npz", "--eps", 0.1)


def test_missing_data(refused: Refused, tiny: Files, tmp_path: Path) -> None:
    assert "no such file" in refused("certify", tiny.model, tmp_path / "none.npz", "--eps", 0.1)
