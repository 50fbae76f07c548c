"""Single points of a region: its far ends, the nearest to a given point, random ones, float32 ones.

Points are [B, n], one for each instance; `region.repeat(k)` makes room for k of each. What is
computed here may miss the region by a rounding error: `to_float32` and `Region.contains` have the last word.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from verifier.dual import maximiser, norm
from verifier.region import Region


def center(region: Region) -> Tensor:
    """The data point itself where there is a ball, else the middle of the box."""
    if region.ball is None:
        return region.middle
    return torch.where(region.ball.group >= 0, region.ball.center, region.middle)


def corner(region: Region, direction: Tensor) -> Tensor:
    """A point where direction·x is largest. Entries of direction 0 stay at the center."""
    origin = center(region)
    farthest = torch.where(direction > 0, region.upper, region.lower)
    farthest = torch.where(direction == 0, origin, farthest)
    ball = region.cutting_ball
    if ball is None:
        return farthest
    reach = ball.gather((farthest - origin).abs())
    steps = maximiser(ball.gather(direction.abs()), reach, ball.radius, ball.p)
    moved = origin + direction.sign() * ball.scatter(steps, torch.zeros_like(origin))
    return torch.where(ball.group >= 0, moved, farthest).clamp(region.lower, region.upper)


def project(region: Region, x: Tensor) -> Tensor:
    """The nearest point for boxes and p = 2; for other balls x cut to the box and drawn to the center."""
    cut = x.clamp(region.lower, region.upper)
    ball = region.cutting_ball
    if ball is None:
        return cut
    offset = ball.gather(cut - ball.center)
    length = norm(offset.abs(), ball.p)
    if ball.p == 2:
        # min ‖d − y‖², −down ≤ d ≤ up, ‖d‖ ≤ r has |d| = min(m, |y|/μ): the form of the maximiser of |y|·t.
        y = ball.gather(x - ball.center)
        m = torch.where(
            y > 0, ball.gather(region.upper - ball.center), ball.gather(ball.center - region.lower)
        )
        inside = y.sign() * maximiser(y.abs(), m, ball.radius, 2.0)
    else:
        inside = offset * (ball.radius / length.clamp(min=torch.finfo(x.dtype).tiny)).unsqueeze(-1)
    offset = torch.where((length > ball.radius).unsqueeze(-1), inside, offset)
    return ball.scatter(offset + ball.gather(ball.center), cut).clamp(region.lower, region.upper)


def sample(region: Region, generator: torch.Generator) -> Tensor:
    """A random point, denser towards the border; `generator` lives on the CPU, so that a seed means the same
    points on every device.
    """
    shape = region.lower.shape
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64).to(region.lower)
    box = region.lower + (region.upper - region.lower) * uniform
    ball = region.cutting_ball
    if ball is None:
        return box
    noise = torch.randn(shape, generator=generator, dtype=torch.float64).to(region.lower)
    if ball.p < 2:  # the smaller p, the more of the ball lies near its axes
        noise = noise * noise.abs() ** (2 / ball.p)
    offset = ball.gather(noise)
    length = norm(offset.abs(), ball.p).clamp(min=torch.finfo(box.dtype).tiny)
    share = torch.rand(ball.radius.shape, generator=generator, dtype=torch.float64).to(box) ** 0.25
    scaled = offset * (share * ball.radius / length).unsqueeze(-1)
    return project(region, ball.scatter(scaled + ball.gather(ball.center), box))


def to_float32(region: Region, x: Tensor) -> Tensor:
    """x rounded to float32 towards the center, which stays in the region if x and a float32 center lie in it.

    A box may hold no float32 number at all, and x may be outside: check with `Region.contains`.
    """
    x, middle = x.double(), center(region).double()
    rounded = x.float()
    overshot = (rounded.double() - middle).abs() > (x - middle).abs()
    rounded = torch.where(overshot, torch.nextafter(rounded, middle.float()), rounded)
    exact = rounded.double()
    above = torch.nextafter(rounded, torch.full_like(rounded, math.inf))
    below = torch.nextafter(rounded, torch.full_like(rounded, -math.inf))
    return torch.where(
        exact < region.lower.double(), above, torch.where(exact > region.upper.double(), below, rounded)
    )
