"""The time limit of a query has a clock of its own: a verdict is written before it, whatever happens."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from pathlib import Path
from typing import Self

from verifier.cli.status import Status

WRITING = 0.05  # seconds before the limit at which `timed-out` is written
STOPPING = 0.2  # seconds before the limit at which the analysis should stop by itself


def process_start() -> float:
    """The time.monotonic() value at which this process began, for its loading counts as well.

    Linux knows it to a hundredth of a second. Elsewhere the processor time used so far stands for the age,
    which on a busy machine is too little.
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        age = 0.0
    return time.monotonic() - max(age, time.process_time())


class Deadline:
    """From `started` (time.monotonic()) on, `seconds` for a verdict; None for no limit.

    Inside `with`, `timed-out` is written and the process ends when the time is up, in the middle of
    whatever it does, unless `write` came first. Only one of the two ever writes.
    """

    def __init__(self, seconds: float | None, started: float) -> None:
        limited = seconds is not None and seconds > 0 and math.isfinite(seconds)
        self._end = started + seconds if seconds is not None and limited else math.inf
        self._lock = threading.Lock()
        self._timer = (
            threading.Timer(self._end - WRITING - time.monotonic(), self._expire) if limited else None
        )

    @property
    def analysis(self) -> float:
        """The time.monotonic() value at which the analysis should stop."""
        return self._end - STOPPING

    def write(self, verdict: str) -> None:
        """Print the verdict, once and for all."""
        with self._lock:
            self._cancel()
            print(verdict, flush=True)

    def __enter__(self) -> Self:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *reason: object) -> None:
        with self._lock:
            self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        with self._lock:
            if (
                self._timer is not None and self._timer.finished.is_set()
            ):  # cancelled while waiting for the lock
                return
            sys.stderr.flush()
            os.write(1, b"timed-out\n")
            os._exit(Status.DONE)
