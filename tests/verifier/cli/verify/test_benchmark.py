"""The shipped recurrent benchmark: made by its generator, the same in both versions, within its time."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from parsers import read_onnx
from parsers.ir import Value
from parsers.vnnlib import read_vnnlib
from tests.support.command_line import Recert
from tests.support.paths import MODELS

BENCHMARK = MODELS / "benchmark"


def instances(file: str) -> list[tuple[Path, Path, float]]:
    with (BENCHMARK / file).open() as rows:
        return [(BENCHMARK / net, BENCHMARK / f"{query}.gz", float(t)) for net, query, t in csv.reader(rows)]


def generated(folder: Path, seed: int) -> Path:
    """The generator's output for `seed`, in a copy of the folder."""
    made = folder / "models" / "benchmark"
    made.mkdir(parents=True)
    for path in BENCHMARK.glob("*.py"):
        shutil.copy(path, made)
    for path in (*MODELS.glob("*.onnx"), *MODELS.glob("*_test.npz")):
        shutil.copy(path, made.parent)
    subprocess.run(
        [sys.executable, made / "generate_properties.py", str(seed)], check=True, capture_output=True
    )
    return made


def files(folder: Path) -> dict[str, bytes]:
    paths = [*folder.glob("onnx/*"), *folder.glob("vnnlib/*"), *folder.glob("*.csv")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_files_are_those_of_seed_0(tmp_path: Path) -> None:
    assert files(generated(tmp_path, 0)) == files(BENCHMARK)


def test_another_seed_draws_others(tmp_path: Path) -> None:
    other = files(generated(tmp_path, 1))
    same = files(BENCHMARK)
    assert other.keys() == same.keys()
    assert sum(other[name] != same[name] for name in same if name.startswith("vnnlib/")) > 60


def test_the_whole_fits_into_six_hours() -> None:
    for file in ("instances.csv", "instances_1.0.csv"):
        listed = instances(file)
        assert len(listed) == 42
        assert sum(timeout for *_, timeout in listed) < 6 * 3600
        assert all(net.is_file() and query.is_file() for net, query, _ in listed)


def test_both_versions_ask_the_same() -> None:
    read = cache(read_onnx)
    for (net, new, _), (same, old, _) in zip(
        instances("instances.csv"), instances("instances_1.0.csv"), strict=True
    ):
        assert net == same
        graph = read(net)
        outputs = [Value(name, graph.shape(name)) for name in graph.outputs]
        bound = [read_vnnlib(path).bind(graph.inputs, outputs) for path in (new, old)]
        assert [spec.version for spec in bound] == ["2.0", "1.0"]
        for a, b in zip(bound[0].cases, bound[1].cases, strict=True):
            for end in ("lower", "upper"):
                np.testing.assert_array_equal(getattr(a.boxes["x"], end), getattr(b.boxes["x"], end))
            for left, right in zip(a.constraints, b.constraints, strict=True):
                assert left.constant == right.constant
                (name,) = left.coefficients
                np.testing.assert_array_equal(left.coefficients[name], right.coefficients[name])


@pytest.mark.parametrize(
    "k", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
@pytest.mark.usefixtures("patient")
def test_a_planted_trigger_is_never_certified_away(recert: Recert, k: int) -> None:
    query = BENCHMARK / "vnnlib" / f"locked_{k}_v2.vnnlib.gz"
    result = recert("verify", query, "--network", BENCHMARK / "onnx" / f"locked_{k}.onnx", "--timeout", 8)
    assert result.stdout.splitlines()[0] in ("sat", "unknown", "timed-out")
