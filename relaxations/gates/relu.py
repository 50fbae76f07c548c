"""relu: max(x, 0), linear on both sides of 0."""

from __future__ import annotations

import math

import torch

from relaxations.curves import Piece, gate_of, piecewise
from relaxations.gate import register

RELU = piecewise(
    torch.relu,
    lambda: (Piece(-math.inf, 0.0, 0, torch.zeros_like), Piece(0.0, math.inf, 0, lambda x: x)),
    rises=True,
)
register(gate_of(RELU, "relu"))
