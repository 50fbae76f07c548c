"""Results for people (a title, a table, a summary) and for programs (JSON lines)."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import wrap
from typing import Self, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from verifier.cli.checks import Asked, Ranges, mistake
from verifier.problem.method import Method
from verifier.robustness.outcome import Accuracies, Outcome, RadiusBounds, Verdict, median

STYLES: Mapping[Verdict, str] = {
    Verdict.certified: "green",
    Verdict.broken: "red",
    Verdict.unknown: "yellow",
    Verdict.misclassified: "magenta",
}
PIPE_WIDTH = 80  # a table in a pipe must not depend on a terminal
ANY_WIDTH = 1000  # a console of it cuts nothing off
GAPS = ((0, 1, 0, 1), (0, 0, 0, 1), (0, 0, 0, 0))  # around cells: three columns between two of them, two, one
REASONS = 3  # undecided samples whose reason is printed; JSON has them all
NINETY_FIVE = 1.959964  # quantile of the normal distribution for intervals of 95 %


class JsonLines:
    """One object a line, written and flushed as it comes; the file is opened by the first of them.

    So a run that is refused leaves an earlier file as it was. `-` is standard output. Every object gets the
    fields `common` as well. Raises `Mistakes` where the disk is full.
    """

    def __init__(self, path: Path, common: Mapping[str, object]) -> None:
        self.to_stdout = str(path) == "-"
        self._path, self._common = path, common
        self._file: TextIO | None = sys.stdout if self.to_stdout else None

    def write(self, entry: Mapping[str, object]) -> None:
        line = json.dumps({**entry, **self._common}, allow_nan=False) + "\n"
        try:
            if self._file is None:
                self._file = self._path.open("w", encoding="utf-8")
            self._file.write(line)
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise mistake(
                f"--json {self._path}: it cannot be written on ({error.strerror}); make room, or name a file"
                " on another disk"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        if self._file is not None and not self.to_stdout:
            with suppress(OSError):  # told by `write` already
                self._file.close()


def results_console(json: JsonLines | None) -> Console:
    """Standard output, unless JSON goes there."""
    stderr = json is not None and json.to_stdout
    terminal = Console(stderr=stderr)
    return terminal if terminal.is_terminal else Console(stderr=stderr, width=PIPE_WIDTH)


# ---- the title: what was asked


def title(asked: Asked, count: int, question: str) -> str:
    """`vowels_lstm.onnx, 12 samples: L∞, ε = 0.04; all inputs may move`."""
    clipped = "" if asked.clip is None else f" within [{asked.clip[0]:g}, {asked.clip[1]:g}]"
    return f"{asked.model.name}, {count} sample{'s' * (count != 1)}: {question}; {_moving(asked)}{clipped}"


def norm_name(p: float) -> str:
    return "L∞" if math.isinf(p) else f"L{p:g}"


def _moving(asked: Asked) -> str:
    each = ", a ball for each time step" if asked.per_step else ""
    if asked.steps is None and asked.features is None:
        return f"all inputs may move{each}"
    features = "" if asked.features is None else f"features {_written(asked.features)} of "
    steps = "every time step" if asked.steps is None else f"time steps {_written(asked.steps)}"
    return f"{features}{steps} may move{each}"


def _written(ranges: Ranges) -> str:
    return ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in ranges)


# ---- the table: a line for each sample


def outcome_table(outcomes: Sequence[Outcome]) -> Table:
    table = _table("sample", "label", "predicted", "<verdict", "margin ≥", "margin ≤", "seconds", "<method")
    for o in sorted(outcomes, key=lambda o: o.index):
        verdict = Text(o.verdict.value, style=STYLES[o.verdict])
        bounds = _number(o.lower), _number(o.upper)
        table.add_row(
            str(o.index), str(o.label), str(o.predicted), verdict, *bounds, f"{o.seconds:.2f}", o.method
        )
    return table


def radius_table(found: Sequence[RadiusBounds]) -> Table:
    table = _table("sample", "label", "predicted", "radius ≥", "radius ≤", "seconds", "<method")
    for d in sorted(found, key=lambda d: d.index):
        row = (_number(d.lower), _number(d.upper), f"{d.seconds:.2f}")
        method = Text("misclassified", style=STYLES[Verdict.misclassified]) if d.misclassified else d.method
        table.add_row(str(d.index), str(d.label), str(d.predicted), *row, method)
    return table


def _table(*columns: str) -> Table:
    """An empty table; names that start with < are aligned to the left."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        name = column.removeprefix("<")
        table.add_column(name, justify="left" if name != column else "right", no_wrap=True)
    return table


def _number(value: float | None) -> str:
    """Four digits, in eight columns wherever they fit."""
    if value is None:
        return "–"
    short = f"{value:.4g}"
    return short if len(short) <= 8 else f"{value:.2g}"


# ---- the summary: over all samples


def accuracy_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Clean, robust and certified accuracy over the samples that were decided, and why the first few others
    were not."""
    if not outcomes:
        return ["no sample was decided"]
    a = Accuracies.of(outcomes)
    rows = [
        ("clean accuracy", a.correct),
        ("robust accuracy (PGD)", a.robust),
        ("certified accuracy", a.certified),
    ]
    lines = [
        f"{name:<23}{100 * n / a.total:5.1f} %  {f'{n} of {a.total}':<{len(f'{a.total} of {a.total}')}}"
        f"  {_interval(n, a.total)}"
        for name, n in rows
    ]
    lines[0] += "  (95 %, Wilson)"
    return [*lines, _time(a.seconds, a.total), *_undecided(outcomes)]


def _interval(count: int, total: int) -> str:
    low, high = wilson(count, total)
    return f"{100 * low:5.1f} – {100 * high:5.1f} %"


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share, from `count` of `total` samples drawn at random (Wilson 1927):

    (s + z²/2n ± z √(s(1−s)/n + z²/4n²)) / (1 + z²/n),   s = count/n
    """
    z, share = NINETY_FIVE, count / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _undecided(outcomes: Sequence[Outcome]) -> list[str]:
    unknown = sorted((o for o in outcomes if o.verdict is Verdict.unknown), key=lambda o: o.index)
    if not unknown:
        return []
    many = len(unknown) > 1
    lines = [
        "",
        f"{len(unknown)} sample{'s' * many} {'are' if many else 'is'} undecided (unknown): the bound proves"
        " nothing, and no counterexample was found",
        *(f"  sample {o.index}: {o.reason}" for o in unknown[:REASONS] if o.reason),
    ]
    return [*lines, *([f"  and {len(unknown) - REASONS} more"] if len(unknown) > REASONS else [])]


def remedy(asked: Asked, unknown: int) -> str:
    """What would help with undecided samples, if an option would."""
    if not unknown or asked.timeout is not None:
        return ""
    if asked.method is not Method.bab:
        return "stronger methods may decide more: leave --method out and give --timeout 60"
    return "--timeout 60 lets branch and bound work on each of them for a minute"


def radius_lines(found: Sequence[RadiusBounds]) -> list[str]:
    right = [d for d in found if not d.misclassified]
    if not right:
        return ["no sample was decided" if not found else "every sample is misclassified"]
    lower = median(d.lower or 0.0 for d in right)
    upper = median(math.inf if d.upper is None else d.upper for d in right)
    total = len(found)
    share = f"{len(right)} of {total}"
    return [
        f"{'median radius':<23}certified ≥ {lower:.4g}, PGD upper bound ≤ {upper:.4g}",
        f"{'clean accuracy':<23}{100 * len(right) / total:5.1f} %  {share}"
        f"  {_interval(len(right), total)}  (95 %, Wilson)",
        _time(math.fsum(d.seconds for d in found), total),
    ]


def _time(seconds: float, samples: int) -> str:
    return f"{'time':<23}{seconds:5.1f} s  {seconds / samples:.2f} s a sample"


# ---- a hint before anything is decided

RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


def clip_hint(asked: Asked, least: float, greatest: float, eps: float) -> str:
    """Where all values lie in a range that data often have, which a ball of radius `eps` leaves."""
    for low, high in RANGES:
        if asked.clip is None and low <= least < greatest <= high and greatest - least > (high - low) / 2:
            if least - eps >= low and greatest + eps <= high:
                return ""
            return (
                f"all values lie in [{low:g}, {high:g}], but the balls reach beyond; if no input ever does,"
                f" --clip {low:g} {high:g} says so and proves more"
            )
    return ""


def printed(console: Console, lines: Iterable[str]) -> None:
    """Lines of text; a terminal gets them broken between words, what follows a break further to the right."""
    for line in lines:
        parts = [line]
        if console.is_terminal:
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            parts = wrap(line, console.width, subsequent_indent=indent, break_long_words=False) or [""]
        for part in parts:
            console.print(part, highlight=False, markup=False, soft_wrap=True)


def printed_table(console: Console, table: Table) -> None:
    """With less room between the columns where it is too wide otherwise; no blanks end a line."""
    roomy = console.options.update(width=ANY_WIDTH)
    for padding in GAPS:
        table.padding = padding
        if console.measure(table, options=roomy).maximum <= console.width:
            break
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")
    console.file.flush()
