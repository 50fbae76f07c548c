"""What a run is at, on standard error: the phase, how far, how long, and the verdicts so far.

On a terminal one line that moves and goes at the end; elsewhere a plain line a minute, none in the first.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from verifier.cli.process import say

BAR = 16  # cells
RARE = 60.0  # seconds between lines where there is no terminal
SOON = 2.0  # seconds before which nothing can be said about the time left
NEARLY = 0.95  # of the samples at hand, before they are through
BLOCKS = " ▏▎▍▌▋▊▉█"


class Progress:
    """Of `total` samples. `timeout` [s a sample] is a limit on the time left, `workers` share it.

    `at(phase, pending)` tells what is done now and about how many samples, `found(kind)` counts one that is
    decided.
    """

    def __init__(self, total: int, timeout: float | None = None, workers: int = 1) -> None:
        self.total, self.timeout, self.workers = total, timeout, workers
        self.tally: Counter[str] = Counter()
        self._phase, self._pending = "reading the network", 0
        self._begun = self._told = self._last = time.monotonic()
        self._console = Console(stderr=True)
        self._live = Live(
            console=self._console, get_renderable=self._renderable, refresh_per_second=4, transient=True
        )
        self._shown = self._console.is_terminal

    @property
    def done(self) -> int:
        return self.tally.total()

    def at(self, phase: str, pending: int = 0) -> None:
        self._phase, self._pending = phase, pending
        self._tell()

    def found(self, kind: str) -> None:
        self.tally[kind] += 1
        self._last = time.monotonic()
        self._tell()

    def line(self, width: int, *, bar: bool = True) -> str:
        """All that is known now, the most important first, in at most `width` columns."""
        part = (self.done + self._share() * self._pending) / self.total
        left = self._left(part)
        about = f", {left} left" if left else ""
        counts = ", ".join(f"{n} {kind}" for kind, n in self.tally.items())
        count = f"{self.done}/{self.total}"
        clock = _clock(time.monotonic() - self._begun)
        pieces = [f"{_bar(part)} {count}" if bar else count, f"{clock}{about}", self._phase, counts]
        return _fitting(pieces, width)

    def _share(self) -> float:
        """How far the samples at hand have come: judged by the pace of those before them, or else by the
        time they are allowed."""
        pace = (self._last - self._begun) / self.done if self.done else self.timeout
        if not pace or not self._pending:
            return 0.0
        return min(NEARLY, (time.monotonic() - self._last) / (pace * self._pending))

    def _left(self, part: float) -> str:
        """`about 0:40`, from the pace so far, `at most 0:40`, from the time limit, or nothing."""
        elapsed, limit = time.monotonic() - self._begun, None
        if self.timeout is not None:
            limit = self.timeout * (self.total - self.done) / self.workers
        worked = self.done - self.tally["misclassified"]  # which take no time
        if worked and elapsed > SOON:
            pace = elapsed * (1 - part) / part
            if limit is None or pace <= limit:
                return f"about {_clock(pace)}"
        return "" if limit is None else f"at most {_clock(limit)}"

    def _renderable(self) -> Text:
        return Text(self.line(self._console.width - 1), no_wrap=True, overflow="crop", end="")

    def _tell(self) -> None:
        now = time.monotonic()
        if not self._shown and now - self._told >= RARE:
            self._told = now
            say(f"recert: {self.line(sys.maxsize, bar=False)}")

    def __enter__(self) -> Self:
        self._begun = self._told = self._last = time.monotonic()
        if self._shown:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._live.stop()


def _bar(part: float) -> str:
    eighths = round(min(max(part, 0.0), 1.0) * BAR * 8)
    full, rest = divmod(eighths, 8)
    return (BLOCKS[8] * full + (BLOCKS[rest] if rest else "")).ljust(BAR, "·")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _fitting(pieces: list[str], width: int) -> str:
    """`pieces` with gaps between them; the last ones are cut where they do not fit."""
    text = "  ".join(piece for piece in pieces if piece)
    return text if len(text) <= width else f"{text[: width - 1]}…"
