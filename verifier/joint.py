"""What many gates cannot lose together.

A sweep puts a plane in the place of every gate, as if each were as far from its gate as it can be. What it
drops is known: with λ the coefficient of gate j in the sweep of a row,

    row = A·x + b + Σⱼ |λⱼ|·(distance of gate j from its plane)
        ≥ A·x + b + Σⱼ |λⱼ|·(heightⱼ − Σₖ bendⱼₖ·p̂ⱼₖ²),

p̂ being the places of its operands in their intervals (`relaxations.slack`). A zonotope (`verifier.zonotope`)
says how they depend on the inputs and on what planes leave open of earlier gates: |p̂ⱼₖ − sⱼₖ·z| ≤ eⱼₖ,
with |zᵢ| ≤ 1, e being rounding. So is p̂² ≤ (1 + τ)(s·z)² + (1 + 1/τ)e² for any τ > 0, and with any set J of
gates and ωⱼₖ = |λⱼ|·bendⱼₖ

    row ≥ A·x + b + Σ_J |λⱼ|(heightⱼ − (1 + 1/τ)·Σₖ bendⱼₖ·eⱼₖ²)
                  − (1 + τ)·max { Σ_J ωⱼₖ(sⱼₖ·z)² : |zᵢ| ≤ 1 }.

The maximum is where it counts that gates are many: if all p̂² could be 1 at once it would be Σ ω, and it is a
part of that, as the same z would have to serve hundreds of gates at a time. (Where a half-space cuts the
region some of the z are in a ball instead of a box, and have one D together.)

Proof of its bound (`most`): for any D > 0 it is at most Σ Dᵢ times the largest eigenvalue of D^-½ M D^-½, for
M = Σ ω·ssᵀ, which is that of the matrix B of scalar products of the vectors √ω·D^-½s: the norm of B. For any
matrix P is ‖P‖² = ‖PᵀP‖, so that some squarings and a Frobenius norm bound it, nearly at its value.

D and J come from the other side. The dual problem is max tr MX over X ⪰ 0 with Xᵢᵢ = 1; for X = VᵀV with
columns of length 1, V ← VM with its columns scaled to length 1 climbs to it (Burer & Monteiro 2003; Wang,
Chang & Kolter 2017), and Dᵢ = |(VM)ᵢ| is the best D where it ends. A gate of which this X makes more than it
is worth, Σₖ ωⱼₖ·sⱼₖᵀXsⱼₖ, is better left out. Every row has its own D and J: one for all rows loses a factor
of two to three.

Rounding. M, D and J are what they are in float32. What is computed from them, entries x of the vectors, errs
relatively by less than 16u, and B by γ of the products of magnitudes: at most `slip`·tr B in the norm, as the
norm of a matrix of magnitudes is at most that of Frobenius.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from relaxations.slack import Slack
from verifier.arithmetic import Arithmetic
from verifier.compiled import POINTER, SIZE, functions
from verifier.dual import relative_margin
from verifier.program import Block, GateStep
from verifier.region import Region
from verifier.site import Key
from verifier.zonotope import Zonotope, Zonotopes

GATES = 4096  # units of gates that count at most
ENTRIES = 1 << 25  # of the generators of one value, at most
TOGETHER = 1 << 20  # entries of vectors that are worked on at once: they stay in the processor's cache
HEAVIEST = 256  # gates of a row that are looked at, and
SHARED = 850  # over the root of the number of rows: what they cost goes with their square
COLUMNS = 4  # of Vᵀ; `c/balance.c` has them too
LANES = 8  # entries that it takes at a time
ROUNDS = 10  # in which it climbs
LEAVING = 5  # the round after which gates are left out
SQUARINGS = 5
TAU = 1e-4  # τ: errors are rounding, so that 1/τ of their squares is nothing
LEAST = 1e-3  # of the mean of D: less does not pay
FAINT = 1e-12  # of what the heaviest gate is worth: what is less is left out
SLIP = 1e-9  # of sums in double precision
TINY = 1e-30

FUNCTIONS = functions(
    "balance", 2,
    [
        POINTER, SIZE, SIZE, SIZE, *[POINTER] * 3, SIZE, SIZE, POINTER, SIZE, SIZE, ctypes.c_float,
        *[POINTER] * 5,
    ],
    [torch.float32],
)  # fmt: skip


def joins(program: Block, region: Region, arithmetic: Arithmetic) -> bool:
    """Whether gates can be taken together: inputs in a box, in float64, of a network of a size for it."""
    if region.cutting_ball is not None or arithmetic.dtype != torch.float64:
        return False
    widest = max(_sizes(program), default=0)
    return widest * (region.lower.shape[1] + GATES) <= ENTRIES


def _sizes(block: Block) -> list[int]:
    """Of all forms of a block."""
    sizes = [form.size for form in block.outputs]
    for step in block.steps:
        if isinstance(step, GateStep):
            sizes.append(step.size)
        else:
            sizes += [form.size for form in (*step.initial, *step.sequences)] + _sizes(step.body)
    return sizes


@dataclass(frozen=True, slots=True, eq=False)
class _Gates:
    """U gates of up to m operands: `place` s [B, U, m, G] of the operands, the constant first, float32;
    `value` height − (1 + 1/τ)·Σ bend·e² [B, 2, U] and `bend` [B, 2, U, m] of the lower planes and of the
    upper ones, all 0 where there is nothing to win."""

    place: Tensor
    value: Tensor
    bend: Tensor


class Joint:
    """Collects gates while a region's boxes are made, and says what rows of sweeps win back by them."""

    def __init__(self, region: Region, arithmetic: Arithmetic) -> None:
        self.zonotopes = Zonotopes(region, arithmetic)
        self._zero = region.lower.new_zeros(len(region), 1)
        self._sites: list[_Gates] = []
        self._places: dict[Key, int] = {}
        self._count = 0
        self._all: _Gates | None = None

    def takes(self, units: int) -> bool:
        """Whether there is room for a site of that many units."""
        return self._count + units <= GATES

    def add(self, key: Key, slack: Slack, operands: Sequence[Zonotope]) -> None:
        """The gates of a site: their slack, and zonotopes of their operands."""
        places = [
            self.zonotopes.sum([operand], scale[None], shift)
            for operand, scale, shift in zip(operands, slack.scale, slack.shift, strict=True)
        ]
        error = torch.stack([p.error for p in places])
        value = slack.height - (1 + 1 / TAU) * (slack.bend * error * error).sum(1)  # [2, B, n]
        finite = torch.isfinite(torch.stack([p.reach for p in places])).all(0)
        good = finite & (value > 0)
        place = torch.stack(
            [torch.cat([p.centre.unsqueeze(-1), p.generators], -1) for p in places], -2
        ).float()
        self._sites.append(
            _Gates(
                place.masked_fill(~finite[..., None, None], 0.0),
                value.masked_fill(~good, 0.0).movedim(0, 1),
                slack.bend.masked_fill(~good.unsqueeze(1), 0.0).permute(2, 0, 3, 1),
            )
        )
        self._places[key] = self._count
        self._count += value.shape[-1]

    def gain(self, coefficients: Mapping[Key, Tensor], rows: int) -> Tensor:
        """What `rows` R of a sweep, whose `coefficients` [B or 1, R, n] these are, win back [B, R]: ≥ 0."""
        used = [(A, self._places[key]) for key, A in coefficients.items() if key in self._places]
        if not used:
            return self._zero.expand(-1, rows)
        gates = self._gathered()
        weights = self._zero.new_zeros(len(self._zero), rows, self._count)
        for A, first in used:
            weights[..., first : first + A.shape[-1]] = A
        ball = pad(self.zonotopes.ball, (1, gates.place.shape[-1] - 1 - self.zonotopes.ball.shape[-1]))
        each = zip(weights, gates.place, gates.value, gates.bend, ball, strict=True)
        won = [_won(*one) for one in each]
        return torch.stack(won).nan_to_num(nan=0.0, posinf=0.0).clamp_min(0.0)

    def _gathered(self) -> _Gates:
        if self._all is None or self._all.place.shape[1] < self._count:
            size = max(site.place.shape[-1] for site in self._sites)
            parts = max(site.place.shape[-2] for site in self._sites)

            def wide(t: Tensor, last: int, more: int) -> Tensor:
                return pad(t, (0, last - t.shape[-1], 0, more)) if more else pad(t, (0, last - t.shape[-1]))

            self._all = _Gates(
                torch.cat([wide(s.place, size, parts - s.place.shape[-2]) for s in self._sites], 1),
                torch.cat([s.value for s in self._sites], -1),
                torch.cat([wide(s.bend, parts, 0) for s in self._sites], 2),
            )
        return self._all


def _won(weights: Tensor, place: Tensor, value: Tensor, bend: Tensor, ball: Tensor) -> Tensor:
    """What rows [R] win back with coefficients `weights` [R, U], from U gates at `place` [U, m, G] with
    `value` [2, U] and `bend` [2, U, m]; entries of z in the `ball` [G] have a Euclidean norm of at most 1."""
    used = (weights != 0).any(0)
    if not bool(used.any()):
        return torch.zeros_like(weights[:, 0])
    weights, place, value, bend = weights[:, used], place[used], value[:, used], bend[:, used]
    needed = (place != 0).any(0).any(0)
    columns = torch.cat([torch.nonzero(needed & ball)[:, 0], torch.nonzero(needed & ~ball)[:, 0]])
    place, tied = place[..., columns], int((needed & ball).sum())
    place = pad(place, (0, LANES - place.shape[-1] % LANES)).contiguous()  # one at least
    worth = torch.where(weights > 0, value[0], value[1]) * weights.abs()
    count = min(HEAVIEST, len(place), max(1, round(SHARED / len(weights) ** 0.5)))
    worth, heaviest = worth.topk(count, -1)
    weights = weights.gather(-1, heaviest)
    omega = torch.where(weights.unsqueeze(-1) > 0, bend[0][heaviest], bend[1][heaviest])
    omega = omega * weights.abs().unsqueeze(-1)
    scale = worth[:, :1].clamp_min(TINY)
    worth, omega = worth / scale, omega / scale.unsqueeze(-1)
    heavy = worth > FAINT
    worth, omega = worth.masked_fill(~heavy, 0.0), omega.masked_fill(~heavy.unsqueeze(-1), 0.0)
    chunk = max(1, TOGETHER // (heaviest.shape[1] * place.shape[1] * place.shape[2]))
    parts = zip(heaviest.split(chunk), omega.split(chunk), worth.split(chunk), strict=True)
    return torch.cat([_balance(place, tied, *part) for part in parts]) * scale[:, 0]


def _balance(place: Tensor, tied: int, pick: Tensor, omega: Tensor, value: Tensor) -> Tensor:
    """The same [R] for k gates `pick` [R, k] of its own for every row, with ω = `omega` [R, k, m] and `value`
    [R, k]; the first `tied` entries of z are in a ball."""
    scaled = _compiled if FUNCTIONS and place.device.type == "cpu" else _scaled
    keep, products, total = scaled(place, tied, pick, omega.float().sqrt(), value.float())
    won = value.masked_fill(~keep, 0.0).sum(-1) * (1 - SLIP)
    return won - (1 + TAU) * most(products, total, place.shape[-1])


def _scaled(
    place: Tensor, tied: int, pick: Tensor, root: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Which gates count [R, k]; for the vectors root·place of these, and zero for the others, a good scaling
    D, ΣD [R], and the scalar products of the vectors over √D [R, k·m, k·m]."""
    parts = place.shape[1]
    vectors = (place[pick] * root.unsqueeze(-1)).flatten(1, 2)
    keep = value > 0
    V = _start(place.shape[-1]).to(place.device).expand(len(pick), -1, -1)
    D = torch.zeros_like(vectors[:, 0])
    for step in range(ROUNDS):
        seen = V @ vectors.mT
        if step == LEAVING:
            keep = keep & (seen.square().sum(1).unflatten(-1, (-1, parts)).sum(-1) < value)
            kept = keep.repeat_interleave(parts, -1)
            seen, vectors = seen * kept.unsqueeze(1), vectors * kept.unsqueeze(-1)
        pulled = seen @ vectors
        squares = pulled.square().sum(1)  # `norm` takes ten times as long
        squares[:, :tied] = squares[:, :tied].sum(-1, keepdim=True)
        D = squares.sqrt()
        V = pulled / D.clamp_min(TINY).unsqueeze(1)
    D = D + LEAST * D.mean(-1, keepdim=True) + TINY
    vectors = vectors * D.rsqrt().unsqueeze(1)
    return keep, vectors @ vectors.mT, D[:, max(tied - 1, 0) :].double().sum(-1)


def _compiled(
    place: Tensor, tied: int, pick: Tensor, root: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same by `c/balance.c`."""
    rows, k, m = root.shape
    n = place.shape[-1]
    keep = torch.empty(rows, k, dtype=torch.bool)
    products, total = root.new_empty(rows, k * m, k * m), root.new_empty(rows, dtype=torch.float64)
    space = root.new_empty((k * m + 4 + 2 * COLUMNS) * n)
    order, start = torch.empty(k * m, dtype=torch.int64), _start(n)
    pick, root, value = (t.contiguous() for t in (pick, root, value))
    FUNCTIONS[torch.float32](
        place.data_ptr(), m, n, tied, pick.data_ptr(), root.data_ptr(), value.data_ptr(), rows, k,
        start.data_ptr(), ROUNDS, LEAVING, LEAST, space.data_ptr(), order.data_ptr(),
        keep.data_ptr(), products.data_ptr(), total.data_ptr(),
    )  # fmt: skip
    return keep, products, total


def most(products: Tensor, total: Tensor, entries: int) -> Tensor:
    """At least max Σⱼ (vⱼ·z)² over |zᵢ| ≤ 1 [R], for scalar products [R, k, k] of vectors of so many
    `entries` over the roots of any D > 0, whose sum is `total` [R]; entries are up to relatively 16u,
    products up to γ. With more entries than that says anything for, it is infinite."""
    slip = relative_margin(entries + 64, torch.float32)
    if slip > 0.5:
        return torch.full_like(total, torch.inf)
    trace = products.diagonal(dim1=1, dim2=2).double().sum(-1) * (1 + slip)
    return (_norm(products) + slip * trace + TINY) * total * (1 + SLIP)


def _norm(B: Tensor) -> Tensor:
    """At least the norms [R] of matrices B [R, k, k], float32.

    With Pᵢ of Frobenius norm 1 and Q = fl(PᵢᵀPᵢ): ‖Pᵢ‖² ≤ ‖Q‖ + γ, and Pᵢ₊₁ = Q / ‖Q‖_F up to 2u in the norm,
    which `slip`, more than 2γ, has room for."""
    slip = relative_margin(B.shape[-1], torch.float32)
    sizes = []
    for step in range(SQUARINGS + 1):
        if step:
            B = B.mT @ B
        size = torch.linalg.vector_norm(B, dim=(1, 2), dtype=torch.float64).clamp_min(TINY)
        sizes.append(size * (1 + 1e-6))
        B = B / size.float()[:, None, None]
    found = torch.ones_like(sizes[0])
    for size in reversed(sizes[1:]):
        found = (size * found + slip).sqrt()
    return found * sizes[0]


@cache
def _start(size: int) -> Tensor:
    """V [COLUMNS, size] to begin with."""
    generator = torch.Generator().manual_seed(0)
    return normalize(torch.randn(COLUMNS, size, generator=generator), dim=0).contiguous()
