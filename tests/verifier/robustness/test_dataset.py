"""Samples reach the network in its own shapes, or the file is refused with the reason."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parsers.errors import BadInput
from parsers.onnx.file.dimensions import InputSpec
from verifier.robustness.dataset import load_dataset, stacked

RNG = np.random.default_rng(0)
BATCH_FIRST = InputSpec("x", "float32", ("batch", "time", 4))
TIME_FIRST = InputSpec("x", "float32", ("time", 1, 4))
FIXED = InputSpec("x", "float32", (1, 6, 4))
LABELS = np.array([0, 2, 1])


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


@pytest.mark.parametrize(
    ("spec", "shape", "whole"),
    [
        (BATCH_FIRST, (6, 4), (1, 6, 4)),
        (BATCH_FIRST, (1, 6, 4), (1, 6, 4)),
        (TIME_FIRST, (6, 4), (6, 1, 4)),
        (TIME_FIRST, (6, 1, 4), (6, 1, 4)),
        (TIME_FIRST, (1, 4), (1, 1, 4)),
        (FIXED, (6, 4), (1, 6, 4)),
        (InputSpec("x", "float32", (None, 6, 4)), (6, 4), (1, 6, 4)),
        (InputSpec("x", "float32", ("T", 4)), (6, 4), (6, 4)),
        (InputSpec("x", "float64", (1, 28, 28)), (28, 28), (1, 28, 28)),
    ],
)
def test_shapes(tmp_path: Path, spec: InputSpec, shape: tuple[int, ...], whole: tuple[int, ...]) -> None:
    inputs = RNG.normal(size=(3, *shape)).astype(np.float32)
    dataset = load_dataset(saved(tmp_path, inputs=inputs, labels=LABELS), [spec])
    assert [s.label for s in dataset.samples] == [0, 2, 1]
    assert len(dataset) == 3
    assert dataset.perturbed == "x"
    for i, sample in enumerate(dataset.samples):
        assert sample.index == i
        assert sample.shapes == {"x": whole}
        assert sample.inputs["x"].dtype == np.dtype(spec.dtype)
        assert np.array_equal(sample.inputs["x"].reshape(-1), inputs[i].reshape(-1))


@pytest.mark.parametrize(("spec", "axis"), [(BATCH_FIRST, 1), (TIME_FIRST, 0)])
def test_samples_are_cut_to_their_lengths(tmp_path: Path, spec: InputSpec, axis: int) -> None:
    inputs = RNG.normal(size=(5, 6, 4)).astype(np.float32)
    inputs[0, 3:] = np.nan  # padding is not looked at
    lengths = np.array([3, 6, 3, 1, 6])
    dataset = load_dataset(saved(tmp_path, inputs=inputs, labels=np.zeros(5, int), lengths=lengths), [spec])
    groups = dataset.groups()
    assert [[s.index for s in group] for group in groups] == [[0, 2], [1, 4], [3]]
    for group in groups:
        for sample in group:
            n = int(lengths[sample.index])
            assert sample.shapes["x"][axis] == n
            assert np.array_equal(sample.inputs["x"].reshape(n, 4), inputs[sample.index, :n])
    assert stacked(groups[0])["x"].shape == (2, *groups[0][0].shapes["x"])


def test_limit_and_rounding(tmp_path: Path) -> None:
    inputs = np.full((3, 6, 4), 0.1)
    dataset = load_dataset(saved(tmp_path, inputs=inputs, labels=LABELS), [FIXED], limit=2)
    assert len(dataset) == 2
    assert dataset.samples[0].inputs["x"][0, 0, 0] == np.float32(0.1)


def test_other_inputs_come_by_name(tmp_path: Path) -> None:
    specs = [InputSpec("h0", "float32", (1, 2)), FIXED, InputSpec("lengths", "int64", ("batch",))]
    path = saved(
        tmp_path,
        inputs=np.zeros((3, 6, 4)),
        labels=LABELS,
        h0=np.arange(6.0).reshape(3, 2),
        lengths=np.array([[6], [5], [4]]),
    )
    dataset = load_dataset(path, specs)
    assert dataset.perturbed == "x"
    assert list(dataset.samples[1].inputs) == ["h0", "x", "lengths"]
    assert dataset.samples[1].inputs["h0"].tolist() == [[2.0, 3.0]]
    assert dataset.samples[1].inputs["lengths"].tolist() == [5]
    assert dataset.samples[1].inputs["lengths"].dtype == np.int64


def test_label_range(tmp_path: Path) -> None:
    dataset = load_dataset(saved(tmp_path, inputs=np.zeros((3, 6, 4)), labels=LABELS), [FIXED])
    dataset.check_labels(3)
    with pytest.raises(BadInput, match="label 2 of sample 1 is not one of the network's 2 classes"):
        dataset.check_labels(2)


GOOD: dict[str, Any] = {"inputs": np.zeros((3, 6, 4)), "labels": LABELS}


@pytest.mark.parametrize(
    ("changes", "spec", "message"),
    [
        ({"inputs": None}, FIXED, "no array 'inputs'; it holds labels"),
        ({"labels": None}, FIXED, "no array 'labels'"),
        ({"inputs": np.zeros((0, 6, 4)), "labels": np.zeros(0, int)}, FIXED, "no samples"),
        ({"inputs": np.float64(3)}, FIXED, "no samples"),
        ({"inputs": np.full((3, 6, 4), np.nan)}, FIXED, "sample 0 has values that are NaN"),
        ({"inputs": np.full((3, 6, 4), 1e300)}, FIXED, "too large for float32"),
        ({"inputs": np.full((3, 6, 4), "a")}, FIXED, "the data for input 'x' have type <U1"),
        ({"inputs": np.zeros((3, 6, 4), complex)}, FIXED, "have type complex128"),
        (
            {"inputs": np.zeros((3, 5, 4))},
            FIXED,
            r"samples of shape \[5, 4\] do not fit input 'x' \[1, 6, 4\]",
        ),
        ({"inputs": np.zeros((3, 2, 6, 4))}, BATCH_FIRST, "with a batch of one"),
        ({"inputs": np.zeros((3, 4))}, InputSpec("x", "float32", (1, 1, 4)), "do not fit"),
        ({"inputs": np.zeros((3, 1))}, InputSpec("x", "float32", (1, 1)), "any of several axes"),
        ({"labels": np.zeros((3, 1), int)}, FIXED, r"'labels' has shape \[3, 1\]"),
        ({"labels": np.zeros(2, int)}, FIXED, "one entry for each of 3 samples"),
        ({"labels": np.zeros(3)}, FIXED, "'labels' has type float64; it must hold integers"),
        ({"lengths": np.array([0, 1, 2])}, BATCH_FIRST, "the length of sample 0 is 0; it must be 1 to 6"),
        ({"lengths": np.array([1, 7, 2])}, BATCH_FIRST, "the length of sample 1 is 7"),
        ({"lengths": np.array([1, 3, 2])}, FIXED, "has no free time dimension"),
        ({"lengths": np.ones(3)}, BATCH_FIRST, "'lengths' has type float64"),
        (
            {"lengths": np.array([1, 3, 2])},
            InputSpec("x", "float32", ("T", "F")),
            "which of the free dimensions",
        ),
        ({}, InputSpec("x", "int64", (1, 6, 4)), "input 'x' is int64: only inputs of real numbers"),
    ],
)
def test_bad_data_are_refused(tmp_path: Path, changes: dict[str, Any], spec: InputSpec, message: str) -> None:
    arrays = {name: array for name, array in (GOOD | changes).items() if array is not None}
    with pytest.raises(BadInput, match=message):
        load_dataset(saved(tmp_path, **arrays), [spec])


def test_a_second_input_without_data(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'x', 'h0'; 'inputs' feeds one of them"):
        load_dataset(saved(tmp_path, **GOOD), [FIXED, InputSpec("h0", "float32", (1, 2))])


def test_limit_must_leave_something(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="limit=0"):
        load_dataset(saved(tmp_path, **GOOD), [FIXED], limit=0)


class Bomb:
    """Unpickling this would fail the test."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("unpickled",)


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        load_dataset(tmp_path / "none.npz", [FIXED])
    objects = saved(tmp_path, inputs=np.array([Bomb(), None], dtype=object), labels=np.zeros(2, int))
    with pytest.raises(BadInput, match="Python objects, which are never loaded"):
        load_dataset(objects, [FIXED])
    (tmp_path / "bomb.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BadInput, match="never loaded"):
        load_dataset(tmp_path / "bomb.npz", [FIXED])
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(BadInput, match="single array"):
        load_dataset(tmp_path / "single.npy", [FIXED])
    whole = saved(tmp_path, **GOOD).read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.npz").write_bytes(whole[:cut])
        with pytest.raises(BadInput, match="not a readable"):
            load_dataset(tmp_path / "cut.npz", [FIXED])
