"""Regions, as the tests ask for them."""

from __future__ import annotations

import torch

from verifier.problem.region import Region


def repeated(region: Region, count: int) -> Region:
    """Every instance `count` times in a row."""
    return region.select(torch.arange(len(region), device=region.lower.device).repeat_interleave(count))
