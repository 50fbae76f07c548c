"""What many gates cannot lose together.

A sweep puts a plane in the place of every gate, as if each were as far from its gate as it can be. What it
drops is known: with λ the coefficient of gate j in the sweep of a row,

    row = A·x + b + Σⱼ |λⱼ|·(distance of gate j from its plane)
        ≥ A·x + b + Σⱼ |λⱼ|·(κⱼ(1 − wⱼ²) − lossⱼ),

κ being the height of its slack, and w the place of its operands across their region (`relaxations.slack`).
Sweeps of the rows ±wⱼ give a linear function of the inputs near wⱼ: |wⱼ − sⱼ·x̂| ≤ eⱼ, with every input x̂ᵢ
in [−1, 1]. For any τ > 0 is wⱼ² ≤ (1 + τ)(sⱼ·x̂)² + (1 + 1/τ)eⱼ², so with any set J of gates and ω = |λ|·κ

    row ≥ A·x + b + Σ_J |λⱼ|(κⱼ(1 − (1 + 1/τ)eⱼ²) − lossⱼ) − (1 + τ)·max { x̂ᵀMx̂ : |x̂ᵢ| ≤ 1 },

M = Σ_J ωⱼ·sⱼsⱼᵀ. J holds the gates whose term is positive. The maximum is where it counts that gates are
many: if all wⱼ² could be 1 at once it would be Σ ωⱼ, and it is a small part of that, as hundreds of inputs
would have to serve hundreds of gates at a time.

Proof of its bound: for any D > 0 is x̂ᵀMx̂ ≤ λmax(D^-½ M D^-½)·Σ Dᵢ. Let the columns of U be orthonormal, a
few directions in which gates mostly look. With the blocks of the scaled matrix within U, across, and outside

    λmax ≤ (α + γ)/2 + √(((α − γ)/2)² + β²),     α ≥ λmax(within),  β = ‖across‖,  γ = ‖outside‖

(Frobenius norms), for the norm of a matrix is at most that of its blocks' norms. α = (Σ λᵢ¹⁶)^(1/16), from
powers of the small matrix; the others come from sums Σ ωᵢωⱼ(ŝᵢ·ŝⱼ)² over pairs of gates, one matrix product
for all rows, and β² is half of what of ‖all‖² the blocks on the diagonal leave.

Rounding: sums over pairs are of terms ≥ 0, in float32, and err relatively by less than (J + 4)·2⁻²⁴, `SUMS`
covers that for J up to `GATES`; each ŝᵢ·ŝⱼ in them errs by γ·|ŝᵢ||ŝⱼ|, γ = `slip`, which is at most γ·tr in
the norm (by the triangle inequality for norms). What is done in float64 errs by some 10⁻¹³ of tr, or tr²
where norms are squared, as long as U is orthonormal to 10⁻¹², which is looked at: `SLIP` covers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relaxations.slack import Slack
from verifier.arithmetic import Arithmetic
from verifier.dual import relative_margin
from verifier.interval import Interval
from verifier.program import GateStep
from verifier.region import Region
from verifier.site import Key

GATES = 4096  # units of gates, both sides counted, that pairs are formed of at most
DIRECTIONS = 32  # columns of U
SHARES = (0.2, 0.35, 0.6, 1.0, 1.7, 3.0)  # τ
SINGLE = 1.3  # the ratio of maximum and trace for a row, to that of the mean row: which is more even
SUMS = 1e-3
SLIP = 1e-9
TINY = 1e-9  # of |ŝ|²: what is smaller may be lost in float32
ROUNDS = 6  # of subspace iteration for U, any of which will do


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    """J gates, and where their w is: within `error` [B, J] of `place` [B, J, N] times x̂; `height` and `loss`
    [B, J]."""

    place: Tensor
    error: Tensor
    height: Tensor
    loss: Tensor


def joins(region: Region, arithmetic: Arithmetic) -> bool:
    """Whether there can be anything to win: inputs in a box, in float64."""
    return region.cutting_ball is None and arithmetic.dtype == torch.float64


def slack_rows(
    step: GateStep, slack: tuple[Slack, Slack], known: Sequence[tuple[Interval, Tensor]], relative: float
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Rows [B, 4n, m] over each variable that the operands of a gate of n units read: w of the lower side,
    −w, w of the upper side, −w; their constants [B, 4n], and the margin [B, 4n] for all rounding. `known` has
    the interval of every operand and the magnitude of its terms [B, n], `relative` is the rounding of their
    sum.

    Proof of the margin: an operand is known up to `error`, and w has the slope `direction` in it."""
    rows: dict[str, list[Tensor]] = {}
    constants, margins = [], []
    for side in slack:
        terms: dict[str, Tensor] = {}
        constant, margin = side.shift, relative * side.shift.abs()
        for form, slope, (interval, magnitude) in zip(step.operands, side.direction, known, strict=True):
            for name, linear_map in form.terms.items():
                part = slope.unsqueeze(-1) * linear_map.rows()
                terms[name] = terms[name] + part if name in terms else part
            constant = constant + slope * form.bias
            margin = margin + slope.abs() * (interval.error + relative * magnitude)
        for name, part in terms.items():
            rows.setdefault(name, []).extend((part, -part))
        constants += [constant, -constant]
        margins += [margin, margin]
    return (
        {name: torch.cat(parts, 1) for name, parts in rows.items()},
        torch.cat(constants, -1),
        torch.cat(margins, -1),
    )


class Joint:
    """Collects gates while a region's boxes are made, and says what rows of sweeps win back by them."""

    def __init__(self, region: Region) -> None:
        middle = region.middle.double()
        radius = torch.maximum(region.upper.double() - middle, middle - region.lower.double())
        self._region = region.within(None)
        self._middle, self._radius = middle, radius * (1 + 4 * torch.finfo(torch.float64).eps)
        self._gates: list[_Near] = []
        self._places: dict[Key, int] = {}
        self._count = 0
        self._spread: _Spread | None = None

    def takes(self, units: int) -> bool:
        """Whether there is room for a site of that many units."""
        return self._count + 2 * units <= GATES

    def add(self, key: Key, slack: tuple[Slack, Slack], A: Tensor, b: Tensor) -> None:
        """Gates of a site with n units. Linear functions A·x + b, [B, 4n, N] and [B, 4n], lie below w of the
        lower side, −w of it, w of the upper side, and −w of it."""
        A, b = (t.double().unflatten(1, (2, 2, -1)) for t in (A, b))
        under, over = (t.flatten(1, 2) for t in A.unbind(2))
        low, high = (t.flatten(1) for t in b.unbind(2))
        slope, at_zero = (under - over) / 2, (low - high) / 2  # half way between both functions
        apart = -(self._region.minimum((under + over) / 2) + (low + high) / 2)  # half of their distance
        middle = (slope @ self._middle.unsqueeze(-1)).squeeze(-1) + at_zero
        size = (
            (slope.abs() @ (self._middle.abs() + self._radius).unsqueeze(-1)).squeeze(-1)
            + low.abs()
            + high.abs()
        )
        error = apart + middle.abs() + relative_margin(slope.shape[-1], torch.float64) * size
        height, loss = (torch.cat([getattr(side, name) for side in slack], -1) for name in ("height", "loss"))
        known = torch.isfinite(error) & torch.isfinite(slope).all(-1)
        self._gates.append(
            _Near(
                (slope * self._radius.unsqueeze(1)).masked_fill(~known.unsqueeze(-1), 0.0),
                error.masked_fill(~known, torch.inf),
                height.masked_fill(~known, 0.0),
                loss,
            )
        )
        self._places[key] = self._count
        self._count += height.shape[-1]

    def gain(self, coefficients: Mapping[Key, Tensor], rows: int) -> Tensor:
        """What `rows` R of a sweep, whose `coefficients` [B or 1, R, n] these are, win back [B, R]: ≥ 0."""
        batch = len(self._middle)
        if not self._gates:
            return self._middle.new_zeros(batch, rows)
        held = 0 if self._spread is None else self._spread.gates.height.shape[-1]
        if self._spread is None or any(self._places.get(key, -1) >= held for key in coefficients):
            self._spread, held = _Spread.of(_joined(self._gates)), self._count
        weights = self._middle.new_zeros(batch, rows, held)
        for key, A in coefficients.items():
            first = self._places.get(key)
            if first is not None:
                n = A.shape[-1]
                weights[..., first : first + n] = A.clamp_min(0.0)
                weights[..., first + n : first + 2 * n] = -A.clamp_max(0.0)
        return self._spread.gain(weights).nan_to_num(nan=0.0, posinf=0.0).clamp_min(0.0)


def _joined(gates: list[_Near]) -> _Near:
    return _Near(
        torch.cat([near.place for near in gates], 1),
        torch.cat([near.error for near in gates], 1),
        torch.cat([near.height for near in gates], 1),
        torch.cat([near.loss for near in gates], 1),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """What J gates with unit weights look at: `trace` Σ D [B]; `sizes` |ŝ|² [B, J]; `within` ŝŝᵀ inside of U,
    flat [B, J, k²]; `pairs` (ŝᵢ·ŝⱼ)² [B, J, J] float32, and `outside` the same of what U leaves, each ŝᵢ·ŝⱼ
    up to `slip`·|ŝᵢ||ŝⱼ|."""

    gates: _Near
    trace: Tensor
    sizes: Tensor
    within: Tensor
    pairs: Tensor
    outside: Tensor
    slip: float
    orthonormal: bool

    @staticmethod
    def of(gates: _Near) -> _Spread:
        S = gates.place.float()
        M = (S * gates.height.float().unsqueeze(-1)).mT @ S
        D = M.norm(dim=-1).double()  # of every input: it makes the scaled matrix even
        D = D.clamp_min(1e-6 * D.amax(-1, keepdim=True)).clamp_min(torch.finfo(S.dtype).tiny)
        scale = D.rsqrt()
        U = _directions(M.double() * scale.unsqueeze(1) * scale.unsqueeze(2))
        S = gates.place * scale.unsqueeze(1)
        inner = S @ U
        whole, rest = S.float(), (S - inner @ U.mT).float()
        unity = torch.eye(U.shape[-1], dtype=U.dtype, device=U.device)
        return _Spread(
            gates,
            D.sum(-1) * (1 + SLIP),
            (S * S).sum(-1) + TINY,
            (inner.unsqueeze(-1) * inner.unsqueeze(-2)).flatten(2),
            (whole @ whole.mT).square_(),
            (rest @ rest.mT).square_(),
            relative_margin(S.shape[-1], torch.float32),
            bool((U.mT @ U - unity).abs().amax() <= 1e-12),
        )

    def gain(self, weights: Tensor) -> Tensor:
        """[B, R] for weights |λ| [B, R, J]; it may be negative. Each row takes the τ that is best if maximum
        and trace of M are to each other as for the mean row."""
        near, share = self.gates, weights.new_tensor(SHARES)[:, None, None]
        each = near.height * (1 - (1 + 1 / share) * near.error * near.error) - near.loss  # [τ, B, J]
        taken = each > 0
        won = weights @ torch.where(taken, each, 0.0).unsqueeze(-1)
        trace = weights @ torch.where(taken, near.height * self.sizes, 0.0).unsqueeze(-1)
        mean = weights.mean(1, keepdim=True) * near.height.unsqueeze(1)
        ratio = SINGLE * self._maximum(mean) / (mean @ self.sizes.unsqueeze(-1)).squeeze(-1).clamp_min(1e-300)
        best = (won.squeeze(-1) - (1 + share) * ratio * trace.squeeze(-1)).argmax(0)  # [B, R]
        instance = torch.arange(len(best), device=best.device)[:, None]
        used = torch.where(taken[best, instance], weights, 0.0) * near.height.unsqueeze(1)
        found = won.squeeze(-1).gather(0, best.unsqueeze(0))[0] * (1 - SLIP)
        return found - (1 + share[best, 0, 0]) * self._maximum(used)

    def _maximum(self, weights: Tensor) -> Tensor:
        """An upper bound [B, R] of max x̂ᵀMx̂ for ω [B, R, J]."""
        scale = weights.amax(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        weights = weights / scale
        single = weights.float()
        trace = (weights @ self.sizes.unsqueeze(-1)).squeeze(-1) * (1 + SLIP)
        whole, outside = (
            ((single @ pairs) * single).sum(-1).double().sqrt() for pairs in (self.pairs, self.outside)
        )
        most = whole * (1 + SUMS) + self.slip * trace
        if not self.orthonormal:
            return most * self.trace[:, None] * scale.squeeze(-1)
        k = int(self.within.shape[-1] ** 0.5)
        inner = (weights @ self.within).unflatten(-1, (k, k))
        size = inner.flatten(2).norm(dim=-1)
        power = inner / size.clamp_min(torch.finfo(size.dtype).tiny)[..., None, None]
        for _ in range(3):
            power = power @ power
        alpha = size * (power.flatten(2).norm(dim=-1) + 1e-12) ** (1 / 8) + SLIP * trace
        gamma = outside * (1 + SUMS) + self.slip * trace
        least = (outside * (1 - SUMS) - self.slip * trace).clamp_min(0.0)
        across = ((most * most - size * size - least * least) / 2).clamp_min(0.0) + SLIP * trace * trace
        largest = (alpha + gamma) / 2 + (((alpha - gamma) / 2).square() + across).sqrt()
        return torch.minimum(largest, most) * self.trace[:, None] * scale.squeeze(-1)


def _directions(M: Tensor) -> Tensor:
    """Orthonormal columns [B, N, k], nearly the first eigenvectors of M [B, N, N]."""
    size = M.shape[-1]
    generator = torch.Generator().manual_seed(0)
    U = torch.randn(size, min(DIRECTIONS, size), generator=generator, dtype=M.dtype).to(M.device)
    U = U.expand(len(M), -1, -1)
    for _ in range(ROUNDS):
        U = torch.linalg.qr(M @ U).Q
    return U
