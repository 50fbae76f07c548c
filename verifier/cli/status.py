"""Exit statuses, and how a command that cannot go on says so."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, ParamSpec

import typer

if TYPE_CHECKING:
    from parsers.errors import Parameter

P = ParamSpec("P")


class Status(IntEnum):
    """Exit status of the process. A verdict is a success, whichever it is."""

    DONE = 0
    BUG = 1  # a traceback: never on purpose
    BAD_INPUT = 2
    UNSOUND = 3  # recert contradicts itself: nothing that was proved in this run counts
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it
    CLOSED_PIPE = 141  # 128 + SIGPIPE: whoever read the output has gone


# what a parameter of the library is called here, where its own name will not do
OPTIONS = {"shapes": "--bind", "fixed": "--fix", "steps": "--frames", "features": "--frames"}


def say(text: str) -> None:
    """A line for the reader at the terminal; standard output is for results alone."""
    print(text, file=sys.stderr, flush=True)


def reports_errors(command: Callable[P, Status | None]) -> Callable[P, None]:
    """Turn what `command` raises on purpose into one line on standard error and an exit status.

    A list of problems gets one line each. Nothing else is caught: a bug shows its traceback.
    """

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        from parsers.errors import RecertError, UnsoundBound, UnsupportedModel

        try:
            status = command(*arguments, **options) or Status.DONE
        except UnsupportedModel as error:
            for problem in error.problems:
                say(f"recert: error: {_one_line(problem)}")
            status = Status.BAD_INPUT
        except RecertError as error:
            say(f"recert: error: {_one_line(error.worded(option))}")
            status = Status.UNSOUND if isinstance(error, UnsoundBound) else Status.BAD_INPUT
        except KeyboardInterrupt:
            say("recert: interrupted")
            status = Status.INTERRUPTED
        except BrokenPipeError:
            _silence_stdout()
            status = Status.CLOSED_PIPE
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


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _silence_stdout() -> None:
    """Let the interpreter flush standard output at its end without a second complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
