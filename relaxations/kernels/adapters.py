"""What the kernels over boxes of gates hand to C: `planes.c` and `exchange.c`.

Over a few hundred boxes torch spends most of its time in starting small operations, the same steps one box
after the other take a tenth of it.  A `Gate` names its form in `compiled`, a row of the table in `gates.c`.

Each adapter answers None where C has no answer: the gate has no form, the tensors are not for it (another
device or type), or a box is none, which the reference then refuses by name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from relaxations.gate_box import GateBox
from relaxations.kernels.kernel import INT, POINTER, REAL, SIZE, Functions, on_cpu
from relaxations.octagon import Octagon

WIDEST = {dtype: torch.finfo(dtype).max for dtype in (torch.float32, torch.float64)}
"""Types of boxes, and the greatest width that is not infinite there."""

_BOXES = [POINTER, SIZE, POINTER, POINTER, REAL]
PLANES = {"relaxations_planes": [*_BOXES, POINTER, POINTER, INT, POINTER, POINTER]}
OFFSETS = {"relaxations_offsets": [*_BOXES, POINTER, POINTER, SIZE, *[POINTER] * 3]}
IMAGE = {"relaxations_image": [*_BOXES, POINTER, POINTER]}
EXCHANGE = {"relaxations_exchange": [POINTER] * 6 + [SIZE] * 5}
"""The functions of each kernel, with the types of their arguments."""

Found = tuple[Tensor, Tensor]
"""Offsets [*S] of planes, and the places [k, *S] where they are attained, both float64."""


def planes(functions: Functions, box: GateBox, target: Sequence[float]) -> tuple[Tensor, Tensor] | None:
    """Slopes [2, k, *S] of the lower and the upper planes, as numbers of the boxes' type, and the offsets [2,
    *S] that make them sound, both float64.  `target` [k]: the point whose height is least, from the
    centre."""
    form = _form(box)
    if form is None or len(target) != box.gate.arity:
        return None
    low, high, widest = _boxes(box.lower, box.upper)
    slopes, offsets = low.new_empty(2, *low.shape), low.new_empty(2, *low.shape[1:])
    cuts = _packed(box.octagon, low.shape[1:], low.dim())
    wrong = functions[0](
        form,
        low[0].numel(),
        low.data_ptr(),
        high.data_ptr(),
        widest,
        None if cuts is None else cuts.data_ptr(),
        (REAL * len(target))(*target),
        box.lower.dtype == torch.float32,
        slopes.data_ptr(),
        offsets.data_ptr(),
    )
    return None if wrong else (slopes, offsets)


def offsets(
    functions: Functions, box: GateBox, sides: Sequence[tuple[Tensor, Tensor]]
) -> tuple[Found, ...] | None:
    """For each of the `sides`, a sign and slopes [k, *S], the offsets that make planes of these slopes sound:
    above the gate, or below it where the sign, [*S] or one number, is negative.  Slopes and boxes
    broadcast."""
    found = []
    for sign, slopes in sides:
        one = _offsets(functions, box, sign, slopes)
        if one is None:
            return None
        found.append(one)
    return tuple(found)


def _offsets(functions: Functions, box: GateBox, sign: Tensor, slopes: Tensor) -> Found | None:
    size, lower, upper = box.lower.dim(), box.lower, box.upper
    if slopes.shape != lower.shape or lower.shape != upper.shape:
        slopes, lower, upper = torch.broadcast_tensors(slopes, lower, upper)
    form = _form(box)
    if form is None or lower.shape[:1] != (box.gate.arity,) or not slopes.is_cpu:
        return None
    low, high, widest = _boxes(lower, upper)
    sign, wanted = _double(sign), _double(slopes)
    found, at = low.new_empty(low.shape[1:]), torch.empty_like(low)
    cuts = _packed(box.octagon, lower.shape[1:], size)
    wrong = functions[0](
        form,
        found.numel(),
        low.data_ptr(),
        high.data_ptr(),
        widest,
        None if cuts is None else cuts.data_ptr(),
        sign.data_ptr(),
        int(sign.numel() > 1),
        wanted.data_ptr(),
        found.data_ptr(),
        at.data_ptr(),
    )
    return None if wrong else (found, at)


def image(functions: Functions, box: GateBox) -> tuple[Tensor, Tensor] | None:
    """Least and greatest values [*S], float64."""
    form = _form(box)
    if form is None:
        return None
    low, high, widest = _boxes(box.lower, box.upper)
    least, greatest = low.new_empty(2, *low.shape[1:]).unbind(0)
    wrong = functions[0](
        form,
        least.numel(),
        low.data_ptr(),
        high.data_ptr(),
        widest,
        least.data_ptr(),
        greatest.data_ptr(),
    )
    return None if wrong else (least, greatest)


def exchange(
    functions: Functions, tableau: Tensor, basic: Tensor, sets: Sequence[tuple[Tensor, Tensor]], steps: int
) -> tuple[Tensor, Tensor] | None:
    """At most `steps` exchanges in place, as `relaxations.slopes.simplex.exchange` has them."""
    tensors = (tableau, basic, *sets[0], *sets[-1])
    if not on_cpu(*tensors) or not all(t.dtype == torch.float64 and t.is_contiguous() for t in tensors):
        return None
    k, count, grid = sets[0][0].shape
    more = sets[1][1].shape[-1] if len(sets) > 1 else 0
    wrong = functions[0](*(t.data_ptr() for t in tensors), k, count, grid, more, steps)
    return None if wrong else (tableau, basic)


def _form(box: GateBox) -> bytes | None:
    """The name of the gate's form where C may have an answer for such boxes."""
    lower, upper = box.lower, box.upper
    if box.gate.compiled is None or lower.shape != upper.shape or lower.dtype not in WIDEST:
        return None
    if not (lower.is_cpu and upper.is_cpu) or lower.shape[:1] != (box.gate.arity,):
        return None
    return box.gate.compiled.encode()


def _boxes(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, float]:
    return _double(lower), _double(upper), WIDEST[lower.dtype]


def _double(t: Tensor) -> Tensor:
    """In double precision, in one piece."""
    return t.detach().double().contiguous()


def _packed(octagon: Octagon | None, shape: torch.Size, size: int) -> Tensor | None:
    """The members of `struct cut` in `polygon.h` [8, *shape], of octagons over boxes of dimension `size`."""
    if octagon is None:
        return None
    packed = torch.cat([octagon.centre, octagon.half, *octagon.sides()])
    missing = [1] * (len(shape) + 1 - size)  # many slopes for one box
    return _double(packed.reshape(len(packed), *missing, *packed.shape[1:]).expand(-1, *shape))
