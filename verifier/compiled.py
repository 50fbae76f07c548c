"""Compiled parts, where the installation could build them: `verifier/c`, none of which needs to be there."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

POINTER, SIZE = ctypes.c_void_p, ctypes.c_ssize_t


def functions(name: str, version: int, arguments: Sequence[Any]) -> dict[torch.dtype, Callable[..., None]]:
    """The function `name` for each type of numbers, none where there is no library.

    Its `version` changes with its arguments, so that a library of other sources is not called."""
    for path in sorted(Path(__file__).parent.glob("_compiled*")):
        try:
            library = ctypes.CDLL(str(path))
            found = {
                torch.float64: getattr(library, f"verifier_{name}_double_{version}"),
                torch.float32: getattr(library, f"verifier_{name}_float_{version}"),
            }
        except (OSError, AttributeError):  # built for another machine, or of other sources
            continue
        for function in found.values():
            function.argtypes, function.restype = list(arguments), None
        return found
    return {}
