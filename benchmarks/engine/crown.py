"""This engine beside recorded CROWN runs of auto_LiRPA, on the same networks and inputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.engine.problem import Problem, problem
from benchmarks.measure import seconds, table
from benchmarks.paths import PEERS

FOLDER = PEERS / "crown"


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A run of the peer: lower bounds of the margins of sample 0, and its processor seconds."""

    model: str
    eps: float
    cpu: float
    bounds: np.ndarray

    def problem(self, dtype: torch.dtype) -> Problem:
        data = np.load(FOLDER / f"{self.model}.npz")
        path = FOLDER / f"{self.model}.onnx"
        return problem(path, data["inputs"][:1], data["labels"][:1], self.eps, dtype)


def recorded(method: str = "CROWN", folder: Path = FOLDER) -> list[Recorded]:
    """All recorded runs of `method`, smallest first; of several of one problem the fastest counts."""
    runs = json.loads((folder / "recorded.json").read_text())["runs"]
    fastest: dict[tuple[str, float], Recorded] = {}
    for run in runs:
        if run["method"] == method:
            found = Recorded(run["model"], run["eps"], run["cpu_s"], np.array(run["lb"][0]))
            held = fastest.get((found.model, found.eps))
            if held is None or found.cpu < held.cpu:
                fastest[found.model, found.eps] = found
    return sorted(fastest.values(), key=lambda r: (r.model.split("_")[0], r.cpu))


def compare(dtypes: tuple[str, ...] = ("float64", "float32")) -> Iterator[tuple[str, ...]]:
    """A row per recorded run: seconds of both, their ratio, and least and mean difference of the bounds."""
    for run in recorded():
        row = [run.model, f"{run.eps:g}", f"{run.cpu:.2f}"]
        for name in dtypes:
            posed = run.problem(getattr(torch, name))
            spent = seconds(posed.bounds)
            difference = posed.bounds()[0].double().numpy() - run.bounds
            row += [f"{spent.cpu:.3f}", f"{run.cpu / spent.cpu:.1f}", f"{difference.min():+.1e}"]
        yield tuple(row)


COLUMNS = (
    "network | ε | CROWN, s | float64, s | ratio | least difference | float32, s | ratio | least difference"
)


def section() -> str:
    title = (
        "## Against recorded CROWN\n\nProcessor seconds for the bounds alone (the peer's graph and this "
        "engine's compilation left out), and the least difference ours − theirs of the margins' bounds.\n\n"
    )
    if not (FOLDER / "recorded.json").exists():
        return title + f"Left out: {FOLDER}/recorded.json is not there.\n"
    return title + table(COLUMNS, list(compare()))
