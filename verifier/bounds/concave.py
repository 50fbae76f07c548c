"""Least values of concave quadratic functions over a box and a half-space, from below.

Wanted is a lower bound, for |zᵢ| ≤ 1 and n·z + h ≤ 0, of

    a·z + Σⱼ max(0, valueⱼ − Σₖ ωⱼₖ·(cⱼₖ + sⱼₖ·z)²).

Any terms j may be left out; without the maximum, the others make a concave function F(z), which is least at a
corner, of which there are too many to look at.

**The bound.** Let W have the rows √ω·s and w₀ the entries √ω·c of the terms that stay. For any d > 0 is
Σdᵢ(zᵢ² − 1) ≤ 0 in the box, and γ·(n·z + h) ≤ 0 for any γ ≥ 0, so that with a' = a + γn

    F(z) ≥ Σ value + γh + a'·z − |w₀ + Wz|² + Σdᵢ(zᵢ² − 1).

Over all z this is least at a single point where K = W·d⁻¹·Wᵀ has no eigenvalue from 1 up. There it is, with
b = ½d^-½·a' and q = w₀ − W·d^-½·b,

    Σ value + γh − Σd − |b|² − qᵀ(1 − K)⁻¹q.

(With y = √d·z, B = W·d^-½: minimise |y|² + 2b·y − |w₀ + By|². Where its gradient is zero is y = Bᵀp − b for
p = w₀ + By, so p = (1 − K)⁻¹q, and the value is −|b|² − q·p.) With the best d and γ it is the bound of
semidefinite relaxation (Shor 1987): the linear function, the quadratic one and the half-space are at their
worst *together*, in the same z. Each at its own worst, they lose a multiple of that.

**d, γ and the terms** come from the other side. The dual problem takes for each zᵢ a vector vᵢ of length 1,
and for the number 1 a fixed vector e; with (NV)ᵢ = Σ ω·sᵢ·(c·e + Σ s·v) − ½a'ᵢ·e, vᵢ ← (NV)ᵢ/|(NV)ᵢ| ascends
to it (Burer & Monteiro 2003; Wang, Chang & Kolter 2017), and dᵢ = |(NV)ᵢ| is the best d where it ends. γ is
what is best for the magnitudes |(NV)ᵢ|, each in place of its square over the last one (iteratively reweighted
least squares). A term of which V makes more than it is worth is better left out. In the end d is scaled by t,
about the largest eigenvalue of K, so that 1 − K/t is positive definite: power iterations say about which.

**Rounding.** a, n, s and ω are what they are, up to relatively 16u in entries of the vectors B; those of a, n
and a' = fl(a + γn) that are rounded away can lose their magnitudes. Scalar products x·y err by `slip`·|x||y|,
so K by slip·tr K in the norm and q by less than η = slip·(|w₀| + √tr K·|b|). With σ instead of qᵀ(1 − K)⁻¹q
the bound is right if

    ( 1     qᵀ/√σ )
    ( q/√σ  1 − K )

is positive semidefinite. What is computed of it errs by slip·tr K + η/√σ in the norm. If Cholesky's method
gets to its end on it, less ε on the diagonal, in double precision, then no eigenvalue of it is below ε − δ,
δ = γₖ₊₁·trace (Rump 2006). So ε is all three together, with |q|² in the place of σ, which is not less.

Everything else is summed in double precision, at most `MOST` terms at once, in any order: γ is then below
5·10⁻¹², and 10⁻¹¹ of what is summed up covers it twice, 1 + 10⁻⁹ more than that. ε is made of a dozen
operations, which 1.01 covers many times over.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from relaxations.kernels.kernel import POINTER, REAL, SINGLE, SIZE, Functions, Kernel, on_cpu
from relaxations.rounding import relative_margin

TOGETHER = 1 << 20  # entries of vectors that torch works on at once: they stay in the processor's cache
COLUMNS = 4  # of Vᵀ
LANES = 8  # entries that C takes at a time
ROUNDS = 10  # of the ascent,
LONG = 30  # and for so `FEW` rows
FEW = 16
LEAVING = 2  # the round after which terms are left out
POWERS = 6  # iterations
ABOVE = (1.01, 1.05, 1.3)  # times the largest eigenvalue that they have found is t
LEAST = 1e-2  # of the mean of d: less does not pay
MOST = 40_000  # entries of a row; of longer ones nothing is proved
TINY = 1e-30
MIXED = (0.1, 1.0, 0.8, 0.6)  # of the columns, to begin power iterations with


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """k terms for each of R rows, out of U: `place` [U, m, G] float32 of their vectors, (c, s) over (1, z), G
    a multiple of LANES; `pick` [R, k], which ones; `omega` [R, k, m] and `value` [R, k], float64."""

    place: Tensor
    pick: Tensor
    omega: Tensor
    value: Tensor

    def roots(self) -> Tensor:
        """√ω in float32; none of an ω > 0 is lost."""
        return torch.where(self.omega > 0, self.omega.clamp_min(TINY), 0.0).float().sqrt()

    def part(self, rows: slice) -> Terms:
        return Terms(self.place, self.pick[rows], self.omega[rows], self.value[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Half:
    """normal·z + constant ≤ 0, `normal` [G] float32 with a zero in front."""

    normal: Tensor
    constant: float

    @staticmethod
    def of(normal: Tensor, constant: float) -> Half:
        """For a `normal` in float64, enlarged by what float32 leaves of it."""
        rounded = normal.float()
        lost = (normal - rounded.double()).abs().sum() * (1 + 1e-9)
        return Half(rounded.contiguous(), constant - float(lost))

    def of_entries(self, columns: Tensor, size: int) -> Half:
        """Over these entries only, the others being where they are best, and then zeros up to `size`."""
        normal = self.normal[columns[columns < len(self.normal)]]
        rest = self.normal.double().abs().sum() - normal.double().abs().sum()
        rest = rest.clamp_min(0.0) + 1e-9 * self.normal.double().abs().sum()
        return Half(pad(normal, (0, size - len(normal))).contiguous(), self.constant - float(rest))


@torch.no_grad()
def least(terms: Terms, linear: Tensor, half: Half | None = None) -> Tensor:
    """Lower bounds [R] of the least value of `linear` [R, G] · z, float64 with zeros in front, and the terms,
    over |zᵢ| ≤ 1 and the `half`-space. −∞ where nothing is proved."""
    if linear.shape[-1] > MOST:
        return torch.full_like(linear[:, 0], -torch.inf)
    a = linear.float()
    lost = (linear - a.double()).abs().sum(-1)
    keep, found = CONCAVE(terms, a, half)
    kept = terms.value.masked_fill(~keep, 0.0).sum(-1)
    rounding = 1e-11 * (kept + linear.abs().sum(-1)) + 2 * lost
    return (kept + found - rounding).nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)


def _least(terms: Terms, linear: Tensor, half: Half | None) -> tuple[Tensor, Tensor]:
    """Which terms stay [R, k]; and, of the linear function and these without their values, a lower bound
    [R]."""
    rows, k, m = terms.omega.shape
    chunk = max(1, TOGETHER // max(1, k * m * terms.place.shape[-1]))
    rounds = LONG if rows <= FEW else ROUNDS
    found = []
    for first in range(0, rows, chunk):
        part = slice(first, first + chunk)
        ascended = _ascended(terms.part(part), linear[part], half, rounds)
        found.append((ascended.keep, _bound(ascended)))
    return torch.cat([keep for keep, _ in found]), torch.cat([bound for _, bound in found])


@dataclass(frozen=True, slots=True, eq=False)
class _Ascended:
    """What the ascent leaves of R rows: `keep` [R, k]; `vectors` [R, k·m, G], those of the terms that stay,
    zero for the others; `linear` a' [R, G]; `d` [R, G], the first of no meaning; `gain` γh less rounding [R];
    `seen` [R, k·m], nearly in the eigenspace of K."""

    keep: Tensor
    vectors: Tensor
    linear: Tensor
    d: Tensor
    gain: Tensor
    seen: Tensor


def _ascended(terms: Terms, linear: Tensor, half: Half | None, rounds: int) -> _Ascended:
    m, n = terms.place.shape[1:]
    vectors = (terms.place[terms.pick] * terms.roots().unsqueeze(-1)).flatten(1, 2)
    keep = terms.value > 0
    V = _start(n).to(vectors.device).expand(len(vectors), -1, -1)
    e = torch.zeros_like(V[:1, :, :1])
    e[:, 0] = 1
    d, gamma = torch.zeros_like(linear), torch.zeros_like(linear[:, :1])
    seen = V @ vectors.mT
    for step in range(rounds):
        seen = V @ vectors.mT
        if step == LEAVING:
            keep = keep & (seen.square().sum(1).unflatten(-1, (-1, m)).sum(-1) < terms.value)
            kept = keep.repeat_interleave(m, -1)
            seen, vectors = seen * kept.unsqueeze(1), vectors * kept.unsqueeze(-1)
        pulled = seen @ vectors - 0.5 * linear.unsqueeze(1) * e
        if half is not None:
            if step:
                share = half.normal / (d + TINY)
                force = half.constant + (share * pulled[:, 0])[:, 1:].sum(-1, keepdim=True)
                weight = (share * half.normal)[:, 1:].sum(-1, keepdim=True) + TINY
                gamma = (2 * force / weight).clamp(0.0, 1e30)
            pulled = pulled - (0.5 * gamma * half.normal).unsqueeze(1) * e
        d = pulled.square().sum(1).sqrt()  # `norm` takes ten times as long
        V = torch.cat([e.expand(len(V), -1, -1), (pulled / d.clamp_min(TINY).unsqueeze(1))[..., 1:]], -1)
    moved, gain = linear, torch.zeros_like(terms.value[:, 0])
    if half is not None:
        moved = linear + gamma * half.normal
        exact = linear.double() + gamma.double() * half.normal.double()
        gain = gamma[:, 0].double() * half.constant - (exact - moved.double()).abs().sum(-1)
    d = d + LEAST * d[:, 1:].mean(-1, keepdim=True) + TINY
    weights = seen.new_tensor(MIXED)
    return _Ascended(keep, vectors, moved, d, gain, (weights[:, None] * seen).sum(1))


def _bound(row: _Ascended) -> Tensor:
    """The bounds [R] that scalings of d prove, −∞ where they prove nothing; in float64."""
    slip = relative_margin(32, torch.float32) + relative_margin(row.vectors.shape[-1], torch.float64)
    d, vectors = row.d[:, 1:].double(), row.vectors.double()
    w, B = vectors[..., 0], vectors[..., 1:] / d.sqrt().unsqueeze(1)
    b = 0.5 * row.linear[:, 1:].double() / d.sqrt()
    K, c = B @ B.mT, (B @ b.unsqueeze(-1)).squeeze(-1)
    trace = K.diagonal(dim1=1, dim2=2).sum(-1) + TINY
    total, square = d.sum(-1), b.square().sum(-1)
    size, u = torch.zeros_like(trace), row.seen.double()
    for _ in range(POWERS):
        u = (K @ normalize(u, dim=-1).unsqueeze(-1)).squeeze(-1)
        size = torch.linalg.vector_norm(u, dim=-1)
    best = torch.full_like(trace, -torch.inf)
    unit = (K.shape[-1] + 1) * relative_margin(K.shape[-1] + 1, torch.float64)
    one = torch.eye(K.shape[-1], dtype=K.dtype, device=K.device)
    for above in ABOVE:
        t = (size * above).clamp_min(1.0)
        q = w - c / t[:, None]
        scaled = t * total + square / t
        start = torch.maximum(q.square().sum(-1), 1e-6 * scaled + TINY)
        errs = slip * (torch.linalg.vector_norm(w, dim=-1) + (trace * square).sqrt() / t)
        less = 1.01 * (slip * trace / t + errs / start.sqrt()) + unit
        factor, info = torch.linalg.cholesky_ex((1 - less)[:, None, None] * one - K / t[:, None, None])
        y = torch.linalg.solve_triangular(factor, q.unsqueeze(-1), upper=False).squeeze(-1)
        lost = torch.maximum(y.square().sum(-1), start) / (1 - less) * (1 + 1e-9)
        bound = row.gain - scaled - lost - 1e-11 * (row.gain.abs() + scaled + lost)
        proves = (info == 0) & (less < 0.5) & torch.isfinite(bound) & torch.isinf(best)
        best = torch.where(proves, bound, best)
    return best


def _least_in_c(
    functions: Functions, terms: Terms, linear: Tensor, half: Half | None
) -> tuple[Tensor, Tensor] | None:
    """The same by `concave.c`."""
    if not on_cpu(terms.place):
        return None
    rows, k, m = terms.omega.shape
    n, size = terms.place.shape[-1], k * m
    keep, found = torch.empty(rows, k, dtype=torch.bool), terms.value.new_empty(rows)
    space = linear.new_empty((size + 5 + 2 * COLUMNS) * n)
    doubles, order = found.new_empty(size * (2 * size + 9)), torch.empty(size, dtype=torch.int64)
    above = torch.tensor(ABOVE, dtype=torch.float64)
    root, value = terms.roots(), terms.value.float()
    place, pick, root, value, linear, start = (
        t.contiguous() for t in (terms.place, terms.pick, root, value, linear, _start(n))
    )
    functions[0](
        place.data_ptr(),
        m,
        n,
        linear.data_ptr(),
        None if half is None else half.normal.data_ptr(),
        0.0 if half is None else half.constant,
        pick.data_ptr(),
        root.data_ptr(),
        value.data_ptr(),
        rows,
        k,
        start.data_ptr(),
        LONG if rows <= FEW else ROUNDS,
        LEAVING,
        POWERS,
        LEAST,
        relative_margin(n // LANES + LANES + 64, torch.float32),
        above.data_ptr(),
        len(ABOVE),
        space.data_ptr(),
        doubles.data_ptr(),
        order.data_ptr(),
        keep.data_ptr(),
        found.data_ptr(),
    )
    return keep, found


@cache
def _start(size: int) -> Tensor:
    """V [COLUMNS, size] to begin with: e in front, then columns of length 1."""
    generator = torch.Generator().manual_seed(0)
    V = normalize(torch.randn(COLUMNS, size, generator=generator), dim=0)
    V[:, 0] = torch.eye(COLUMNS)[0]
    return V.contiguous()


CONCAVE = Kernel(
    "concave",
    _least,
    _least_in_c,
    {
        "verifier_concave": [
            *[POINTER, SIZE, SIZE, POINTER, POINTER, REAL, *[POINTER] * 3, SIZE, SIZE],
            *[POINTER, SIZE, SIZE, SIZE, SINGLE, REAL, POINTER, SIZE, *[POINTER] * 5],
        ]
    },
)
