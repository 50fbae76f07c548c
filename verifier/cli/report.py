"""Results for people (tables) and for programs (JSON lines)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from parsers.errors import BadInput
from verifier.robustness.outcome import Accuracies, Outcome, RadiusBounds, Verdict, median

STYLES: Mapping[Verdict, str] = {
    Verdict.certified: "green",
    Verdict.broken: "red",
    Verdict.unknown: "yellow",
    Verdict.misclassified: "magenta",
}
PIPE_WIDTH = 110  # a table in a pipe must not depend on a terminal
ROOMY = 100  # columns from which there is room between those of a table
REASONS = 3  # open samples whose reason is printed; JSON has them all


class JsonLines:
    """One object a line, written and flushed as it comes; the file is opened by the first of them.

    So a run that is refused leaves an earlier file as it was. `-` is standard output.
    """

    def __init__(self, path: Path) -> None:
        self.to_stdout = str(path) == "-"
        self._path = path
        self._file: TextIO | None = sys.stdout if self.to_stdout else None
        if not self.to_stdout and (path.is_dir() or not path.parent.is_dir()):
            raise BadInput(f"--json {path}: it cannot be written; name a file in a folder that exists")

    def write(self, entry: Mapping[str, object]) -> None:
        if self._file is None:
            try:
                self._file = self._path.open("w", encoding="utf-8")
            except OSError as error:
                raise BadInput(f"--json {self._path}: {error.strerror}; name another file") from error
        self._file.write(json.dumps(entry, allow_nan=False) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        if self._file is not None and not self.to_stdout:
            self._file.close()


class ProgressBar:
    """A bar on standard error where that is a terminal, nothing elsewhere."""

    def __init__(self, total: int, what: str) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[tally]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, tally="")

    def advance(self, tally: str) -> None:
        self._bar.update(self._task, advance=1, tally=tally)

    @contextmanager
    def shown(self) -> Iterator[Self]:
        with self._bar:
            yield self


def results_console(json: JsonLines | None) -> Console:
    """Standard output, unless JSON goes there."""
    stderr = json is not None and json.to_stdout
    terminal = Console(stderr=stderr)
    return terminal if terminal.is_terminal else Console(stderr=stderr, width=PIPE_WIDTH)


def outcome_table(outcomes: Sequence[Outcome], width: int = PIPE_WIDTH) -> Table:
    table = _table(
        width, "sample", "label", "predicted", "<verdict", "margin ≥", "margin ≤", "seconds", "<method"
    )
    for o in sorted(outcomes, key=lambda o: o.index):
        table.add_row(
            str(o.index),
            str(o.label),
            str(o.predicted),
            Text(o.verdict.value, style=STYLES[o.verdict]),
            _number(o.lower),
            _number(o.upper),
            f"{o.seconds:.2f}",
            o.method,
        )
    return table


def radius_table(found: Sequence[RadiusBounds], width: int = PIPE_WIDTH) -> Table:
    table = _table(width, "sample", "label", "predicted", "radius ≥", "radius ≤", "seconds", "<method")
    for d in sorted(found, key=lambda d: d.index):
        row = (_number(d.lower), _number(d.upper), f"{d.seconds:.2f}")
        method = Text("misclassified", style=STYLES[Verdict.misclassified]) if d.misclassified else d.method
        table.add_row(str(d.index), str(d.label), str(d.predicted), *row, method)
    return table


def accuracy_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Clean accuracy, accuracy under attack, certified accuracy; over the samples that were decided. And of
    the first few that stayed open, why."""
    if not outcomes:
        return ["no sample was decided"]
    a = Accuracies.of(outcomes)
    rows = [("clean accuracy", a.correct), ("under attack", a.robust), ("certified", a.certified)]
    lines = [f"{name:<16}{100 * n / a.total:5.1f} %  {n} of {a.total}" for name, n in rows]
    lines.append(f"{'time':<16}{a.seconds:5.1f} s  {a.seconds / a.total:.2f} s a sample")
    reasons = [f"sample {o.index} is open: {o.reason}" for o in outcomes if o.reason]
    more = [f"{len(reasons) - REASONS} more are open"] if len(reasons) > REASONS else []
    return [*lines, *([""] if reasons else []), *reasons[:REASONS], *more]


def radius_lines(found: Sequence[RadiusBounds]) -> list[str]:
    right = [d for d in found if not d.misclassified]
    if not right:
        return ["no sample was decided" if not found else "every sample is misclassified"]
    lower = median(d.lower or 0.0 for d in right)
    upper = median(float("inf") if d.upper is None else d.upper for d in right)
    return [
        f"median radius    certified {lower:.4g}, attacked {upper:.4g}",
        f"samples          {len(right)} of {len(found)} classified correctly",
        f"time             {sum(d.seconds for d in found):.1f} s",
    ]


def _table(width: int, *columns: str) -> Table:
    """A table for a console of `width` columns; names that start with < are aligned to the left."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1 if width >= ROOMY else 0))
    for column in columns:
        left = column.startswith("<")
        table.add_column(column.removeprefix("<"), justify="left" if left else "right", no_wrap=True)
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
