"""What gates cannot lose together: bounds against points, wrong ones caught."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from parsers import read_onnx
from parsers.ir import Graph
from tests.support.bound_search import smallest_found
from tests.support.networks import classifiers
from tests.support.networks.classifiers import NETWORKS, write_network
from verifier.bounds import multi_neuron as module
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import bound_region
from verifier.network.evaluator import Evaluator
from verifier.network.program import Block, compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.budget import Budget
from verifier.problem.halfspace import Halfspace
from verifier.problem.method import Method
from verifier.problem.question import Objective
from verifier.problem.region import Region, ball_region
from verifier.problem.settings import Settings
from verifier.proof.prover import Prover
from verifier.proof.results import MarginBounds

REAL = RoundingModel(deployed=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def _posed(name: str, folder: Path, eps: float, count: int = 2) -> tuple[Graph, Block, Region, Objective]:
    graph = read_onnx(write_network(name, folder))
    size = classifiers.STEPS * classifiers.FEATURES
    data = np.random.default_rng(1).normal(size=(count, size)).astype(np.float32)
    region = ball_region(torch.as_tensor(data), eps, torch.inf)
    rows = torch.cat([torch.eye(classifiers.CLASSES), -torch.eye(classifiers.CLASSES)]).double()
    return graph, compile_program(graph), region, Objective(rows.expand(count, -1, -1))


@pytest.mark.parametrize("eps", [1e-4, 0.05, 0.6])
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_contain_what_search_finds(name: str, eps: float, folder: Path) -> None:
    graph, program, region, objective = _posed(name, folder, eps)
    lower = bound_region(program, region, REAL, BoundOptions(octagon=True, multi_neuron=True)).minimum(
        objective
    )
    found = smallest_found(graph, region, objective.outputs)
    assert bool((lower <= found + 1e-12).all()), f"left by {float((lower - found).max()):.3g}"


@pytest.fixture
def wide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Networks of many units and inputs."""
    for name, size in (("STEPS", 3), ("FEATURES", 40), ("HIDDEN", 20)):
        monkeypatch.setattr(classifiers, name, size)
    (folder / "wide").mkdir(exist_ok=True)
    return folder / "wide"


@pytest.mark.parametrize("name", ["lstm", "rnn_tanh", "lstm_two_layers"])
def test_many_gates_win_something(name: str, wide: Path) -> None:
    graph, program, region, objective = _posed(name, wide, 0.15, count=1)
    plain = bound_region(program, region, REAL, BoundOptions(octagon=True))
    together = bound_region(program, region, REAL, BoundOptions(octagon=True, multi_neuron=True))
    lower = together.minimum(objective)
    assert bool((lower > plain.minimum(objective) + 0.01).all())
    assert bool((lower <= smallest_found(graph, region, objective.outputs)).all())
    for key, (interval, _) in together.operands.items():
        before = plain.operands[key][0]
        assert float((interval.upper - interval.lower - before.upper + before.lower).sum()) <= 1e-9


@pytest.mark.parametrize("cut", [0.3, 0.8])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh"])
def test_a_half_space_counts(name: str, cut: float, wide: Path) -> None:
    """Bounds hold at points behind it, and most are higher than without."""
    graph, program, region, objective = _posed(name, wide, 0.3, count=1)
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(region.lower.shape, generator=generator, dtype=torch.float64)
    radius = (region.upper - region.lower) / 2
    z = 2 * torch.rand(4000, normal.shape[1], generator=generator, dtype=torch.float64) - 1
    z[::2] = z[::2].sign()
    z = cut * -normal.sign() + (1 - cut) * z
    x = region.middle + radius * z
    constant = -(x @ normal.T).quantile(0.5, 0)
    x = x[(x @ normal.T + constant)[:, 0] <= 0]
    values = Evaluator(graph).flat(x) @ objective.outputs[0].T
    inside = region.within(Halfspace(normal, constant))
    lower = bound_region(program, inside, REAL, BoundOptions(octagon=True, multi_neuron=True)).minimum(
        objective
    )
    without = bound_region(program, region, REAL, BoundOptions(octagon=True, multi_neuron=True)).minimum(
        objective
    )
    assert bool((lower <= values.amin(0) + 1e-12).all())
    assert float((lower - without).mean()) > 0.001


def test_gates_that_never_lose_anything_are_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One unit alone can well be where its planes touch: to forget that is wrong."""
    monkeypatch.setattr(classifiers, "HIDDEN", 1)
    (folder / "one").mkdir()
    monkeypatch.setattr(module, "least", lambda terms, *_: terms.value.sum(-1))
    graph, program, region, objective = _posed("rnn_tanh", folder / "one", 0.6)
    lower = bound_region(program, region, REAL, BoundOptions(octagon=True, multi_neuron=True)).minimum(
        objective
    )
    assert bool((lower > smallest_found(graph, region, objective.outputs) + 1e-3).any())


def test_sites_beyond_the_limit_are_left_out(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that number sites are left out, and the others still count."""
    monkeypatch.setattr(module, "GATES", 130)
    graph, program, region, objective = _posed("lstm", wide, 0.15, count=1)
    bounds = bound_region(program, region, REAL, BoundOptions(octagon=True, multi_neuron=True))
    lower = bounds.minimum(objective)
    assert bool((lower <= smallest_found(graph, region, objective.outputs)).all())
    assert bool(
        (lower >= bound_region(program, region, REAL, BoundOptions(octagon=True)).minimum(objective)).all()
    )


def _margins(folder: Path, eps: float, budget: Budget, **settings: Any) -> MarginBounds:
    graph = read_onnx(write_network("lstm", folder))
    size = classifiers.STEPS * classifiers.FEATURES
    data = torch.as_tensor(np.random.default_rng(1).normal(size=(6, size)).astype(np.float32))[[5]]
    region = ball_region(data, eps, torch.inf)
    labels = Evaluator(graph).flat(data.double()).argmax(-1)
    return Prover(graph, Settings(deployed=False, **settings)).margins(region, labels, budget)


def test_what_clipping_leaves_open_is_proved(wide: Path) -> None:
    clipped = _margins(wide, 0.11, Budget(method=Method.clip))
    together = _margins(wide, 0.11, Budget(method=Method.multi_neuron))
    assert float(clipped.lower[0]) < 0 < float(together.lower[0])
    assert together.method == "multi-neuron"
    assert together.finished
    late = _margins(wide, 0.11, Budget(method=Method.bab))  # without a time limit nobody waits for it
    assert late.method == clipped.method


def test_branching_begins_in_its_boxes(wide: Path) -> None:
    """Just beyond of what it proves, and with the time for a few parts."""
    budget = Budget(deadline=time.monotonic() + 6)
    found = _margins(wide, 0.15, budget)
    assert found.method == "bab"
    assert float(found.lower[0]) > float(_margins(wide, 0.15, Budget(method=Method.clip)).lower[0])


def test_the_deadline_ends_it_between_gates(wide: Path) -> None:
    plain = _margins(wide, 0.2, Budget(method=Method.clip))
    begun = time.monotonic()
    found = _margins(wide, 0.2, Budget(deadline=begun, method=Method.multi_neuron))
    assert time.monotonic() - begun < 5
    assert not found.finished
    found = _margins(wide, 0.2, Budget(deadline=time.monotonic() + 0.5, method=Method.multi_neuron))
    assert bool((found.lower <= 0).all())
    assert bool((plain.lower <= 0).all())


def test_float32_goes_without(wide: Path) -> None:
    found = _margins(wide, 0.11, Budget(method=Method.multi_neuron), dtype="float32")
    assert found.method == "clip"
