"""The one contract of all functions in C: each stands beside a reference in torch, and the kernel decides.

    ROOTS = Kernel("roots", roots, _roots_in_c, {"package_roots": [POINTER, SIZE]})

is called like its reference, `ROOTS(x)`. Whether C does it is decided here and in its adapter: where the
library is in use and the tensors are for it (device, type, no gradient wanted). A caller never asks.

`KERNELS` has them all. A test holds every one of them against its reference over random inputs, and fails for
one that it has no inputs for."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from torch import Tensor

from relaxations.errors import KernelsRequired
from relaxations.kernels.library import SWITCH, Library, library

P = ParamSpec("P")
R = TypeVar("R")

POINTER, SIZE, REAL, INT = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_double, ctypes.c_int
SINGLE = ctypes.c_float

Functions = tuple[Callable[..., Any], ...]
"""Of the library, in the order in which a kernel names them."""


@dataclass(frozen=True, eq=False)
class Kernel(Generic[P, R]):
    """A function in C with its reference in torch: the same numbers, up to rounding and what else its test
    allows.

    `reference`  takes all tensors, and gives gradients where it says so.
    `compiled`   the adapter: packs the tensors and calls the `functions`, or returns None where these are not
                 for C: another device or type, a gradient that is wanted, a box that is none (the reference
                 refuses it by name).
    `functions`  names in the library and types of their arguments; all of one kernel return `result`."""

    name: str
    reference: Callable[P, R]
    compiled: Callable[Concatenate[Functions, P], R | None]
    functions: Mapping[str, Sequence[Any]]
    result: Any = None

    def __post_init__(self) -> None:
        if self.name in KERNELS:
            raise ValueError(f"a kernel named '{self.name}' is registered already")
        KERNELS[self.name] = self

    def __call__(self, *given: P.args, **named: P.kwargs) -> R:
        functions = self.bound()
        found = None if functions is None else self.compiled(functions, *given, **named)
        return self.reference(*given, **named) if found is None else found

    def bound(self) -> Functions | None:
        """The functions in C, None where they are not in use. Raises `KernelsRequired`."""
        return None if _references_only else _bound(self)


KERNELS: dict[str, Kernel[Any, Any]] = {}

_references_only = False


@contextmanager
def references() -> Iterator[None]:
    """Within it every kernel is its reference: for tests and benchmarks, which compare both."""
    global _references_only
    before, _references_only = _references_only, True
    try:
        yield
    finally:
        _references_only = before


@cache
def _bound(kernel: Kernel[..., Any]) -> Functions | None:
    handle = _told(library()).handle
    if handle is None:
        return None
    if not all(hasattr(handle, name) for name in kernel.functions):  # the compiler had no words for one
        return None
    found = tuple(getattr(handle, name) for name in kernel.functions)
    for one, arguments in zip(found, kernel.functions.values(), strict=True):
        one.argtypes, one.restype = list(arguments), kernel.result
    return found


@cache
def _told(found: Library) -> Library:
    """`found`; where it is not in use, one line on stderr has said so once."""
    if found.handle is None and found.mode == "require":
        raise KernelsRequired(f"the compiled kernels are required and not in use: {found.reason}")
    if found.handle is None and not found.mode:
        hint = f"several times slower; {SWITCH}=off hides this line"
        print(f"recert: no compiled kernels: {found.reason} ({hint})", file=sys.stderr, flush=True)
    return found


def on_cpu(*tensors: Tensor) -> bool:
    """Whether all are where C can reach them."""
    return all(t.is_cpu for t in tensors)
