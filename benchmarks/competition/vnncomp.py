"""Instances of the competition through its scripts: verdicts, times, and every counterexample replayed.

    python -m benchmarks.competition.vnncomp
    python -m benchmarks.competition.vnncomp --instances instances_1.0.csv --limit 20
    python -m benchmarks.competition.vnncomp --shared --limit 60

By default the instances of models/benchmark in VNN-LIB 2.0; `--shared`: the pairs of ../shared/vnncomp.
`--limit` lowers the time limits. Ends with status 1 for an error, a verdict that contradicts the expected
one, a counterexample that does not hold, or a verdict later than a second after its time limit.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import begin
from benchmarks.paths import ROOT, SHARED
from tests.support.independent_replay import Wrong, confirm

BENCHMARK = ROOT / "models" / "benchmark"
PAIRS = SHARED / "vnncomp"


@dataclass(frozen=True, slots=True)
class Instance:
    """One line of an instances.csv, and the verdict that is known, if one is."""

    onnx: Path
    query: Path
    timeout: float
    expected: str = ""


def shipped(file: str) -> Iterator[Instance]:
    """The instances of models/benchmark; `expected.csv` names those whose verdict the construction gives."""
    with (BENCHMARK / "expected.csv").open() as rows:
        known = {query: verdict for _, query, verdict in csv.reader(rows)}
    with (BENCHMARK / file).open() as rows:
        for onnx, query, timeout in csv.reader(rows):
            path = BENCHMARK / f"{query}.gz"
            yield Instance(BENCHMARK / onnx, path, float(timeout), known.get(query.rpartition("_v")[0], ""))


def shared() -> Iterator[Instance]:
    """The pairs of EXPECTED.csv that are there; its paths are the competition's own, names are looked up."""
    files = {path.name: path for path in PAIRS.glob("*/*")}
    aliases = {
        "tllBench_n=2_N=M=8_m=1_instance_0_0.onnx": "tllBench_N8_0_0.onnx",
        "property_N=8_0.vnnlib": "property_N8_0.vnnlib",
    }
    with (PAIRS / "EXPECTED.csv").open() as rows:
        for _, onnx, query, verdict in csv.reader(rows):
            names = [aliases.get(name, name) for name in (Path(onnx).name, Path(query).name)]
            if all(name in files for name in names):
                yield Instance(files[names[0]], files[names[1]], 60.0, verdict)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--instances", default="instances.csv")
    parser.add_argument("--shared", action="store_true")
    parser.add_argument("--limit", type=float, default=float("inf"))
    parser.add_argument("--only", default="", help="part of a query's name")
    options = parser.parse_args()
    instances = [
        i
        for i in (shared() if options.shared else shipped(options.instances))
        if options.only in i.query.name
    ]
    begin("Instances of the competition")
    tally: Counter[str] = Counter()
    faults = 0
    print("| network | property | limit, s | verdict | expected | seconds | remark |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for instance in instances:
            limit = min(instance.timeout, options.limit)
            verdict, seconds, remark = _run(instance, limit, Path(folder) / "results.txt")
            faults += bool(remark)
            tally[verdict] += 1
            name = instance.query.name.removesuffix(".gz").removesuffix(".vnnlib")
            times = f"{limit:g}", verdict, instance.expected or "–", f"{seconds:.1f}"
            print("|", " | ".join([instance.onnx.stem, name, *times, remark]), "|", flush=True)
    print("\n" + ", ".join(f"{count} {verdict}" for verdict, count in sorted(tally.items())))
    return 1 if faults else 0


def _run(instance: Instance, limit: float, results: Path) -> tuple[str, float, str]:
    """(verdict, seconds, what is wrong about it)."""
    script = ROOT / "vnncomp_scripts" / "run_instance.sh"
    begun = time.monotonic()
    arguments = ["v1", "benchmark", str(instance.onnx), str(instance.query), str(results), str(limit)]
    subprocess.run(
        ["bash", str(script), *arguments],
        stderr=subprocess.DEVNULL,
        check=True,
        env=os.environ | {"RECERT_PYTHON": sys.executable},
    )
    seconds = time.monotonic() - begun
    verdict = results.read_text().splitlines()[0]
    remarks = []
    if verdict == "error":
        remarks.append("error")
    if seconds > limit + 1:
        remarks.append("late")
    if verdict in ("sat", "unsat") and instance.expected not in ("", verdict):
        remarks.append("CONTRADICTION")
    if verdict == "sat":
        try:
            confirm(instance.query, results, [str(instance.onnx)])
        except Wrong as wrong:
            remarks.append(f"NO COUNTEREXAMPLE: {wrong}")
    return verdict, seconds, ", ".join(remarks)


if __name__ == "__main__":
    sys.exit(main())
