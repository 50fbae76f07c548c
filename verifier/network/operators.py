"""The primitives of `parsers.primitives` in torch: same names, same attributes, same numbers, differentiable.

Each function takes tensors without any instance axis; `verifier.network.evaluator` adds that axis with
`vmap`. Array attributes (the indices of `take`) may be numpy arrays or tensors. A gate is the function that
`relaxations` bounds, so that what is evaluated and what is bounded cannot differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from parsers.primitives import PRIMITIVES
from relaxations import GATES

Shape = tuple[int, ...]

TORCH_OPS: dict[str, Callable[..., Tensor]] = {
    **{name: gate.function for name, gate in GATES.items() if name in PRIMITIVES},
    "add": torch.add,
    "sub": torch.sub,
    "neg": torch.neg,
    "mul": torch.mul,
    "matmul": torch.matmul,
    "div": torch.div,
}


def torch_op(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Register the decorated function under its own name (a trailing underscore is dropped)."""
    TORCH_OPS[function.__name__.rstrip("_")] = function
    return function


# --- linear: entries moved, copied, summed ---------------------------------------------------------


@torch_op
def reshape(x: Tensor, shape: Shape) -> Tensor:
    return x.reshape(shape)


@torch_op
def transpose(x: Tensor, perm: Shape) -> Tensor:
    return x.permute(perm)


@torch_op
def slice_(x: Tensor, axis: int, start: int, stop: int, step: int) -> Tensor:
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


@torch_op
def take(x: Tensor, indices: np.ndarray | Tensor, axis: int) -> Tensor:
    if isinstance(indices, np.ndarray):
        indices = np.array(indices, order="C")  # torch refuses a reversed view
    where = torch.as_tensor(indices, dtype=torch.int64, device=x.device)
    taken = x.index_select(axis, where.reshape(-1))
    return taken.reshape(x.shape[:axis] + where.shape + x.shape[axis + 1 :])


@torch_op
def concat(*xs: Tensor, axis: int) -> Tensor:
    return torch.cat(xs, dim=axis)


@torch_op
def expand(x: Tensor, shape: Shape) -> Tensor:
    return x.expand(shape)


@torch_op
def pad(x: Tensor, pads: tuple[tuple[int, int], ...]) -> Tensor:
    innermost_first = [count for before_after in reversed(pads) for count in before_after]
    return torch.nn.functional.pad(x, innermost_first)


@torch_op
def sum_(x: Tensor, axes: Shape) -> Tensor:
    return x.sum(dim=axes) if axes else x  # torch reads an empty list of axes as all of them


# --- composite -------------------------------------------------------------------------------------


@torch_op
def softmax(x: Tensor, axis: int) -> Tensor:
    return torch.softmax(x, dim=axis)


@torch_op
def log_softmax(x: Tensor, axis: int) -> Tensor:
    return torch.log_softmax(x, dim=axis)


@torch_op
def reduce_max(x: Tensor, axes: Shape) -> Tensor:
    return x.amax(dim=axes) if axes else x


# --- discrete --------------------------------------------------------------------------------------


@torch_op
def lookup(table: Tensor, indices: Tensor, axis: int) -> Tensor:
    return take(table, indices.to(torch.int64), axis)


@torch_op
def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition != 0, x, y)


@torch_op
def less(x: Tensor, y: Tensor) -> Tensor:
    return (x < y).to(x.dtype)


@torch_op
def equal(x: Tensor, y: Tensor) -> Tensor:
    return (x == y).to(x.dtype)
