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
from tests.verifier import networks
from tests.verifier.networks import NETWORKS, write_network
from verifier import zonotope
from verifier.arithmetic import Arithmetic
from verifier.bounds import Bounds
from verifier.evaluator import Evaluator
from verifier.halfspace import Halfspace
from verifier.program import compile_program
from verifier.region import ball_region
from verifier.zonotope import Zonotope, ZonotopePass


def _outside(name: str, folder: Path, eps: float, monkeypatch: pytest.MonkeyPatch, cut: float = 0.0) -> float:
    """By how much outputs at points of a region leave, in some direction, what the zonotope of all outputs
    says of these points; in units of its width. With `cut`, they are near a corner, behind a half-space."""
    passes: list[ZonotopePass] = []
    begin = ZonotopePass.__init__

    def kept(self: ZonotopePass, *arguments: object) -> None:
        begin(self, *arguments)  # pyright: ignore[reportArgumentType]
        passes.append(self)

    monkeypatch.setattr(ZonotopePass, "__init__", kept)
    graph = read_onnx(write_network(name, folder))
    size = networks.FRAMES * networks.FEATURES
    data = torch.as_tensor(np.random.default_rng(1).normal(size=(1, size)).astype(np.float32))
    region, program = ball_region(data, eps, torch.inf), compile_program(graph)
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.rand(200, size, generator=generator, dtype=torch.float64) - 1
    z[::2] = z[::2].sign()
    middle, radius = region.middle[0], (region.upper - region.lower)[0] / 2
    if cut:
        normal = torch.randn(1, size, generator=generator, dtype=torch.float64)
        normal[:, 0] *= 1e-3  # one that stays in its box
        away = torch.rand(200, size, generator=generator, dtype=torch.float64) > (1 + cut) / 2
        z[::2] = (normal.sign() * (2 * away - 1))[::2]  # corners, some of their entries away from the lowest
        z[1::2] = (normal.sign() * ((1 + z) * (1 - cut) - 1))[1::2]
        height = (normal * radius * z).sum(-1)
        z = z[height <= height.median()]
        constant = -(normal @ (middle + radius * z).T).amax(-1)
        region = region.within(Halfspace(normal, constant))
    Bounds(program, region, Arithmetic(deployed=False), corners=True, joint=True)
    rules = passes[0].rules
    assert bool(rules.ball.any()) == bool(cut)
    inputs = rules.inputs(0, size)
    place = ((middle + z * radius) - inputs.centre[0]) / inputs.generators[0].diagonal()
    assert bool((place[:, ~rules.ball[0]].abs() <= 1 + 1e-9).all())
    sizes = place[:, rules.ball[0]].square().sum(-1)
    assert bool((sizes <= 1 + 1e-9).all())
    assert not cut or float(sizes.max()) > 0.9  # the ball is no larger than it needs to be
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


@pytest.mark.parametrize("cut", [0.4, 0.7, 0.95])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh"])
def test_they_do_behind_a_half_space(
    name: str, cut: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _outside(name, tmp_path, 0.3, monkeypatch, cut) <= 1e-9


def test_generators_that_are_too_short_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closer(*arguments: Any) -> Parallel:
        found = parallel(*arguments)
        apart = 0.45 * (found.upper_offset - found.lower_offset)
        return Parallel(found.slope, found.lower_offset + apart, found.upper_offset - apart)

    monkeypatch.setattr(zonotope, "parallel", closer)
    assert _outside("rnn_tanh", tmp_path, 0.6, monkeypatch) > 1e-3
