"""Errors that a user can act on. Each message is one line that says what is wrong and what to do.

A remedy often names a parameter. Who calls a function knows it as `shapes={'time': 20}`, who types a command
as `--bind time=20`: a message holds the parameter itself, and `worded` puts it in the reader's words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a library function that a message speaks of, and a value it has or could have."""

    name: str
    value: object = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value!r}"


class RecertError(Exception):
    """Base of everything recert raises on purpose. The command line prints it and exits with status 2, and
    with 3 for an `UnsoundBound`.

    Made of the parts of its message, texts and parameters: `BadInput("the data leave the range ",
    Parameter("clip", (0.0, 1.0)))`.
    """

    def __init__(self, *parts: str | Parameter) -> None:
        super().__init__(*parts)

    def __str__(self) -> str:
        return self.worded(str)

    def worded(self, word: Callable[[Parameter], str]) -> str:
        """The message with its parameters as `word` has them."""
        return "".join(word(part) if isinstance(part, Parameter) else str(part) for part in self.args)


class InvalidGraph(RecertError):
    """The intermediate representation broke one of its own rules: a bug of recert's, never a user's."""


class UnreadableModel(RecertError):
    """The file is not a loadable ONNX model."""


class UnsupportedModel(RecertError):
    """The model uses something recert does not read. `problems` lists all of it, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))

    def __reduce__(self) -> tuple[type[UnsupportedModel], tuple[list[str]]]:
        return type(self), (self.problems,)


class UnboundDimension(RecertError):
    """A free dimension of the model has no value."""


class SelfCheckFailed(RecertError):
    """The intermediate representation and onnxruntime compute different numbers."""


class BadQuery(RecertError):
    """A VNN-LIB file that cannot be read, or that asks about another network."""


class BadInput(RecertError):
    """Data or options that make no sense for the model."""


class OutOfTime(RecertError):
    """The deadline came in the middle of work that was given up for it. Who set the deadline catches it."""


class UnsoundBound(RecertError):
    """Two things that recert found contradict each other, so that a bound was wrong: `found` says which."""

    def __init__(self, found: str) -> None:
        self.found = found
        super().__init__(
            f"a bug of recert's: {found}; please send the file, and count nothing that was proved in this run"
        )

    def __reduce__(self) -> tuple[type[UnsoundBound], tuple[str]]:
        return type(self), (self.found,)
