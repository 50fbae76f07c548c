"""The memory budget decides how many instances go together, and nothing else."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import verifier.bounds.on_demand
import verifier.proof.memory
from parsers import read_onnx
from parsers.ir import Graph
from tests.support.networks.classifiers import CLASSES, FEATURES, NETWORKS, STEPS, write_network
from verifier.bounds.region_bounds import Bounds, bound_region
from verifier.network.evaluator import Evaluator
from verifier.network.program import Block, compile_program
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.region import Region, ball_region
from verifier.problem.settings import Settings
from verifier.proof.memory import instance_bytes
from verifier.proof.prover import Prover

COUNT = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def _graph(name: str, folder: Path) -> Graph:
    return read_onnx(write_network(name, folder))


def _region() -> Region:
    x = np.random.default_rng(2).normal(size=(COUNT, STEPS * FEATURES)).astype(np.float32)
    eps = torch.tensor([0.001, 0.2, 0.01, 0.8, 0.03])
    return ball_region(torch.as_tensor(x), eps, torch.inf)


def _labels(graph: Graph) -> list[int]:
    return Evaluator(graph).flat(_region().middle).argmax(-1).tolist()


@pytest.mark.parametrize("method", [Method.crown, Method.alpha_crown])
@pytest.mark.parametrize("name", ["lstm", "gru_two_layers_bidirectional"])
def test_margins_do_not_depend_on_the_budget(
    name: str, method: Method, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = _graph(name, folder)
    labels = _labels(graph)
    whole = Prover(graph, Settings(slope_steps=3)).margins(_region(), labels, Budget(method=method))
    made: list[int] = []

    def counted(program: Block, region: Region, *rest: Any, **options: Any) -> Bounds:
        made.append(len(region))
        return bound_region(program, region, *rest, **options)

    monkeypatch.setattr(verifier.bounds.on_demand, "bound_region", counted)
    monkeypatch.setattr(
        verifier.proof.memory, "instance_bytes", lambda _program, _dtype: 1 << 19
    )  # two a MiB
    parts = Prover(graph, Settings(slope_steps=3, memory=1)).margins(_region(), labels, Budget(method=method))
    assert set(made) == {2, 1}  # 2 + 2 + 1
    # what is decided stops being improved, and when that is depends on who goes together
    unknown = whole.lower <= 0
    assert 0 < int(unknown.sum()) < COUNT
    if method is Method.crown:
        torch.testing.assert_close(parts.lower[unknown], whole.lower[unknown], rtol=0, atol=1e-9)
    assert (parts.lower > 0).tolist() == (whole.lower > 0).tolist()
    assert parts.method == whole.method


@pytest.mark.parametrize("name", NETWORKS)
def test_the_estimate_counts_every_network(name: str, folder: Path) -> None:
    program = compile_program(_graph(name, folder))
    double = instance_bytes(program, torch.float64)
    assert double == 2 * instance_bytes(program, torch.float32)
    assert 1 << 10 < double < 1 << 24


def test_one_instance_goes_whatever_the_budget(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier.proof.memory, "instance_bytes", lambda _program, _dtype: 1 << 60)
    graph = _graph("rnn_tanh", folder)
    found = Prover(graph, Settings(memory=1)).margins(_region(), [0] * COUNT, Budget(method=Method.crown))
    assert found.per_class.shape == (COUNT, CLASSES)


def test_instances_that_do_not_go_together_share_the_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier.proof.memory, "instance_bytes", lambda _program, _dtype: 1 << 20)
    graph = _graph("lstm", folder)
    deadlines: list[float] = []
    minimise = Prover._minimise

    def watched(self, over, objective, budget):  # type: ignore[no-untyped-def]
        deadlines.append(budget.deadline - time.monotonic())
        return minimise(self, over, objective, replace(budget, deadline=0.0))

    monkeypatch.setattr(Prover, "_minimise", watched)
    found = Prover(graph, Settings(memory=1)).margins(_region(), [0] * COUNT, Budget(time.monotonic() + 1000))
    assert len(deadlines) == COUNT
    assert deadlines[0] == pytest.approx(200, abs=20)
    assert deadlines[-1] == pytest.approx(1000, abs=20)  # nobody used their time: the last one has it all
    assert not found.finished
