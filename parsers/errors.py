"""Errors that a user can act on. Each message is one line that says what is wrong and what to do."""

from __future__ import annotations


class RecertError(Exception):
    """Base of everything recert raises on purpose. The command line prints it and exits with status 2, and
    with 3 for an `UnsoundBound`."""


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
