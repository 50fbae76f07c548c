"""One random network bounded in a process of its own, so that threads and peak memory are its own.

    python -m benchmarks.engine.case '{"hidden": 64, "length": 64}'

prints one line of JSON: seconds on the wall and of the processor, and the most memory (MiB) the process held
before the bounds began and at their end, torch and the compiled network included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.paths import ROOT

EPS = 0.01


@dataclass(frozen=True, slots=True)
class Case:
    """A random classifier of `kind`, bounded over `batch` instances."""

    kind: str = "LSTM"
    hidden: int = 32
    length: int = 16
    features: int = 8
    batch: int = 1
    threads: int = 1
    dtype: str = "float64"
    lookback: int = 0  # 0: all of the sequence
    repeats: int = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the wall and of the processor; MiB at the start of the bounds and at their peak."""

    wall: float
    cpu: float
    before: float
    peak: float


def cost(case: Case) -> Cost:
    """What `case` costs, measured in a fresh process. Raises `CalledProcessError` where that fails."""
    command = [sys.executable, "-m", "benchmarks.engine.case", json.dumps(_fields(case))]
    threads = str(case.threads)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    done = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True)
    return Cost(**json.loads(done.stdout))


def _fields(case: Case) -> dict[str, str | int]:
    return {name: getattr(case, name) for name in Case.__dataclass_fields__}


def _measure(case: Case) -> Cost:
    import numpy as np
    import torch

    from benchmarks.engine.problem import problem
    from benchmarks.measure import seconds
    from benchmarks.networks import write_classifier

    torch.set_num_threads(case.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = write_classifier(case.kind, case.hidden, case.length, case.features, Path(folder))
        inputs = np.random.default_rng(1).normal(size=(case.batch, case.length, 1, case.features))
        labels = np.zeros(case.batch, np.int64)
        posed = problem(path, inputs.astype(np.float32), labels, EPS, getattr(torch, case.dtype))
    before = _peak()
    spent = seconds(lambda: posed.bounds(case.lookback or None), case.repeats)
    return Cost(spent.wall, spent.cpu, before, _peak())


def _peak() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("fields", type=json.loads, help="the fields of a case as a JSON object")
    found = _measure(Case(**parser.parse_args().fields))
    print(json.dumps({name: getattr(found, name) for name in Cost.__dataclass_fields__}))


if __name__ == "__main__":
    main()
