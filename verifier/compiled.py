"""Compiled parts, where the installation could build them: `verifier/c`, none of which needs to be there."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

POINTER, SIZE = ctypes.c_void_p, ctypes.c_ssize_t
NAMES = {torch.float64: "double", torch.float32: "float"}


def functions(
    name: str, version: int, arguments: Sequence[Any], types: Sequence[torch.dtype] = tuple(NAMES)
) -> dict[torch.dtype, Callable[..., None]]:
    """The function `name` for each of the `types` of numbers, none where there is no library.

    Its `version` changes with its arguments, so that a library of other sources is not called."""
    for path in sorted(Path(__file__).parent.glob("_compiled*")):
        try:
            library = ctypes.CDLL(str(path))
            found = {t: getattr(library, f"verifier_{name}_{NAMES[t]}_{version}") for t in types}
        except (OSError, AttributeError):  # built for another machine, or of other sources
            continue
        for function in found.values():
            function.argtypes, function.restype = list(arguments), None
        return found
    return {}
