"""The primitives of `parsers.primitives` in torch: same names, same attributes, same numbers, differentiable.

Each function takes tensors without any instance axis; `verifier.network.evaluator` adds that axis with
`vmap`. Array attributes (the indices of `take`) may be numpy arrays or tensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Shape = tuple[int, ...]

TORCH_OPS: dict[str, Callable[..., Tensor]] = {}


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


# --- additive, bilinear, quotient -------------------------------------------------------------------


@torch_op
def add(x: Tensor, y: Tensor) -> Tensor:
    return x + y


@torch_op
def sub(x: Tensor, y: Tensor) -> Tensor:
    return x - y


@torch_op
def neg(x: Tensor) -> Tensor:
    return -x


@torch_op
def mul(x: Tensor, y: Tensor) -> Tensor:
    return x * y


@torch_op
def matmul(x: Tensor, y: Tensor) -> Tensor:
    return torch.matmul(x, y)


@torch_op
def div(x: Tensor, y: Tensor) -> Tensor:
    return x / y


# --- gates: elementwise ----------------------------------------------------------------------------


@torch_op
def max_(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x, y)


@torch_op
def min_(x: Tensor, y: Tensor) -> Tensor:
    return torch.minimum(x, y)


@torch_op
def sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


@torch_op
def tanh(x: Tensor) -> Tensor:
    return torch.tanh(x)


@torch_op
def relu(x: Tensor) -> Tensor:
    return torch.relu(x)


@torch_op
def leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x < 0, alpha * x, x)


@torch_op
def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


@torch_op
def elu(x: Tensor, alpha: float) -> Tensor:
    # expm1 sees only x ≤ 0: an overflow in the branch not taken would turn the gradient into NaN.
    return torch.where(x < 0, alpha * torch.expm1(x.clamp(max=0)), x)


@torch_op
def selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    return gamma * elu(x, alpha)


@torch_op
def celu(x: Tensor, alpha: float) -> Tensor:
    return x.clamp(min=0) + alpha * torch.expm1(x.clamp(max=0) / alpha)


@torch_op
def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))  # torch's own softplus is cut off at 20


@torch_op
def softsign(x: Tensor) -> Tensor:
    return x / (1.0 + x.abs())


@torch_op
def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return (alpha * x + beta).clamp(0.0, 1.0)


@torch_op
def hard_swish(x: Tensor) -> Tensor:
    return x * (x / 6.0 + 0.5).clamp(0.0, 1.0)


@torch_op
def mish(x: Tensor) -> Tensor:
    return x * torch.tanh(softplus(x))


@torch_op
def erf(x: Tensor) -> Tensor:
    return torch.erf(x)


@torch_op
def exp(x: Tensor) -> Tensor:
    return torch.exp(x)


@torch_op
def log(x: Tensor) -> Tensor:
    return torch.log(x)


@torch_op
def sqrt(x: Tensor) -> Tensor:
    return torch.sqrt(x)


@torch_op
def reciprocal(x: Tensor) -> Tensor:
    return torch.reciprocal(x)


@torch_op
def pow_(x: Tensor, exponent: float) -> Tensor:
    return torch.pow(x, exponent)


@torch_op
def abs_(x: Tensor) -> Tensor:
    return x.abs()


@torch_op
def sin(x: Tensor) -> Tensor:
    return torch.sin(x)


@torch_op
def cos(x: Tensor) -> Tensor:
    return torch.cos(x)


@torch_op
def clip(x: Tensor, low: float, high: float) -> Tensor:
    return x.clamp(low, high)


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
def step(x: Tensor) -> Tensor:
    return (x > 0).to(x.dtype)


@torch_op
def is_zero(x: Tensor) -> Tensor:
    return (x == 0).to(x.dtype)


@torch_op
def trunc(x: Tensor, limit: float) -> Tensor:
    del limit
    return torch.trunc(x)


@torch_op
def less(x: Tensor, y: Tensor) -> Tensor:
    return (x < y).to(x.dtype)


@torch_op
def equal(x: Tensor, y: Tensor) -> Tensor:
    return (x == y).to(x.dtype)
