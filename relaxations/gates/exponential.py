"""Gates made of one exponential: exp, log, softplus, elu, selu, celu.  Each is convex or concave by piece.

exp' = eˣ = q          at  x = log q             log' = 1/x = q       at  x = 1/q
softplus' = σ(x) = q   at  x = log(q/(1 − q))    (k(e^(x/c) − 1))' = (k/c)·e^(x/c) = q   at  x = c·log(q·c/k)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relaxations.curves.curve import gate_of
from relaxations.curves.pieces import Piece, piecewise
from relaxations.errors import UnknownGate
from relaxations.gate import WITHIN_4_ULP, always, register


def _log(q: Tensor) -> Tensor:
    return torch.log(q.clamp(min=0.0))


EXP = piecewise(
    torch.exp, lambda: (Piece(-math.inf, math.inf, 1, torch.exp, torch.exp, _log),), monotone=True
)
register(gate_of(EXP, "exp", error=WITHIN_4_ULP, never_negative=always))


def _inverse_log(q: Tensor) -> Tensor:
    return 1 / q.clamp(min=0.0).abs()


LOG = piecewise(
    torch.log,
    lambda: (Piece(0.0, math.inf, -1, torch.log, _inverse_log, _inverse_log),),
    inside=lambda lower, upper: (lower > 0) & (upper > 0),
    monotone=True,
)
register(gate_of(LOG, "log", error=WITHIN_4_ULP))


def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


def _logit(q: Tensor) -> Tensor:
    q = q.clamp(0.0, 1.0).abs()
    return torch.log(q / (1 - q))


SOFTPLUS = piecewise(
    softplus,
    lambda: (Piece(-math.inf, math.inf, 1, softplus, torch.sigmoid, _logit),),
    core=20.0,
    monotone=True,
)
register(gate_of(SOFTPLUS, "softplus", error=WITHIN_4_ULP))


def _exponential_pieces(height: float, rate: float, line: float) -> tuple[Piece, ...]:
    """height·(e^(x/rate) − 1) left of 0, line·x right of it."""
    if rate <= 0:
        raise UnknownGate(f"celu with alpha = {rate} is not bounded here; it takes alpha > 0")
    steepness = height / rate

    def curved(x: Tensor) -> Tensor:
        return height * torch.expm1(x / rate)

    def derivative(x: Tensor) -> Tensor:
        return steepness * torch.exp(x / rate)

    def inverse(q: Tensor) -> Tensor:
        return rate * _log(q / steepness)

    left = (
        Piece(-math.inf, 0.0, steepness / rate, curved, derivative, inverse, relative_error=4096)
        if height
        else Piece(-math.inf, 0.0, 0, torch.zeros_like)
    )
    return left, Piece(0.0, math.inf, 0, lambda x: line * x)


def elu(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x < 0, alpha * torch.expm1(x.clamp(max=0.0)), x)


def selu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    return gamma * torch.where(x < 0, alpha * torch.expm1(x.clamp(max=0.0)), x)


def celu(x: Tensor, alpha: float) -> Tensor:
    return x.clamp(min=0.0) + alpha * torch.expm1(x.clamp(max=0.0) / alpha)


ELU = piecewise(elu, lambda alpha: _exponential_pieces(alpha, 1.0, 1.0), core=16.0)
SELU = piecewise(selu, lambda alpha, gamma: _exponential_pieces(gamma * alpha, 1.0, gamma), core=16.0)
CELU = piecewise(celu, lambda alpha: _exponential_pieces(alpha, alpha, 1.0), core=16.0)
register(
    gate_of(
        ELU, "elu", "alpha", example=({"alpha": 1.0}, {"alpha": -0.7}), error=WITHIN_4_ULP, kink_at_zero=True
    )
)
register(
    gate_of(
        SELU,
        "selu",
        "alpha",
        "gamma",
        example=({"alpha": 1.6732631921768188, "gamma": 1.0507010221481323},),
        error=WITHIN_4_ULP,
        kink_at_zero=True,
    )
)
register(gate_of(CELU, "celu", "alpha", example=({"alpha": 1.5},), error=WITHIN_4_ULP, kink_at_zero=True))
