"""One instance of the competition: arguments of the scripts to `recert verify`, its verdict to the file.

    instance.py check ONNX VNNLIB
    instance.py run ONNX VNNLIB RESULTS_FILE TIMEOUT

ONNX is a file, or a list of the networks of one query: [('f', 'onnx/a.onnx'), ('g', 'onnx/b.onnx')]. Only the
standard library is used here: the command's own process is watched and, if need be, ended from this one.
"""

from __future__ import annotations

import ast
import gzip
import os
import re
import subprocess
import sys
import time
from pathlib import Path

TOOL = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-c", "from verifier.cli import main; main()"]
WRITING = 0.15  # seconds before the limit at which recert must have answered: the file is still to be written
WORDS = {"sat": "sat", "unsat": "unsat", "unknown": "unknown", "timed-out": "timeout"}
EQUAL = re.compile(r"\(\s*declare-network\s+(\S+)\s*\(\s*equal-to\b")


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["check"] and len(arguments) == 3:
        return check(arguments[1], Path(arguments[2]))
    if arguments[:1] == ["run"] and len(arguments) == 5:
        return run(arguments[1], Path(arguments[2]), Path(arguments[3]), float(arguments[4]))
    print(__doc__, file=sys.stderr)
    return 1


def check(onnx: str, vnnlib: Path) -> int:
    """Whether all files are there."""
    query = present(vnnlib, vnnlib)
    missing = [str(path) for path in (query, *(p for _, p in networks(onnx, query))) if not path.is_file()]
    for path in missing:
        print(f"{path}: no such file", file=sys.stderr)
    return 1 if missing else 0


def run(onnx: str, vnnlib: Path, results: Path, timeout: float) -> int:
    """Write the verdict to `results` within `timeout` seconds of the start of this process."""
    started = process_start()
    write(results, "unknown")  # for whoever ends this process before it has answered
    query = present(vnnlib, vnnlib)
    command = [*COMMAND, "verify", str(query)]
    for name, path in networks(onnx, query):
        command += ["--network", f"{name}={path}" if name else str(path)]
    left = started + timeout - WRITING - time.monotonic()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TOOL), os.environ.get("PYTHONPATH", "")])}
    if left <= 0:
        write(results, "timeout")
        return 0
    try:
        done = subprocess.run(
            [*command, "--timeout", f"{left:.3f}"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=left + WRITING / 2,
            check=False,
        )
    except subprocess.TimeoutExpired:
        write(results, "timeout")
        return 0
    verdict, _, counterexample = done.stdout.partition("\n")
    if done.returncode != 0 or verdict not in WORDS:
        write(results, "error")
    else:
        write(results, "\n".join([WORDS[verdict], counterexample]).strip())
    return 0


def networks(onnx: str, query: Path) -> list[tuple[str, Path]]:
    """(name, file) for every network that needs a file; a single file goes without a name.

    Paths in a list are those of the benchmark, whose folder is above the query's; a network that is equal to
    another needs no file of its own, whatever the list says.
    """
    if not onnx.lstrip().startswith(("[", "(")):
        return [("", present(Path(onnx), query))]
    try:
        listed = ast.literal_eval(onnx.strip())
        pairs = [listed] if isinstance(listed, tuple) and isinstance(listed[0], str) else listed
        named = [(str(name), str(path)) for name, path in pairs]
    except (ValueError, SyntaxError, TypeError, IndexError):
        return [("", Path(onnx))]  # recert will say that there is no such file
    equal = set(EQUAL.findall(text_of(query)))
    return [(name, present(Path(path), query)) for name, path in named if name not in equal]


def present(path: Path, query: Path) -> Path:
    """`path` or its gzipped file, here or in a folder above the query; `path` itself where there is none."""
    folders = [Path(), *query.resolve().parents] if not path.is_absolute() else [Path()]
    for folder in folders:
        for candidate in (folder / path, folder / f"{path}.gz"):
            if candidate.is_file():
                return candidate
    return path


def text_of(query: Path) -> str:
    """The query without comments; empty where it cannot be read, which is recert's to explain."""
    try:
        data = query.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError):
        return ""
    return re.sub(r";[^\n]*", "", data.decode("ascii", "replace"))


def write(results: Path, text: str) -> None:
    """The whole file at once: readers see the old text or the new one."""
    draft = results.with_name(f".{results.name}.{os.getpid()}")
    draft.write_text(text + "\n")
    draft.replace(results)


def process_start() -> float:
    """The time.monotonic() value at which this process began: as the shell that became it, on Linux."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        age = 0.0
    return time.monotonic() - max(age, time.process_time())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
