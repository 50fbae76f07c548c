"""Compiled forms, where the installation could build them: of gates of recurrent cells, and of the simplex
method's exchanges for all others.

`relaxations/kernels` is built by `pip install` if there is a C compiler; nothing needs it.  Over a few
hundred boxes torch spends most of its time in starting small operations, the same steps one box after the
other take a tenth of it.  A `Gate` names its form in `compiled`, a row of the table in `c/gates.c`.

Every function answers None (or False) where it has no answer: there is no library, the gate has no form, the
tensors are not for it (another device or type), or a box is none, which the caller then refuses by name.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relaxations.gate import Gate
from relaxations.polygons.polygon import Diagonals

_POINTER, _SIZE, _REAL, _INT = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_double, ctypes.c_int
WIDEST = {dtype: torch.finfo(dtype).max for dtype in (torch.float32, torch.float64)}
"""Types of boxes, and the greatest width that is not infinite there."""


@dataclass(frozen=True)
class Library:
    """The functions of `relaxations/kernels`, and the addresses of gates by name."""

    exchange: Callable[..., int]
    planes: Callable[..., int]
    offsets: Callable[..., int]
    image: Callable[..., int]
    gates: dict[str, int]


def _opened(path: Path) -> Library:
    """Raises OSError or AttributeError for a file that was built for another machine, or of other sources."""
    library = ctypes.CDLL(str(path))
    gate = library.relaxations_gate_3
    gate.argtypes, gate.restype = [ctypes.c_char_p], _POINTER
    boxes = [_POINTER, _SIZE, _POINTER, _POINTER, _REAL]
    arguments: dict[str, list[Any]] = {
        "exchange": [_POINTER] * 6 + [_SIZE] * 5,
        "planes": [*boxes, _POINTER, _POINTER, _INT, _POINTER, _POINTER],
        "offsets": [_POINTER, _SIZE, _POINTER, _SIZE, *[_POINTER] * 3, _REAL, *[_POINTER] * 3],
        "image": [*boxes, _POINTER, _POINTER],
    }
    functions = {name: getattr(library, f"relaxations_{name}") for name in arguments}
    for name, function in functions.items():
        function.argtypes, function.restype = arguments[name], _INT
    return Library(**functions, gates=_Addresses(gate))


class _Addresses(dict[str, int]):
    """Of the rows of the table in `c/gates.c`, by name; 0 for names that it does not have."""

    def __init__(self, find: Callable[[bytes], int | None]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, name: str) -> int:
        self[name] = found = self._find(name.encode()) or 0
        return found


def _library() -> Library | None:
    for path in sorted(Path(__file__).parents[1].glob("_compiled*")):
        try:
            return _opened(path)
        except (OSError, AttributeError):
            continue
    return None


LIBRARY = _library()


def _address(gate: Gate, lower: Tensor, upper: Tensor) -> int:
    """Of the gate's form where it is for such boxes, else 0."""
    if LIBRARY is None or gate.compiled is None or lower.shape != upper.shape or lower.dtype not in WIDEST:
        return 0
    if lower.device.type != "cpu" or upper.device.type != "cpu" or lower.shape[:1] != (gate.arity,):
        return 0
    return LIBRARY.gates[gate.compiled]


def _double(t: Tensor) -> Tensor:
    """In double precision, in one piece."""
    return t.detach().double().contiguous()


def planes(
    gate: Gate, lower: Tensor, upper: Tensor, shift: Sequence[float], diagonals: Diagonals | None = None
) -> tuple[Tensor, Tensor] | None:
    """Slopes [2, k, *S] of the lower and the upper planes, as numbers of the boxes' type, and the offsets [2,
    *S] that make them sound, both float64.  `shift` [k]: the point whose height is least, from the centre."""
    address = _address(gate, lower, upper)
    if not address or len(shift) != gate.arity:
        return None
    assert LIBRARY is not None
    low, high = _double(lower), _double(upper)
    slopes, offsets = low.new_empty(2, *low.shape), low.new_empty(2, *low.shape[1:])
    cuts = None if diagonals is None else _packed(diagonals, lower.shape[1:], lower.dim())
    wrong = LIBRARY.planes(
        address,
        low[0].numel(),
        low.data_ptr(),
        high.data_ptr(),
        WIDEST[lower.dtype],
        None if cuts is None else cuts.data_ptr(),
        (_REAL * len(shift))(*shift),
        lower.dtype == torch.float32,
        slopes.data_ptr(),
        offsets.data_ptr(),
    )
    return None if wrong else (slopes, offsets)


def offsets(
    gate: Gate,
    scale: Tensor,
    slopes: Tensor,
    lower: Tensor,
    upper: Tensor,
    diagonals: Diagonals | None = None,
) -> tuple[Tensor, Tensor] | None:
    """Offsets [*S] that make planes of `slopes` [k, *S] sound, above the gate, or below it where `scale`,
    [*S] or one number, is negative; and the places [k, *S] where they are attained, both float64.  Slopes and
    boxes broadcast; `diagonals` of the boxes cut polygons out of them, of gates for which the library has
    that."""
    size = lower.dim()
    if slopes.shape != lower.shape or lower.shape != upper.shape:
        slopes, lower, upper = torch.broadcast_tensors(slopes, lower, upper)
    address = _address(gate, lower, upper)
    if not address or slopes.device.type != "cpu":
        return None
    assert LIBRARY is not None
    scale, wanted, low, high = (_double(t) for t in (scale, slopes, lower, upper))
    found, at = low.new_empty(low.shape[1:]), torch.empty_like(low)
    cuts = None if diagonals is None else _packed(diagonals, lower.shape[1:], size)
    wrong = LIBRARY.offsets(
        address,
        found.numel(),
        scale.data_ptr(),
        int(scale.numel() > 1),
        wanted.data_ptr(),
        low.data_ptr(),
        high.data_ptr(),
        WIDEST[lower.dtype],
        None if cuts is None else cuts.data_ptr(),
        found.data_ptr(),
        at.data_ptr(),
    )
    return None if wrong else (found, at)


def _packed(diagonals: Diagonals, shape: torch.Size, size: int) -> Tensor:
    """The members of `struct cut` in `c/polygon.h` [8, *shape], of diagonals of boxes of dimension `size`."""
    packed = torch.cat([diagonals.centre, diagonals.half, *diagonals.sides()])
    missing = [1] * (len(shape) + 1 - size)  # many slopes for one box
    return _double(packed.reshape(len(packed), *missing, *packed.shape[1:]).expand(-1, *shape))


def image(gate: Gate, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor] | None:
    """Least and greatest values [*S], float64."""
    address = _address(gate, lower, upper)
    if not address:
        return None
    assert LIBRARY is not None
    low, high = _double(lower), _double(upper)
    least, greatest = low.new_empty(2, *low.shape[1:]).unbind(0)
    wrong = LIBRARY.image(
        address,
        least.numel(),
        low.data_ptr(),
        high.data_ptr(),
        WIDEST[lower.dtype],
        least.data_ptr(),
        greatest.data_ptr(),
    )
    return None if wrong else (least, greatest)


def exchange(tableau: Tensor, basic: Tensor, sets: Sequence[tuple[Tensor, Tensor]], steps: int) -> bool:
    """Do at most `steps` exchanges in place, as `relaxations.slopes.simplex.exchange` does.  Only slopes are
    found here, and any slope is sound."""
    tensors = (tableau, basic, *sets[0], *sets[-1])
    if LIBRARY is None or not all(
        t.device.type == "cpu" and t.dtype == torch.float64 and t.is_contiguous() for t in tensors
    ):
        return False
    k, count, grid = sets[0][0].shape
    more = sets[1][1].shape[-1] if len(sets) > 1 else 0
    return LIBRARY.exchange(*(t.data_ptr() for t in tensors), k, count, grid, more, steps) == 0
