"""Bounds of many networks by every method, bit for bit: to show that a change of structure changed none.

    python -m benchmarks.recorded_bounds write FILE [NAME ...]
    python -m benchmarks.recorded_bounds compare FILE [NAME ...]

NAME is a part of a network's name; all by default. They are the shipped ones in `models/` and, where they are
beside the repository, the real exports and the published peers of `../shared`. `compare` prints every array
that differs from the record, with its largest difference, and ends with status 1. Seeds are fixed, one thread
computes, and no method has a deadline, so two runs of one version on one machine agree; another processor or
version of torch may round otherwise.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from benchmarks.measure import require_kernels
from benchmarks.recorded_bounds.networks import chosen
from benchmarks.recorded_bounds.record import differences, record


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=["write", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("names", nargs="*", help="parts of names (all by default)")
    options = parser.parse_args()
    try:
        networks = chosen(options.names)
    except LookupError as unknown:
        parser.error(str(unknown))
    held = json.loads(options.file.read_text()) if options.action == "compare" else {}
    kernels = require_kernels()
    torch.set_num_threads(1)
    found = record(networks)
    if options.action == "write":
        options.file.write_text(json.dumps(found, indent=1))
        return
    lines = [*differences(held, found)]
    print(*lines, sep="\n", end="\n" if lines else "")
    arrays = sum(len(entry) for entry in found.values())
    print(f"{len(found)} networks, {arrays} arrays compared, {len(lines)} differ; {kernels}")
    raise SystemExit(bool(lines))


if __name__ == "__main__":
    main()
