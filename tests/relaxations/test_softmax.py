"""Planes of softmax and log-softmax: sound, and as tight as exponentials and a reciprocal one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from relaxations import Planes, planes
from relaxations.errors import InvalidBox
from relaxations.softmax import log_softmax, softmax

SIZES = [2, 3, 5, 10]
WIDTHS = [0.0, 1e-6, 0.1, 1.0, 5.0, 40.0, 1500.0]


def boxes(n: int, count: int, width: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centre, share = torch.rand(2, n, count, generator=generator, dtype=torch.float64)
    spread = torch.tensor([1.0, 4.0, 30.0, 1000.0], dtype=torch.float64)[torch.arange(count) % 4]
    centre = (2 * centre - 1) * spread
    return centre - 0.5 * width * share, centre + 0.5 * width * share


def violation(found: Planes, lower: Tensor, upper: Tensor, logarithm: bool) -> float:
    """Random points, corners, and signed gradient ascent from the worst."""
    generator = torch.Generator().manual_seed(1)
    share = torch.rand(lower.shape[0], 300, lower.shape[1], generator=generator, dtype=torch.float64)
    share[:, :100] = share[:, :100].round()

    def excess(share: Tensor) -> Tensor:
        x = torch.lerp(lower[:, None], upper[:, None], share)
        x = torch.minimum(torch.maximum(x, lower[:, None]), upper[:, None])
        value = torch.log_softmax(x, 0) if logarithm else torch.softmax(x, 0)  # [j, m, N]
        low, high = (
            torch.einsum("kjn,kmn->jmn", slope, x) + offset[:, None]
            for slope, offset in (
                (found.lower_slope, found.lower_offset),
                (found.upper_slope, found.upper_offset),
            )
        )
        return torch.maximum(low - value, value - high)

    worst = -float("inf")
    for _ in range(12):
        share = share.requires_grad_()
        gap = excess(share)
        worst = max(worst, float(gap.detach().max()))
        (gradient,) = torch.autograd.grad(gap.amax(0).sum(), share)
        share = (share.detach() + 0.1 * gradient.sign()).clamp(0, 1)
    return worst


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("width", WIDTHS)
def test_softmax_planes_contain_it(n: int, width: float) -> None:
    lower, upper = boxes(n, 40, width)
    found = softmax(lower, upper)
    assert all(side.isfinite().all() for side in vars(found).values())
    # torch's own softmax errs by its last places
    assert violation(found, lower, upper, False) <= 4e-16 * n


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("width", WIDTHS[:-1])
def test_log_softmax_planes_contain_it(n: int, width: float) -> None:
    lower, upper = boxes(n, 40, width)
    found = log_softmax(lower, upper)
    scale = 1 + float(torch.maximum(lower.abs(), upper.abs()).max())
    assert violation(found, lower, upper, True) <= 4e-16 * n * scale


def composed(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Heights at the centre [n, N] of planes of softmax by planes of exp and of the reciprocal."""
    n = len(lower)
    centre = 0.5 * (lower + upper)
    heights = []
    for j in range(n):
        others = [k for k in range(n) if k != j]
        low, high = lower[others] - upper[j], upper[others] - lower[j]
        middle = centre[others] - centre[j]
        found = planes("exp", low[None], high[None], lean=(0.0,))
        s_low, s_high = (
            1 + (slope[0] * middle + offset).sum(0)
            for slope, offset in (
                (found.lower_slope, found.lower_offset),
                (found.upper_slope, found.upper_offset),
            )
        )
        whole = 1 + torch.exp(low).sum(0), 1 + torch.exp(high).sum(0)
        turned = planes("reciprocal", whole[0][None], whole[1][None], lean=(0.0,))
        below = turned.lower_slope[0] * s_high + turned.lower_offset
        above = turned.upper_slope[0] * s_low + turned.upper_offset
        heights.append(torch.stack([below, above]))
    below, above = torch.stack(heights, 1)
    return below, above


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("width", [0.1, 1.0, 4.0])
def test_softmax_is_no_wider_than_its_parts(n: int, width: float) -> None:
    """At the centre of every box, and narrower on average."""
    lower, upper = boxes(n, 40, width, seed=2)
    lower, upper = (side[:, torch.arange(40) % 4 < 2] for side in (lower, upper))  # logits within ±4
    centre = 0.5 * (lower + upper)
    found = softmax(lower, upper)
    low = (found.lower_slope * centre[:, None]).sum(0) + found.lower_offset
    high = (found.upper_slope * centre[:, None]).sum(0) + found.upper_offset
    below, above = composed(lower, upper)
    ours, theirs = high - low, above - below
    assert (ours <= theirs * (1 + 1e-6) + 1e-9).all()
    assert (ours / theirs).mean() < 0.95


def test_a_wrong_plane_is_caught() -> None:
    lower, upper = boxes(4, 40, 1.0)
    found = softmax(lower, upper)
    gap = 0.1 * ((found.upper_slope - found.lower_slope) * (0.5 * (lower + upper))[:, None]).sum(0)
    gap = gap + 0.1 * (found.upper_offset - found.lower_offset)
    broken = Planes(found.lower_slope, found.lower_offset, found.upper_slope, found.upper_offset - gap)
    assert violation(broken, lower, upper, False) > 1e-6


def test_boxes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidBox, match="finite lower ≤ upper"):
        softmax(torch.ones(3, 1), torch.zeros(3, 1))
