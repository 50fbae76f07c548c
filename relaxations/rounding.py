"""Outward margins for rounding: the standard model and γₙ of Higham (2002), with one margin for all supports.

Model of arithmetic.  u = 2⁻⁵³.  `+ − × ÷ √` are correctly rounded: relative error ≤ u.  Library functions
(exp, tanh, sigmoid, log, erf, ...) err by at most 4 units in the last place, 8u, of a normal result; results
below the normal range err by less than `TINY`.

Every support value of this package is a sum of at most eight terms, each a product of at most four computed
factors, and each term is bounded by the *magnitude*  M = max|g| + Σₖ |aₖ| max|pₖ|  of the gate over its box.
A term therefore errs by at most (4 · 8u + 4u)M before, and 8u · M more in being summed, so by (36 + 8)uM; two
levels of such sums are nested at most (a chord over support values of the inner variable), which gives 2 ·
44uM < 128uM.  `margin` returns twice that, to absorb its own rounding and that of M.
"""

from __future__ import annotations

import torch
from torch import Tensor

UNIT = 2.0**-53
TINY = 1e-290


def margin(magnitude: Tensor) -> Tensor:
    """256 u · magnitude + TINY."""
    return magnitude * (256 * UNIT) + TINY


def gamma(n: float, unit: float) -> float:
    """γ_n for unit roundoff `unit`; n·unit must stay below 1/2."""
    if n * unit >= 0.5:
        raise ValueError(f"{n} roundings of {unit} leave no correct digit")
    return n * unit / (1.0 - n * unit)


def relative_margin(n: int, dtype: torch.dtype) -> float:
    """What a sum of n products, and the handful of operations around it, may err relative to Σ|terms|.

    A sum of n products in any order errs by at most γ = n·u/(1 − n·u), u = eps/2; (n + 32)·eps exceeds twice
    that and leaves 32·eps for the operations before and after it (powers are taken to err by up to 16 ulp).
    """
    return (n + 32) * torch.finfo(dtype).eps
