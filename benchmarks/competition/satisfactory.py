"""All cases of the public suite VNN-LIB SATisfactory, with `recert` as the solver.

    python -m benchmarks.competition.satisfactory
    python -m benchmarks.competition.satisfactory --timeout 10 --category hidden

178 cases of version 1.0.1, by default with 5 seconds each, start-up included. Every case is a
process of its own, exactly as the suite runs it. Ends with status 1 if a verdict is wrong.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import begin


@dataclass(frozen=True, slots=True)
class Case:
    """A query, the files of its networks by name, and the verdict that is right."""

    name: str
    category: str
    query: Path
    networks: dict[str, Path]
    expected: str


def cases(folder: Path) -> list[Case]:
    """Write the suite's files below `folder` and return its cases. Needs the package vnnlib-satisfactory."""
    here = Path.cwd()
    try:
        os.chdir(folder)  # the suite writes where it is called
        from vnntest.core.generator import generate_all_tests

        with open(os.devnull, "w") as quiet:  # noqa: PTH123
            output, sys.stdout = sys.stdout, quiet
            try:
                listed = generate_all_tests()
            finally:
                sys.stdout = output
    finally:
        os.chdir(here)
    found = []
    for entry in listed:
        (query,) = folder.rglob(entry["vnnlib"])
        networks = {name: query.with_name(file) for name, file in entry["networks"].items()}
        found.append(Case(entry["name"], entry["category"], query, networks, entry["expected"].lower()))
    return found


def verdict(command: list[str], case: Case, timeout: float) -> str:
    """The first verdict on standard output, as the suite looks for it; `error` for a refusal."""
    arguments = [f"--network={name}={path}" for name, path in case.networks.items()]
    try:
        done = subprocess.run(
            [*command, "verify", str(case.query), *arguments, "--timeout", str(timeout)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "late"
    match = re.search(r"\b(unsat|sat|unknown)\b", done.stdout, re.IGNORECASE)
    if match is not None:
        return match[1].lower()
    return "unknown" if done.stdout.startswith("timed-out") else "error"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--timeout", type=float, default=5.0)
    parser.add_argument("--category", default="")
    parser.add_argument("--solver", default=shutil.which("recert", path=Path(sys.executable).parent))
    options = parser.parse_args()
    begin("VNN-LIB SATisfactory")
    tally: Counter[str] = Counter()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder)):
            if not case.category.startswith(options.category):
                continue
            found = verdict([options.solver], case, options.timeout)
            wrong = found in ("sat", "unsat") and found != case.expected
            tally["wrong" if wrong else "right" if found == case.expected else found] += 1
            if found != case.expected:
                print(
                    f"{'WRONG' if wrong else 'open':6}{case.name:24} is {case.expected}, said {found}",
                    flush=True,
                )
    print(", ".join(f"{count} {name}" for name, count in sorted(tally.items())), end=" ")
    print(f"of {sum(tally.values())} in {time.monotonic() - begun:.0f} s")
    suite = str(Path(sys.executable).with_name("vnnlib-satisfactory"))
    for check in ("opset", "vnnlib", "serialise-assignments"):
        done = subprocess.run(
            [suite, "compliance", check, "--solver", options.solver],
            capture_output=True,
            text=True,
            check=False,
        )
        print(f"compliance {check}: {done.stdout.strip()}")
    return 1 if tally["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
