"""Processor time of a piece of work, and the record of the machine that it ran on."""

from __future__ import annotations

import datetime
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


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


def header(title: str) -> str:
    """A heading with all that a figure depends on besides the code."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = f"{len(names)} × {names[0]}" if names else cpu
    today = datetime.datetime.now(datetime.UTC).date()
    return (
        f"# {title}\n\n{today}, {cpu}, {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}. Command: `{_command()}`\n"
    )


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
