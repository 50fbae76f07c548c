"""The compiled form of the simplex method's exchanges, where the installation could build it.

`exchange.c` is built by `pip install` if there is a C compiler; nothing needs it, `simplex.py` has the same
steps in torch, most of whose time is spent in starting small operations.  Only slopes are found here, and any
slope is sound: whatever a library would answer, it could not make a plane wrong.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor


def _library() -> Callable[..., int] | None:
    for path in sorted(Path(__file__).parent.glob("_exchange*")):
        try:
            function = ctypes.CDLL(str(path)).relaxations_exchange_1
        except (OSError, AttributeError):  # built for another machine, or before a change of exchange.c
            continue
        function.argtypes = [ctypes.c_void_p] * 6 + [ctypes.c_ssize_t] * 5
        function.restype = ctypes.c_int
        return function
    return None


FUNCTION = _library()


def exchange(tableau: Tensor, basic: Tensor, sets: Sequence[tuple[Tensor, Tensor]], steps: int) -> bool:
    """Do at most `steps` exchanges in place, as `relaxations.simplex.exchange` does; False where there is no
    library or the tensors are not for it (another device or type, not contiguous, too many points)."""
    tensors = (tableau, basic, *sets[0], *sets[-1])
    if FUNCTION is None or not all(
        t.device.type == "cpu" and t.dtype == torch.float64 and t.is_contiguous() for t in tensors
    ):
        return False
    k, count, grid = sets[0][0].shape
    more = sets[1][1].shape[-1] if len(sets) > 1 else 0
    return FUNCTION(*(t.data_ptr() for t in tensors), k, count, grid, more, steps) == 0
