"""Functions of straight lines: relu, leaky relu, thresholded relu, abs, clip, hard sigmoid, and the
identity."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from relaxations.curves.curve import gate_of, largest
from relaxations.curves.pieces import Piece, piecewise
from relaxations.gate import WITHIN_4_ULP, always, register


def identity(x: Tensor) -> Tensor:
    return x


def zero(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


def negative(x: Tensor) -> Tensor:
    return -x


IDENTITY = replace(
    piecewise(identity, lambda: (Piece(-math.inf, math.inf, 0, identity),), monotone=True, straight=True),
    image=lambda lower, upper: (lower, upper),
    nodes=lambda lower, upper, _intervals: torch.stack([lower, upper]),
    magnitude=largest,
)

RELU = piecewise(
    torch.relu,
    lambda: (Piece(-math.inf, 0.0, 0, zero), Piece(0.0, math.inf, 0, identity)),
    monotone=True,
    straight=True,
)
register(gate_of(RELU, "relu", error=WITHIN_4_ULP, never_negative=always, kink_at_zero=True))

ABS = piecewise(torch.abs, lambda: (Piece(-math.inf, 0.0, 0, negative), Piece(0.0, math.inf, 0, identity)))
register(gate_of(ABS, "abs", error=WITHIN_4_ULP, never_negative=always, kink_at_zero=True))


def leaky_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x < 0, alpha * x, x)


LEAKY_RELU = piecewise(
    leaky_relu,
    lambda alpha: (Piece(-math.inf, 0.0, 0, lambda x: alpha * x), Piece(0.0, math.inf, 0, identity)),
)
LEAKS = ({"alpha": 0.01}, {"alpha": -0.5})
register(gate_of(LEAKY_RELU, "leaky_relu", "alpha", example=LEAKS, error=WITHIN_4_ULP, kink_at_zero=True))


def thresholded_relu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x > alpha, x, 0.0)


THRESHOLDED_RELU = piecewise(
    thresholded_relu,
    lambda alpha: (Piece(-math.inf, alpha, 0, zero), Piece(alpha, math.inf, 0, identity)),
    jumps=True,
)
THRESHOLDS = ({"alpha": 1.0}, {"alpha": -0.5})
register(gate_of(THRESHOLDED_RELU, "thresholded_relu", "alpha", example=THRESHOLDS, error=WITHIN_4_ULP))


def clip(x: Tensor, low: float, high: float) -> Tensor:
    return torch.clamp(x, low, high)


CLIP = piecewise(
    clip,
    lambda low, high: (
        Piece(-math.inf, low, 0, lambda x: torch.full_like(x, low)),
        Piece(low, max(low, high), 0, lambda x: torch.clamp(x, low, high)),
        Piece(max(low, high), math.inf, 0, lambda x: torch.full_like(x, high)),
    ),
)
register(gate_of(CLIP, "clip", "low", "high", example=({"low": -1.0, "high": 2.0},), error=WITHIN_4_ULP))


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(alpha * x + beta, 0.0, 1.0)


def _hard_sigmoid_pieces(alpha: float, beta: float) -> tuple[Piece, ...]:
    def line(x: Tensor) -> Tensor:
        return hard_sigmoid(x, alpha, beta)

    if alpha == 0:
        return (Piece(-math.inf, math.inf, 0, line),)
    low, high = sorted((-beta / alpha, (1 - beta) / alpha))
    return Piece(-math.inf, low, 0, line), Piece(low, high, 0, line), Piece(high, math.inf, 0, line)


HARD_SIGMOID = piecewise(
    hard_sigmoid,
    _hard_sigmoid_pieces,
    magnitude=lambda lower, upper, alpha, beta: abs(alpha) * largest(lower, upper) + (1 + abs(beta)),
    monotone=True,
    straight=True,
)
register(
    gate_of(
        HARD_SIGMOID,
        "hard_sigmoid",
        "alpha",
        "beta",
        example=({"alpha": 0.2, "beta": 0.5}, {"alpha": -1.0 / 6, "beta": 0.3}),
        error=WITHIN_4_ULP,
    )
)
