"""Mixtures of rows: never above the truth, and more than any row where no row alone is enough."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from parsers import read_onnx
from tests.support.bounding import repeated
from tests.support.networks.classifiers import CLASSES, FEATURES, STEPS, write_network
from verifier.bounds.region_bounds import bound_region
from verifier.network.evaluator import Evaluator
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import ball_region
from verifier.proof.refinement.mixture import mixed_minimum

REAL = RoundingModel(deployed=False)


@pytest.mark.parametrize("eps", [0.01, 0.3])
@pytest.mark.parametrize("name", ["lstm", "gru_reset_after", "rnn_relu"])
def test_some_row_is_as_far_above_at_every_point(name: str, eps: float, tmp_path: Path) -> None:
    graph = read_onnx(write_network(name, tmp_path))
    generator = torch.Generator().manual_seed(11)
    x = torch.randn(2, STEPS * FEATURES, generator=generator).double()
    rows = torch.randn(1, 4, CLASSES, generator=generator, dtype=torch.float64).expand(2, -1, -1)
    goal = torch.randn(2, 4, generator=generator, dtype=torch.float64) * 0.1
    region = ball_region(x, eps, torch.inf)
    bounds = bound_region(compile_program(graph), region, REAL)
    found = mixed_minimum(bounds, Objective(rows), goal)
    many = repeated(region, 500)
    share = torch.rand(many.lower.shape, generator=generator, dtype=torch.float64).round(decimals=0)
    outputs = Evaluator(graph).flat(many.lower + share * (many.upper - many.lower)).unflatten(0, (2, 500))
    values = outputs @ rows[0].T - goal.unsqueeze(1)
    assert bool((values.amax(-1).amin(-1) >= found).all())
    alone = (bounds.backward_minimum(Objective(rows)) - goal).amax(-1)
    assert bool((found >= alone - 1e-9).all())


def test_two_rows_prove_what_neither_does(tmp_path: Path) -> None:
    """y and −y + small: each is negative somewhere, at every point one is not."""
    graph = read_onnx(write_network("lstm", tmp_path))
    x = torch.randn(1, STEPS * FEATURES, generator=torch.Generator().manual_seed(3))
    bounds = bound_region(compile_program(graph), ball_region(x, 0.02, torch.inf), REAL)
    row = torch.zeros(1, 2, CLASSES, dtype=torch.float64)
    row[0, 0, 0], row[0, 1, 0] = 1.0, -1.0
    middle = float(Evaluator(graph).flat(x.double())[0, 0])
    least = bounds.minimum(Objective(row))[0]
    reach = 0.9 * min(middle - float(least[0]), -middle - float(least[1]))
    goal = torch.tensor([[middle, -middle - reach]], dtype=torch.float64)
    assert float((bounds.minimum(Objective(row)) - goal).max()) < 0
    assert float(mixed_minimum(bounds, Objective(row), goal)) > 0
