"""Single points of a region: its far ends, the nearest to a given point, random ones, representable ones.

Points are [B, n], one for each instance; `region.select` makes room for k of each. What is
computed here may miss the region by a rounding error: `Region.contains` has the last word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from parsers.ir import Value
from verifier.problem.norms import maximiser, norm
from verifier.problem.region import Region


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


def representable(region: Region, x: Tensor, inputs: Sequence[Value]) -> Tensor:
    """x rounded to numbers of the inputs' own types, towards the center; float64 tensor [B, n].

    The result lies in the region if x and a representable center do: no entry moves away from the center.
    A box may hold no representable number at all, and x may be outside: check with `Region.contains`.
    """
    parts = []
    start = 0
    origin = center(region)
    for value in inputs:
        here = slice(start, start + math.prod(value.shape))
        bounds = (region.lower[:, here], region.upper[:, here], origin[:, here])
        low, high, middle = (part.detach().double().cpu().numpy() for part in bounds)
        wanted = x[:, here].detach().double().cpu().numpy()
        parts.append(torch.from_numpy(_rounded(wanted, low, high, middle, np.dtype(value.dtype))))
        start = here.stop
    return torch.cat(parts, dim=1).to(x.device)


def _rounded(
    x: np.ndarray, low: np.ndarray, high: np.ndarray, middle: np.ndarray, dtype: np.dtype
) -> np.ndarray:
    if dtype.kind != "f":
        return np.rint(x)
    with np.errstate(
        over="ignore"
    ):  # beyond float16 the region has no representable point: infinity is outside
        y = x.astype(dtype)
        far = np.abs(y.astype(np.float64) - middle) > np.abs(x - middle)
        y = np.where(far, np.nextafter(y, middle.astype(dtype)), y)
        up, down = np.nextafter(y, dtype.type(np.inf)), np.nextafter(y, dtype.type(-np.inf))
        exact = y.astype(np.float64)
        return np.where(exact < low, up, np.where(exact > high, down, y)).astype(np.float64)
