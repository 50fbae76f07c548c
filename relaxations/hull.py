"""The minimum-volume problem in one unknown over finitely many points: the upper hull at one place m.

The best line at m passes through two points of the graph, one on each side of m; of all such pairs it takes
the one whose chord is highest at m.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Hull(NamedTuple):
    """`slope` [*M] of the line, and the two `contacts` [*M] where it touches, left and right of m."""

    slope: Tensor
    contacts: tuple[Tensor, Tensor]


def hull(places: Sequence[Tensor], values: Sequence[Tensor], target: Tensor) -> Hull:
    """Two sets of points (places, values), each [*M, G]: the left one ≤ target [*M], the right one ≥ it."""
    x, g = (side[0][..., None, :] for side in (places, values))
    y, h = (side[1][..., :, None] for side in (places, values))
    m = target[..., None, None]
    # a pair with an end at m itself would touch there, but with any slope
    heights = torch.where((x < m) & (m < y), (g * (y - m) + h * (m - x)) / (y - x), -torch.inf)
    index = heights.flatten(-2).argmax(-1, keepdim=True)
    count = x.shape[-1]
    pairs = index % count, index.div(count, rounding_mode="floor")
    (x, g), (y, h) = (
        (place.gather(-1, pair)[..., 0], value.gather(-1, pair)[..., 0])
        for place, value, pair in zip(places, values, pairs, strict=True)
    )
    return Hull((h - g) / (y - x), (x, y))
