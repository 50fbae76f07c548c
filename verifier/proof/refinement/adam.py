"""Adam (Kingma and Ba, ICLR 2015, algorithm 1), ascending; parameters change in place.

torch.optim would do, but its import pulls in the compiler stack: seconds, before the first bound.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Adam:
    """Ascends along the gradients it is given, with step size `rate`·`decay`^k in step k."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        rate: float,
        decay: float,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        self._parameters = parameters
        self._rate = rate
        self._decay = decay
        self._betas = betas
        self._first = [torch.zeros_like(p) for p in parameters]
        self._second = [torch.zeros_like(p) for p in parameters]
        self._count = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """One step; a gradient that is None counts as zero, and one that is not finite too."""
        first, second = self._betas
        self._count += 1
        rate = self._rate * self._decay ** (self._count - 1) / (1 - first**self._count)
        scale = 1 - second**self._count
        for p, m, v, gradient in zip(self._parameters, self._first, self._second, gradients, strict=True):
            if gradient is None:
                continue
            g = gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
            m.mul_(first).add_(g, alpha=1 - first)
            v.mul_(second).addcmul_(g, g, value=1 - second)
            p.addcdiv_(m, (v / scale).sqrt_().add_(1e-12), value=rate)
