"""Octagon constraints (Miné 2006) on the operands of a gate, by which the corners of its box are cut off.

The operands of a gate read the same inputs, so that they are seldom at the ends of their intervals together.
With centres c and half-widths h of their intervals, p̂ = (p − c)/h lies in [−1, 1]; the backward pass that
bounds p also bounds the rows

    û + v̂,   −û − v̂,   û − v̂,   −û + v̂

of the first operand with every other one. Where many inputs move both, by weights that have little to do
with each other, û ± v̂ stays within about ±√2 instead of ±2, and planes over what is left of the box are much
tighter (`relaxations.polygons.polygon`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations import Octagon
from verifier.network.program import GateStep
from verifier.propagation.interval import Operand

SIGNS = ((1, 1), (-1, -1), (1, -1), (-1, 1))
LEAST = 1e-6  # half-widths below it, relative to the centre, are not worth scaling


@dataclass(frozen=True, slots=True, eq=False)
class OctagonRows:
    """Rows [B, R, m] over each variable that the operands of a gate of n units read, their `constant` [B, R],
    and the `margin` [B, R] for all rounding: R = 4·n for every operand but the first. `centre` and `half`
    [k, B, n] scale the operands."""

    rows: dict[str, Tensor]
    constant: Tensor
    margin: Tensor
    centre: Tensor
    half: Tensor

    def octagon(self, minimum: Tensor) -> Octagon:
        """From lower bounds [B, R] of the rows; what could not be bounded cuts nothing."""
        found = (minimum - self.margin).nan_to_num(nan=-torch.inf)
        count, _, units = self.centre.shape
        low, minus_high, least, minus_most = found.unflatten(-1, (count - 1, 4, units)).permute(2, 1, 0, 3)
        return Octagon(self.centre, self.half, low, -minus_high, least, -minus_most)


def octagon_rows(
    step: GateStep, lower: Tensor, upper: Tensor, known: Sequence[Operand], relative: float
) -> OctagonRows:
    """The rows for a gate over boxes [k, B, n]; `known` has the interval of every operand and the magnitude
    of its terms [B, n], `relative` is the rounding of a sum of them.

    Proof of the margin: p is known up to `error`; scaling the coefficients by 1/h errs by 2u of every term,
    and so does c/h: at most (error + relative·(magnitude + |c|)) / h for each operand.
    """
    centre, half = (lower + upper) / 2, (upper - lower) / 2
    half = torch.where(half > LEAST * (1 + centre.abs()), half, torch.ones_like(half))
    scale = 1 / half
    margin = scale * torch.stack(
        [
            interval.error + relative * (magnitude + c.abs())
            for (interval, magnitude), c in zip(known, centre, strict=True)
        ]
    )
    forms = step.operands
    constant = torch.stack([s * (f.bias - c) for f, s, c in zip(forms, scale, centre, strict=True)])
    scaled = [
        {name: s.unsqueeze(-1) * linear_map.rows() for name, linear_map in form.terms.items()}
        for form, s in zip(forms, scale, strict=True)
    ]
    pairs = [(a, b, j) for j in range(1, len(forms)) for a, b in SIGNS]
    rows: dict[str, Tensor] = {}
    for name in dict.fromkeys(name for terms in scaled for name in terms):
        zero = torch.zeros_like(next(terms[name] for terms in scaled if name in terms))
        first, *others = (terms.get(name, zero) for terms in scaled)
        rows[name] = torch.cat([a * first + b * others[j - 1] for a, b, j in pairs], 1)
    return OctagonRows(
        rows,
        torch.cat([a * constant[0] + b * constant[j] for a, b, j in pairs], -1),
        torch.cat([margin[0] + margin[j] for _, _, j in pairs], -1),
        centre,
        half,
    )


def joined(cuts: Sequence[Octagon]) -> Octagon:
    """The same gate at several time steps: [k, T, B, n] from [k, B, n]."""
    tensors = [(d.centre, d.half, *d.sides()) for d in cuts]
    return Octagon(*(torch.stack(same, 1) for same in zip(*tensors, strict=True)))
