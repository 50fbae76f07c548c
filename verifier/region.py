"""The set of inputs a statement is about: a box, or Lp balls cut by a box.

The network's inputs are flattened and joined, in the order of `graph.inputs`, to one vector of n entries;
B instances stand in front. A region is the set of *real* vectors described by the float numbers stored here.
`verifier.points` has the ways to get at single points of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from parsers.errors import BadInput
from verifier.ball import Ball, Groups, outward, step
from verifier.dual import relative_margin, unclipped_value, upper_value


@dataclass(frozen=True, eq=False)
class Region:
    """{x : lower ≤ x ≤ upper, x in `ball`} for each of B instances; `lower`, `upper` [B, n].

    An entry with lower = upper is fixed. The box is the tightest around ball ∩ box, rounded outward, and the
    ball's center lies in it. Make regions with `box_region` and `ball_region`, which see to that.
    """

    lower: Tensor
    upper: Tensor
    ball: Ball | None = None

    def minimum(self, rows: Tensor, start: int = 0) -> Tensor:
        """A lower bound [B, R] of min A·x over the region, for `rows` A [B, R, n]; differentiable in A. With
        fewer columns than n, the rows are those of the entries from `start` on, and zero for the others.

        The exact minimum but for an outward rounding margin. With x = base + d,

            min A·x  ≥  A·base − Σ_box |Aᵢ|·radᵢ − Σ_g value(|A_g|, m_g, radius_g)        (verifier.dual)

        where base is the middle of the box for entries that only the box constrains, and the ball's center
        for the others, which can go mᵢ against the sign of Aᵢ before they leave the box. Every sum of n
        products errs by at most γ·Σ|products|, γ = relative_margin(n): so γ·|baseᵢ| is added to radᵢ, and
        the other terms, which have one sign, are increased by the factor 1 + γ.

        In float32 on a GPU this needs the default `torch.set_float32_matmul_precision("highest")`.
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
        return Region(self.lower[indices], self.upper[indices], ball)

    def repeat(self, count: int) -> Region:
        """Every instance `count` times in a row."""
        return self.select(torch.arange(len(self), device=self.lower.device).repeat_interleave(count))

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Region:
        """The region on another device and in another precision: rounding only ever enlarges it."""
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
    cannot move at all (`verifier.frames` makes it); without it all entries share one.

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
            raise BadInput(f"--clip {low:g} {high:g}: the first number must not exceed the second")
        if bool(outside.any()):
            value = float(x[outside][0])
            raise BadInput(f"the data leave the range of --clip {low:g} {high:g}: one value is {value:.9g}")
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
        raise BadInput("the chosen frames and features leave no input that may change")
