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
    best = torch.full(rows.shape[:2], torch.inf, dtype=torch.float64)
    for instance in range(len(region)):
        one = region.select(torch.tensor([instance]))
        many = repeated(one, samples)
        span = one.upper - one.lower
        x = one.lower + span * torch.rand(samples, span.shape[1], generator=generator, dtype=torch.float64)
        x[1::2] = torch.where(torch.rand(x[1::2].shape, generator=generator) < 0.5, one.lower, one.upper)
        x = project(many, x)
        values = evaluator.flat(x) @ rows[instance].T
        best[instance] = torch.minimum(best[instance], values.min(0).values)
        start = x[values.argmin(0)]  # one start for each row
        climb = repeated(one, len(start))
        for step in range(STEPS):
            start.requires_grad_(True)
            value_now = (evaluator.flat(start) * rows[instance]).sum(-1)
            (gradient,) = torch.autograd.grad(value_now.sum() + 0 * start.sum(), start)
            best[instance] = torch.minimum(best[instance], value_now.detach())
            start = project(climb, start.detach() - span * gradient.sign() * 0.5 * 0.9**step)
    return best
