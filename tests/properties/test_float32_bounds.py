"""Bounds computed in float32 hold too, and cost little tightness; without their margin they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import verifier.network.rounding
from parsers import read_onnx
from parsers.ir import Graph
from tests.support.bound_search import smallest_found
from tests.support.bounding import optimise_slopes
from tests.support.networks.classifiers import CLASSES, FEATURES, NETWORKS, STEPS, write_network
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import Bounds, bound_region
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import Region, ball_region

SINGLE, DOUBLE = torch.float32, torch.float64
SIGNS = torch.cat([torch.eye(CLASSES), -torch.eye(CLASSES)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def _graph(name: str, folder: Path, scale: float = 1.0, seed: int = 0) -> Graph:
    return read_onnx(write_network(name, folder, scale=scale, seed=seed))


def _region(eps: float, p: float = torch.inf, seed: int = 1, count: int = 2) -> Region:
    x = np.random.default_rng(seed).normal(size=(count, STEPS * FEATURES)).astype(np.float32)
    return ball_region(torch.as_tensor(x), eps, p)


def _bounds(graph: Graph, region: Region, dtype: torch.dtype, **options: Any) -> Bounds:
    return bound_region(
        compile_program(graph, dtype=dtype),
        region.to("cpu", dtype),
        RoundingModel(dtype, deployed=False),
        BoundOptions(**options),
    )


def _objective(region: Region, dtype: torch.dtype) -> Objective:
    return Objective(SIGNS.to(dtype).expand(len(region), -1, -1))


def _excess(graph: Graph, region: Region, lower: Tensor) -> float:
    """By how much a search in float64 gets below the bounds; negative where they hold."""
    found = smallest_found(graph, region, SIGNS.double().expand(len(region), -1, -1))
    return float((lower.double() - found).max())


@pytest.mark.parametrize("eps", [1e-6, *(pytest.param(e, marks=pytest.mark.slow) for e in (0.0, 0.05))])
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_in_float32_hold_over_the_reals(name: str, eps: float, folder: Path) -> None:
    graph, region = _graph(name, folder), _region(eps)
    bounds = _bounds(graph, region, SINGLE)
    objective = _objective(region, SINGLE)
    assert bounds.minimum(objective).dtype == SINGLE
    optimised = optimise_slopes(bounds, objective, steps=4, target=torch.inf)
    assert _excess(graph, region, optimised) <= 0


@pytest.mark.parametrize("scale", [0.01, 8.0, 100.0])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_relu"])
def test_small_and_large_weights(name: str, scale: float, folder: Path) -> None:
    graph, region = _graph(name, folder, scale), _region(1e-5)
    assert _excess(graph, region, _bounds(graph, region, SINGLE).minimum(_objective(region, SINGLE))) <= 0


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_other_norms(p: float, folder: Path) -> None:
    graph, region = _graph("gru", folder), _region(0.02, p)
    assert _excess(graph, region, _bounds(graph, region, SINGLE).minimum(_objective(region, SINGLE))) <= 0


def test_bounded_lookback(folder: Path) -> None:
    graph, region = _graph("lstm", folder), _region(1e-6)
    bounds = _bounds(graph, region, SINGLE, lookback=2)
    assert _excess(graph, region, bounds.minimum(_objective(region, SINGLE))) <= 0


@pytest.mark.parametrize("eps", [1e-3, 0.05])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "lstm_two_layers", "attention"])
def test_float32_costs_little_tightness(name: str, eps: float, folder: Path) -> None:
    graph, region = _graph(name, folder), _region(eps)
    single = _bounds(graph, region, SINGLE).minimum(_objective(region, SINGLE)).double()
    double = _bounds(graph, region, DOUBLE).minimum(_objective(region, DOUBLE))
    centre = _bounds(graph, _region(0.0), DOUBLE).minimum(_objective(region, DOUBLE))
    assert bool((double - single <= 1e-3 + 0.01 * (centre - double)).all())


def test_without_its_margin_float32_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Balls so small that only rounding is left: a bound without a margin is wrong about half of the time."""
    monkeypatch.setattr(verifier.network.rounding, "gamma", lambda _n, _unit: 0.0)
    monkeypatch.setattr("verifier.problem.region.relative_margin", lambda _n, _dtype: 0.0)
    wrong = 0
    for seed in range(3):
        graph, region = _graph("lstm", folder, seed=seed), _region(1e-9, seed=seed)
        lower = _bounds(graph, region, SINGLE).minimum(_objective(region, SINGLE))
        wrong += _excess(graph, region, lower) > 0
        if wrong:
            return
    raise AssertionError("rounding was never seen")
