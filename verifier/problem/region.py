"""The set of inputs a statement is about: a box, or Lp balls cut by a box; or what a half-space leaves of it.

The network's inputs are flattened and joined, in the order of `graph.inputs`, to one vector of n entries;
B instances stand in front. A region is the set of *real* vectors described by the float numbers stored here.
`verifier.problem.points` has the ways to get at single points of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from parsers.errors import BadInput, Parameter
from relaxations.rounding import relative_margin
from verifier.problem.ball import Ball, Groups, outward, step
from verifier.problem.halfspace import Halfspace, multipliers
from verifier.problem.norms import conjugate, norm, unclipped_value, upper_value

BALL_SHARES = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True, eq=False)
class Region:
    """{x : lower ≤ x ≤ upper, x in `ball`, x in `halfspace`} for each of B instances; `lower`, `upper` [B,
    n].

    An entry with lower = upper is fixed. The box is the tightest around ball ∩ box, rounded outward, and the
    ball's center lies in it. Make regions with `box_region` and `ball_region`, which see to that. What a
    half-space leaves may be empty; only `minimum` regards it.
    """

    lower: Tensor
    upper: Tensor
    ball: Ball | None = None
    halfspace: Halfspace | None = None

    def within(self, halfspace: Halfspace | None) -> Region:
        """The same region, cut by `halfspace`, which takes the place of what cut it before."""
        return replace(self, halfspace=halfspace)

    def minimum(self, rows: Tensor, start: int = 0) -> Tensor:
        """A lower bound [B, R] of min A·x over the region, for `rows` A [B, R, n]; differentiable in A. With
        fewer columns than n, the rows are those of the entries from `start` on, and zero for the others.

        The exact minimum but for an outward rounding margin, without a half-space; with one, the best of
        `verifier.problem.halfspace`, whose multipliers count as constants for the gradient.
        """
        if self.halfspace is None:
            return self._minimum(rows, start)
        if self.cutting_ball is not None and rows.shape[-1] < self.lower.shape[1]:  # a ball ties all entries
            rows, start = pad(rows, (start, self.lower.shape[1] - start - rows.shape[-1])), 0
        plain = self._minimum(rows, start)
        cut = self._cut_minimum(rows, start, self.halfspace)
        return torch.where(cut > plain, cut, plain)

    def _cut_minimum(self, rows: Tensor, start: int, halfspace: Halfspace) -> Tensor:
        """λ·(b + min A'·x') + min (a + λ·A)·x, A' and x' being the entries that the rows leave out.

        The coefficients err by u·(|λA| + |a + λA|), the last sums by u of their terms: 4u of both covers
        that."""
        stop = start + rows.shape[-1]
        A = halfspace.normal[:, start:stop]
        rest = torch.cat([halfspace.normal[:, :start], torch.zeros_like(A), halfspace.normal[:, stop:]], -1)
        if bool(rest.any()):
            beside = self._minimum(rest.unsqueeze(1), 0).squeeze(1)
        else:
            beside = torch.zeros_like(halfspace.constant)
        reach = torch.maximum(self.lower.abs(), self.upper.abs())[:, start:stop]
        scale = ((A.abs() * reach).sum(-1) + halfspace.constant.abs() + beside.abs()).unsqueeze(1)
        best = None
        for weight in self._multipliers(rows.detach(), A, halfspace.constant + beside, start):
            weight = weight.nan_to_num(0.0, 0.0, 0.0)
            moved = rows + weight.unsqueeze(-1) * A.unsqueeze(1)
            size = (moved.detach().abs() @ reach.unsqueeze(-1)).squeeze(-1)
            size = size + weight * scale
            found = self._minimum(moved, start) + weight * (halfspace.constant + beside).unsqueeze(1)
            found = found - 2 * torch.finfo(rows.dtype).eps * size
            best = found if best is None else torch.maximum(best, found)
        assert best is not None
        return best

    def _multipliers(self, rows: Tensor, normal: Tensor, constant: Tensor, start: int) -> list[Tensor]:
        """Choices of λ [B, R]: the best one for boxes; for balls some in proportion to the rows' norms."""
        if self.cutting_ball is None:
            base, spread = (side[:, start : start + rows.shape[-1]] for side in self._base_and_spread)
            return [multipliers(rows, normal, constant, base, spread)]
        q, inverse = conjugate(self.p, rows.dtype)
        size = norm(normal.abs(), q, inverse).unsqueeze(1)
        ratio = torch.where(size > 0, norm(rows.abs(), q, inverse) / size, 0.0)
        return [share * ratio for share in BALL_SHARES]

    def _minimum(self, rows: Tensor, start: int = 0) -> Tensor:
        """`minimum` without the half-space. With x = base + d,

            min A·x  ≥  A·base − Σ_box |Aᵢ|·radᵢ − Σ_g value(|A_g|, m_g, radius_g)
            (verifier.problem.norms)

        where base is the middle of the box for entries that only the box constrains, and the ball's center
        for the others, which can go mᵢ against the sign of Aᵢ before they leave the box. Every sum of n
        products errs by at most γ·Σ|products|, γ = relative_margin(n): so γ·|baseᵢ| is added to radᵢ, and
        the other terms, which have one sign, are increased by the factor 1 + γ.

        In float32 on a GPU this needs products that round as float32 does (`check_products`).
        """
        if rows.shape[-1] < self.lower.shape[1] and self.cutting_ball is not None:
            rows = pad(rows, (start, self.lower.shape[1] - start - rows.shape[-1]))
            start = 0
        base, spread = (side[:, start : start + rows.shape[-1]] for side in self._base_and_spread)
        magnitude = rows.abs()
        result = torch.matmul(rows, base.unsqueeze(-1)) - torch.matmul(magnitude, spread.unsqueeze(-1))
        result = result.squeeze(-1) - self._underflow
        if self.cutting_ball is not None:
            result = result - self._ball_part(rows, magnitude, self.cutting_ball)
        return result

    def contains(self, x: Tensor) -> Tensor:
        """Whether x [B, n] surely lies in the region [B]: decided exactly for boxes and p = inf, in float64;
        other balls are entered only where ‖x − center‖ is below the radius by more than rounding can hide.
        """
        x = x.double()
        inside = ((x >= self.lower.double()) & (x <= self.upper.double())).all(dim=-1)
        return inside if self.ball is None else inside & self.ball.contains(x)

    def select(self, indices: Tensor) -> Region:
        """The instances at `indices`, in that order, with repetitions."""
        ball = None if self.ball is None else self.ball.select(indices)
        halfspace = None if self.halfspace is None else self.halfspace.select(indices)
        return Region(self.lower[indices], self.upper[indices], ball, halfspace)

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Region:
        """The region on another device and in another precision, without its half-space: it is only ever
        enlarged."""
        lower, upper = outward(self.lower, dtype, -1).to(device), outward(self.upper, dtype, 1).to(device)
        if self.ball is None:
            return Region(lower, upper)
        ball = self.ball.to(device, dtype)
        return Region(torch.minimum(lower, ball.center), torch.maximum(upper, ball.center), ball)

    def __len__(self) -> int:
        return self.lower.shape[0]

    @property
    def p(self) -> float:
        """The norm of the ball; inf for boxes."""
        return math.inf if self.ball is None else self.ball.p

    @property
    def cutting_ball(self) -> Ball | None:
        """The ball, if it is not a box itself."""
        return None if math.isinf(self.p) else self.ball

    @cached_property
    def middle(self) -> Tensor:
        """The middle of the box [B, n], exactly its end where the box is a point."""
        return torch.maximum(self.lower, torch.minimum(self.upper, self.lower / 2 + self.upper / 2))

    @cached_property
    def _base_and_spread(self) -> tuple[Tensor, Tensor]:
        base = self.middle
        radius = torch.maximum(step(self.upper - base, 1), step(base - self.lower, 1))
        still = self.lower == self.upper
        if self.cutting_ball is not None:
            grouped = self.cutting_ball.group >= 0
            base = torch.where(grouped, self.cutting_ball.center, base)
            still = still | grouped
        radius = torch.where(still, torch.zeros_like(radius), radius)
        margin = relative_margin(base.shape[1], base.dtype)
        return base, (radius + margin * (base.abs() + radius)) * (1 + margin)

    @cached_property
    def _underflow(self) -> Tensor:
        """What products below the smallest normal number may have lost [B, 1]."""
        largest = torch.maximum(self.lower.abs(), self.upper.abs()).amax(dim=-1, keepdim=True)
        if self.cutting_ball is not None:
            largest = torch.maximum(largest, self.cutting_ball.radius.amax(dim=-1, keepdim=True))
        return 4 * self.lower.shape[1] * torch.finfo(largest.dtype).tiny * (1 + largest)

    @cached_property
    def _reach(self) -> tuple[Tensor, Tensor, bool]:
        """How far members of the ball can go up and down in the box [B, G, S]; whether the box cuts it."""
        ball = self.ball
        assert ball is not None
        up, down = self.upper - ball.center, ball.center - self.lower
        up = ball.gather(torch.where(up > 0, step(up, 1), torch.zeros_like(up)))
        down = ball.gather(torch.where(down > 0, step(down, 1), torch.zeros_like(down)))
        free = (torch.minimum(up, down) >= ball.radius.unsqueeze(-1)) | (ball.members < 0)
        return up, down, not bool(free.all())

    def _ball_part(self, rows: Tensor, magnitude: Tensor, ball: Ball) -> Tensor:
        """Σ_g value(|A_g|, m_g, radius_g) [B, R], rounded up."""
        up, down, cuts = self._reach
        a, radius = ball.gather(magnitude), ball.radius.unsqueeze(1)
        if cuts:
            m = torch.where(ball.gather(rows) > 0, down.unsqueeze(1), up.unsqueeze(1))
            values = upper_value(a, m, radius, ball.p)
        else:
            values = unclipped_value(a, radius, ball.p)
        margin = relative_margin(values.shape[-1] + rows.shape[-1], values.dtype)
        return values.sum(dim=-1) * (1 + margin)


def check_products(device: torch.device, dtype: torch.dtype) -> None:
    """Raises `BadInput` where matrix products err by more than every margin here allows for: in float32 on a
    GPU, unless torch is set to its default, `torch.set_float32_matmul_precision("highest")`."""
    precision = torch.get_float32_matmul_precision()
    if device.type != "cpu" and dtype == torch.float32 and precision != "highest":
        raise BadInput(
            f"torch's float32 products are set to '{precision}', too coarse for proofs on {device.type}; "
            'call torch.set_float32_matmul_precision("highest"), or use float64'
        )


def box_region(lower: Tensor, upper: Tensor) -> Region:
    """The box lower ≤ x ≤ upper in float64, both [B, n] or [n].

    Raises `BadInput` for an empty or unbounded box.
    """
    low, high = torch.atleast_2d(lower).double(), torch.atleast_2d(upper).double()
    if low.shape != high.shape:
        raise BadInput(f"lower bounds are {list(low.shape)}, upper bounds {list(high.shape)}")
    if not bool((torch.isfinite(low) & torch.isfinite(high)).all()):
        raise BadInput("an input has no finite lower or upper bound; bound every input on both sides")
    if bool((low > high).any()):
        entry = int(torch.nonzero(low > high)[0, 1])
        raise BadInput(f"the lower bound of input entry {entry} lies above its upper bound")
    return Region(low, high)


def ball_region(
    x: Tensor,
    eps: float | Tensor,
    p: float,
    *,
    clip: tuple[float, float] | None = None,
    group: Tensor | None = None,
) -> Region:
    """The points within `eps` of x [B, n] in the p-norm, cut to the range `clip`; float64.

    `eps` is one number, or one per instance [B]. `group` [n] says which entries share a ball, −1 which
    cannot move at all (`verifier.robustness.perturbation` makes it); without it all entries share one.

    Raises `BadInput` for p < 1, a negative or infinite eps, data outside of `clip`, or nothing to move.
    """
    x = torch.atleast_2d(x).double()
    radius = torch.as_tensor(eps, dtype=torch.float64, device=x.device).expand(len(x))
    group = torch.zeros(x.shape[1], dtype=torch.int64) if group is None else group
    group = group.to(x.device)
    _check_ball(x, radius, p, group)
    movable = (group >= 0) & (radius > 0).unsqueeze(-1)
    lower = torch.where(movable, step(x - radius.unsqueeze(-1), -1), x)
    upper = torch.where(movable, step(x + radius.unsqueeze(-1), 1), x)
    if clip is not None:
        low, high = clip
        outside = (x < low) | (x > high)
        if not low <= high:
            raise BadInput(Parameter("clip", clip), ": the first number must not exceed the second")
        if bool(outside.any()):
            value = float(x[outside][0])
            raise BadInput(
                "the data leave the range ", Parameter("clip", clip), f": one value is {value:.9g}"
            )
        lower, upper = lower.clamp(min=low), upper.clamp(max=high)
    groups = Groups.of(group)
    radii = radius.unsqueeze(-1).expand(-1, len(groups.members))
    return Region(lower, upper, Ball(x, radii, float(p), groups))


def _check_ball(x: Tensor, radius: Tensor, p: float, group: Tensor) -> None:
    if math.isnan(p) or p < 1:
        raise BadInput(f"{p:g} is not a norm; use inf, 2, 1 or any number from 1 up")
    if not bool((torch.isfinite(radius) & (radius >= 0)).all()):
        raise BadInput("the radius must be a finite number, at least 0")
    if not bool(torch.isfinite(x).all()):
        raise BadInput("the inputs contain NaN or infinity")
    if group.shape != x.shape[1:]:
        raise BadInput(f"groups are given for {len(group)} entries; the inputs have {x.shape[1]}")
    if not bool((group >= 0).any()):
        raise BadInput("the chosen time steps and features leave no input that may change")
