"""Random octagon cuts of boxes, points inside of what they leave, and the gates of two operands."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from relaxations import Octagon
from relaxations.polygons.polygon import outline
from tests.support.plane_checks import CASES

PAIRS = [case for case in CASES if case.values[0].arity == 2]  # type: ignore[union-attr]
for_every_pair = pytest.mark.parametrize(("gate", "parameters"), PAIRS)


def framed(
    lower: Tensor,
    upper: Tensor,
    sum_lower: Tensor,
    sum_upper: Tensor,
    difference_lower: Tensor,
    difference_upper: Tensor,
) -> Octagon:
    """Octagons in the frames of boxes [k, *S] themselves; bounds [k − 1, *S]."""
    sides = sum_lower, sum_upper, difference_lower, difference_upper
    return Octagon(0.5 * (lower + upper), 0.5 * (upper - lower), *sides)


def cuts(lower: Tensor, upper: Tensor, seed: int = 0, least: float = 0.0) -> Octagon:
    """Cuts of every depth, `least` of it left at every corner; the centre of the box always stays."""
    generator = torch.Generator().manual_seed(seed)
    share = least + (1 - least) * torch.rand(4, 1, lower.shape[1], generator=generator, dtype=torch.float64)
    share[..., ::5] = 1.0  # nothing is cut
    if not least:
        share[0, :, 1::5] = 0.01  # a corner is nearly cut in half
    return framed(lower, upper, -2 * share[0], 2 * share[1], -2 * share[2], 2 * share[3])


def inner_points(lower: Tensor, upper: Tensor, octagon: Octagon, count: int, seed: int = 0) -> Tensor:
    """Points [2, m, n] of the polygons: of their outlines, of chords of these, and close to the edges.  They
    are drawn to the centre by more than their own rounding."""
    rim = outline(lower, upper, octagon.trimmed(lower, upper).pair(0), 4).movedim(2, 1)
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(rim.shape[1], (2, count), generator=generator)
    share = torch.rand(count, 1, generator=generator, dtype=torch.float64)
    share[::3] = share[::3] ** 8
    points = torch.cat([rim, torch.lerp(rim[:, first], rim[:, second], share)], 1)
    points = torch.lerp(points, (0.5 * (lower + upper))[:, None].expand_as(points), 1e-7)
    return torch.minimum(torch.maximum(points, lower[:, None]), upper[:, None])
