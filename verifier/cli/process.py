"""How the process begins and ends: its start, its time limit, its signals, its exit status."""

from __future__ import annotations

import errno
import functools
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, ParamSpec, Self

import typer

if TYPE_CHECKING:
    from parsers.errors import Parameter

P = ParamSpec("P")

WRITING = 0.05  # seconds before the limit at which `timed-out` is written
STOPPING = 0.2  # seconds before the limit at which the analysis should stop by itself
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNWRITTEN = "the output cannot be written: {}; make room, or let it go elsewhere"

# what a parameter of the library is called here, where its own name will not do
OPTIONS = {"shapes": "--bind", "fixed": "--fix"}


class Status(IntEnum):
    """Exit status of the process. A verdict is a success, whichever it is."""

    DONE = 0
    BUG = 1  # a traceback: never on purpose
    BAD_INPUT = 2
    UNSOUND = 3  # recert contradicts itself: nothing that was proved in this run counts
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it
    CLOSED_PIPE = 141  # 128 + SIGPIPE: whoever read the output has gone
    TERMINATED = 143  # 128 + SIGTERM


class Mistakes(Exception):
    """What is wrong with a command, one line each; told before anything heavy is imported."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Terminated(KeyboardInterrupt):
    """SIGTERM: the work ends as it does after Ctrl-C."""


def say(text: str) -> None:
    """A line for the reader at the terminal; standard output is for results alone."""
    print(text, file=sys.stderr, flush=True)


def say_ended(by: KeyboardInterrupt, where: str = "") -> Status:
    """Say that a signal ended the work, and return the exit status for it."""
    terminated = isinstance(by, Terminated)
    say(f"recert: {'terminated' if terminated else 'interrupted'}{where}")
    return Status.TERMINATED if terminated else Status.INTERRUPTED


def reports_errors(command: Callable[P, Status | None]) -> Callable[P, None]:
    """Turn what `command` raises on purpose into lines on standard error and an exit status.

    A list of problems gets one line each. Nothing else is caught: a bug shows its traceback.
    """

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            status = command(*arguments, **options) or Status.DONE
        except Mistakes as mistakes:
            status = _refuse(mistakes.problems)
        except KeyboardInterrupt as interrupt:
            status = say_ended(interrupt)
        except BrokenPipeError:
            say("recert: whoever read the output has gone")
            _silence_stdout()
            status = Status.CLOSED_PIPE
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            _silence_stdout()
            status = _refuse([UNWRITTEN.format(error.strerror)])
        except Exception as error:
            from parsers.errors import RecertError, UnsoundBound, UnsupportedModel
            from relaxations.errors import KernelsRequired

            if not isinstance(error, RecertError | KernelsRequired):
                raise
            several = isinstance(error, UnsupportedModel)
            status = _refuse(error.problems if several else [error.worded(option)])
            if isinstance(error, UnsoundBound):
                status = Status.UNSOUND
        raise typer.Exit(int(status))

    return run


def option(parameter: Parameter) -> str:
    """A parameter of the library as it is typed: `shapes={'time': 20}` is `--bind time=20`."""
    name = OPTIONS.get(parameter.name, f"--{parameter.name.replace('_', '-')}")
    value = parameter.value
    if isinstance(value, Mapping):
        return " ".join(f"{name} {key}={_typed(item, 'x')}" for key, item in value.items())
    return name if value is None else f"{name} {_typed(value, ' ')}"


def _typed(value: object, between: str) -> str:
    if isinstance(value, tuple):
        return between.join(_typed(item, between) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _refuse(problems: list[str]) -> Status:
    for problem in problems:
        say(f"recert: error: {' '.join(problem.split())}")
    return Status.BAD_INPUT


def _silence_stdout() -> None:
    """Let the interpreter flush standard output at its end without a second complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def heed_termination() -> None:
    """From now on SIGTERM raises `Terminated`, wherever the process is."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the end must not be interrupted
    raise Terminated


def leave(status: int) -> None:
    """End the process without taking its libraries apart: a verdict is worth no wait."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        status = _refuse([UNWRITTEN.format(error.strerror)])
    os._exit(status)


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
    """The time limit of a query has a clock of its own: a verdict is written before it, whatever happens.

    From `started` (time.monotonic()) on, `seconds` for a verdict; None for no limit. Inside `with`,
    `timed-out` is written and the process ends when the time is up, in the middle of whatever it does,
    unless `write` came first. Only one of the two ever writes.
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
            # cancelled while waiting for the lock
            if self._timer is not None and self._timer.finished.is_set():
                return
            sys.stderr.flush()
            os.write(1, b"timed-out\n")
            os._exit(Status.DONE)
