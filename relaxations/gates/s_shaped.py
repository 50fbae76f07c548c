"""Gates of one operand with one inflection: sigmoid, softsign, tanh (the curves are in
`relaxations.curves`), and erf.

erf' = (2/√π)·e^(−x²) is q at |x| = √(−log(q·√π/2)).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relaxations.curves.curve import gate_of, s_shaped
from relaxations.curves.sigmoid import SIGMOID
from relaxations.curves.softsign import SOFTSIGN
from relaxations.curves.tanh import TANH
from relaxations.gate import WITHIN_4_ULP, Float32Error, register

# Measured, not proved, and rounded up: onnxruntime's vectorised tanh reaches 1 + 2.4e-7 and errs by up to
# 3.1e-7, its sigmoid by up to 1.7e-7.
register(gate_of(SIGMOID, "sigmoid", compiled="sigmoid", error=Float32Error(2.5e-7)))
register(gate_of(SOFTSIGN, "softsign", error=WITHIN_4_ULP))
register(gate_of(TANH, "tanh", compiled="tanh", error=Float32Error(4.0e-7)))


def erf_slope(x: Tensor) -> Tensor:
    return (2 / math.sqrt(math.pi)) * torch.exp(-x * x)


def erf_inverse(q: Tensor) -> Tensor:
    height = (q * (0.5 * math.sqrt(math.pi))).clamp(0.0, 1.0)
    return torch.sqrt(-torch.log(height))


ERF = s_shaped(torch.erf, erf_slope, erf_inverse, core=9.0, relative_error=4096)  # x² ≤ 700 rounds by 700u
register(gate_of(ERF, "erf", error=Float32Error(4.0e-7)))
