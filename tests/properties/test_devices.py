"""The same bounds on every device present, in both precisions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from parsers import read_onnx
from tests.support.bounding import optimise_slopes
from tests.support.networks.classifiers import CLASSES, FEATURES, STEPS, write_network
from verifier.bounds.region_bounds import bound_region
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import ball_region
from verifier.problem.settings import Settings
from verifier.proof.prover import Prover

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is present")
    ),
]


def _minimum(path: Path, device: str, dtype: torch.dtype, p: float, steps: int) -> Tensor:
    """Bounds [2, CLASSES] of the outputs, on the cpu; every tensor on the way must be on `device`."""
    program = compile_program(read_onnx(path), dtype=dtype, device=device)
    x = np.random.default_rng(1).normal(size=(2, STEPS * FEATURES)).astype(np.float32)
    region = ball_region(torch.as_tensor(x), 0.05, p).to(device, dtype)
    bounds = bound_region(program, region, RoundingModel(dtype))
    objective = Objective(torch.eye(CLASSES, dtype=dtype, device=device).expand(2, -1, -1))
    found = bounds.minimum(objective)
    if steps:
        found = optimise_slopes(bounds, objective, steps=steps, target=torch.inf)
    assert found.device.type == device
    assert all(site.planes.lower_slope.device.type == device for site in bounds.sites.values())
    return found.cpu().double()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("p", [torch.inf, 2.0])
@pytest.mark.parametrize("name", ["lstm", "gru_reset_after", "rnn_relu", "attention", "residual_relu"])
def test_bounds_agree_with_the_cpu(name: str, p: float, device: str, tmp_path: Path) -> None:
    path = write_network(name, tmp_path)
    here, there = (_minimum(path, where, torch.float64, p, 0) for where in ("cpu", device))
    torch.testing.assert_close(there, here, rtol=0, atol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
def test_float32_and_slopes_agree_with_the_cpu(device: str, tmp_path: Path) -> None:
    path = write_network("lstm", tmp_path)
    single = [_minimum(path, where, torch.float32, torch.inf, 0) for where in ("cpu", device)]
    torch.testing.assert_close(single[1], single[0], rtol=0, atol=1e-4)
    ascended = [_minimum(path, where, torch.float64, torch.inf, 3) for where in ("cpu", device)]
    torch.testing.assert_close(ascended[1], ascended[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_margins_on_a_device(device: str, tmp_path: Path) -> None:
    graph = read_onnx(write_network("gru", tmp_path))
    x = torch.zeros(2, STEPS * FEATURES)
    found = [
        Prover(graph, Settings(device=where, slope_steps=2)).margins(ball_region(x, 0.05, torch.inf), [0, 1])
        for where in ("cpu", device)
    ]
    assert found[1].per_class.device.type == device
    torch.testing.assert_close(found[1].per_class.cpu(), found[0].per_class, rtol=0, atol=1e-6)
