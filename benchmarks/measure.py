"""Processor time of a piece of work, and the record of the machine that it ran on."""

from __future__ import annotations

import datetime
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from relaxations.kernels.library import SWITCH
from relaxations.kernels.status import KernelStatus, kernel_status


@dataclass(frozen=True, slots=True)
class Seconds:
    """`cpu`: of the processor, summed over threads; `wall`: by the clock on the wall."""

    cpu: float
    wall: float


def seconds(run: Callable[[], Any], repeats: int = 5, budget: float = 20.0) -> Seconds:
    """The least of both over `repeats` runs, fewer once they have taken `budget` seconds together.

    Processor time does not count what other programs on the machine take; the least of several runs leaves
    out what they do to the caches and to the clock.
    """
    found: list[Seconds] = []
    spent = 0.0
    while len(found) < repeats and (not found or spent + found[-1].cpu < budget):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        found.append(Seconds(time.process_time() - cpu, time.perf_counter() - wall))
        spent += found[-1].cpu
    return Seconds(min(s.cpu for s in found), min(s.wall for s in found))


def begin(title: str) -> None:
    """One thread from here on, compiled kernels or an error, and a heading with all that a figure depends on
    besides the code."""
    kernels = require_kernels()
    torch.set_num_threads(1)
    today = datetime.datetime.now(datetime.UTC).date()
    print(
        f"# {title}\n\n{today}, {_processor()}, {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {kernels}. Command: `{_command()}`\n",
        flush=True,
    )


def require_kernels() -> KernelStatus:
    """That the compiled kernels are in use, here and in processes that are started from here; ends this one
    where they are not. RECERT_KERNELS=off says that they are not wanted."""
    os.environ.setdefault(SWITCH, "require")
    kernels = kernel_status()
    if not kernels.in_use and os.environ[SWITCH] != "off":
        sys.exit(f"{kernels}; {SWITCH}=off goes on without them")
    return kernels


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{len(names)} × {names[0]}" if names else platform.processor() or platform.machine()


def _command() -> str:
    """As it was typed: `python -m` runs a package by its `__main__`."""
    spec = sys.modules["__main__"].__spec__
    name = "-" if spec is None else spec.name.removesuffix(".__main__")
    return " ".join(["python", "-m", name, *sys.argv[1:]])


def table(columns: str, rows: Iterable[tuple[str, ...]]) -> str:
    """A markdown table; `columns` are separated by `|`."""
    return "\n".join(_lines(columns, rows)) + "\n"


def print_table(columns: str, rows: Iterable[tuple[str, ...]]) -> None:
    """The same line by line, each as soon as it is measured."""
    for line in _lines(columns, rows):
        print(line, flush=True)
    print()


def _lines(columns: str, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {columns} |"
    yield "|" + "---|" * (columns.count("|") + 1)
    for row in rows:
        yield f"| {' | '.join(row)} |"
