"""Try to leave a bound: random points, corners and gradient descent on the bounded quantity itself."""

from __future__ import annotations

import torch
from torch import Tensor

from parsers.ir import Graph
from tests.support.bounding import repeated
from verifier.network.evaluator import Evaluator
from verifier.problem.points import project
from verifier.problem.region import Region

SAMPLES, STEPS = 200, 40


def smallest_found(
    graph: Graph, region: Region, rows: Tensor, seed: int = 0, samples: int = SAMPLES
) -> Tensor:
    """The least values [B, R] of rows · outputs that a search finds in the region; `rows` [B, R, m]."""
    evaluator = Evaluator(graph)
    generator = torch.Generator().manual_seed(seed)
    count, R, m = rows.shape
    lower, span = region.lower[:, None], (region.upper - region.lower)[:, None]
    share = torch.rand(count, samples, region.lower.shape[1], generator=generator, dtype=torch.float64)
    x = lower + span * share
    corner = torch.rand(x[:, 1::2].shape, generator=generator) < 0.5
    x[:, 1::2] = torch.where(corner, lower, region.upper[:, None])
    x = project(repeated(region, samples), x.flatten(0, 1))
    values = evaluator.flat(x).reshape(count, samples, m) @ rows.mT  # [B, samples, R]
    best, at = values.min(1)
    x = x.reshape(count, samples, -1).gather(1, at[..., None].expand(-1, -1, x.shape[-1])).flatten(0, 1)
    inside, wide = repeated(region, R), (region.upper - region.lower).repeat_interleave(R, 0)
    for step in range(STEPS):  # downhill from the best sample of every row
        x.requires_grad_(True)
        value = (evaluator.flat(x) * rows.flatten(0, 1)).sum(-1)
        (gradient,) = torch.autograd.grad(value.sum() + 0 * x.sum(), x)
        best = torch.minimum(best, value.detach().reshape(count, R))
        x = project(inside, x.detach() - wide * gradient.sign() * 0.5 * 0.9**step)
    return best
