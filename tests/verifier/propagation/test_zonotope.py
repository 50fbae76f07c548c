"""Zonotopes: what a network computes lies in them, the inputs' part being fixed; a wrong one is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from parsers import read_onnx
from relaxations.parallel import Parallel, parallel
from tests.support.networks import classifiers
from tests.support.networks.classifiers import NETWORKS, write_network
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import bound_region
from verifier.network.evaluator import Evaluator
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.region import ball_region
from verifier.propagation import zonotope
from verifier.propagation.zonotope import Zonotope, ZonotopePass


def _outside(name: str, folder: Path, eps: float, monkeypatch: pytest.MonkeyPatch) -> float:
    """By how much outputs at points of a region leave, in some direction, what the zonotope of all outputs
    says of these points; in units of its width."""
    passes: list[ZonotopePass] = []
    begin = ZonotopePass.__init__

    def kept(self: ZonotopePass, *arguments: object) -> None:
        begin(self, *arguments)  # pyright: ignore[reportArgumentType]
        passes.append(self)

    monkeypatch.setattr(ZonotopePass, "__init__", kept)
    graph = read_onnx(write_network(name, folder))
    size = classifiers.STEPS * classifiers.FEATURES
    data = torch.as_tensor(np.random.default_rng(1).normal(size=(1, size)).astype(np.float32))
    region, program = ball_region(data, eps, torch.inf), compile_program(graph)
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.rand(200, size, generator=generator, dtype=torch.float64) - 1
    z[::2] = z[::2].sign()
    middle, radius = region.middle[0], (region.upper - region.lower)[0] / 2
    bound_region(
        program, region, RoundingModel(deployed=False), BoundOptions(octagon=True, multi_neuron=True)
    )
    rules = passes[0].rules
    place = ((middle + z * radius) - rules.middle[0]) / rules.radius[0]
    assert bool((place.abs() <= 1 + 1e-9).all())
    outputs = rules.joined([passes[0].form(form) for form in program.outputs])
    values = Evaluator(graph).flat(middle + z * radius)
    ways = torch.randn(50, values.shape[1], generator=generator, dtype=torch.float64)
    apart = (values - _at(outputs, place, size)) @ ways.T
    rest = (ways @ outputs.generators[0, :, size:]).abs().sum(-1) + ways.abs() @ outputs.error[0]
    width = (ways @ outputs.generators[0]).abs().sum(-1) + 1e-9
    return float(((apart.abs() - rest) / width).max())


def _at(found: Zonotope, z: Tensor, size: int) -> Tensor:
    """The middle of a zonotope where the inputs are at z [P, size]."""
    return found.centre[0] + z @ found.generators[0, :, :size].T


@pytest.mark.parametrize("eps", [1e-4, 0.05, 0.6])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_stay_inside(name: str, eps: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _outside(name, tmp_path, eps, monkeypatch) <= 1e-9


def test_generators_that_are_too_short_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closer(*arguments: Any) -> Parallel:
        found = parallel(*arguments)
        apart = 0.45 * (found.upper_offset - found.lower_offset)
        return Parallel(found.slope, found.lower_offset + apart, found.upper_offset - apart)

    monkeypatch.setattr(zonotope, "parallel", closer)
    assert _outside("rnn_tanh", tmp_path, 0.6, monkeypatch) > 1e-3
