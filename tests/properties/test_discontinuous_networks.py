"""Networks that jump (comparisons, choices, casts to integers): bounds that a search cannot leave."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from parsers.ir import Graph
from tests.support.bound_search import smallest_found
from tests.support.networks.handmade import Builder
from verifier.attack.objectives import attack_margins
from verifier.bounds.region_bounds import bound_region
from verifier.network.evaluator import Evaluator
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import box_region

SIZE = 4


def network(kind: str, seed: int) -> Graph:
    """x → W₁x + b, jumps, tanh of it → W₂ of that."""
    rng = np.random.default_rng(seed)
    net = Builder(kind, {"x": (1, SIZE)})
    weights = net.constant("W1", np.round(2 * rng.normal(size=(SIZE, SIZE))) / 2)
    half = net.constant("half", np.full((1, SIZE), 0.5))
    a = net.node("matmul", "x", weights)
    if kind == "less":
        jumped = net.node("less", half, a)
    elif kind == "equal":
        jumped = net.node("equal", half, "x")
    elif kind == "where":
        jumped = net.node("where", net.node("less", a, "x"), net.node("tanh", a), half)
    else:
        jumped = net.node("trunc", net.node("mul", a, half), limit=2.0**31)
    mixed = net.node("matmul", jumped, net.constant("W2", rng.normal(size=(SIZE, SIZE))))
    return net.graph(net.node("add", net.node("tanh", mixed), net.node("mul", jumped, half)))


@pytest.mark.parametrize("kind", ["less", "equal", "where", "trunc"])
@pytest.mark.parametrize("radius", [0.0, 0.1, 1.0, 4.0])
def test_bounds_hold(kind: str, radius: float) -> None:
    eye = torch.eye(SIZE, dtype=torch.float64)
    rows = torch.cat([eye, -eye])[None].expand(3, -1, -1)
    for seed in range(3):
        graph = network(kind, seed)
        rng = np.random.default_rng(seed)
        center = torch.as_tensor(np.round(2 * rng.normal(size=(3, SIZE))) / 2)  # right on jumps
        region = box_region(center - radius, center + radius)
        bounds = bound_region(compile_program(graph), region, RoundingModel()).minimum(Objective(rows))
        found = smallest_found(graph, region, rows, seed)
        assert torch.isfinite(bounds).all()
        assert (bounds <= found).all()


def test_the_search_would_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a step that is 1 at most a quarter as often, bounds at jumps are left."""
    from relaxations.gates import steps

    graph = network("less", 0)
    region = box_region(-torch.ones(1, SIZE).double(), torch.ones(1, SIZE).double())
    rows = torch.cat([torch.eye(SIZE).double(), -torch.eye(SIZE).double()])[None]
    right = steps._step_support
    monkeypatch.setitem(
        right.__globals__, "_level", lambda value, *rest: steps.Support(0.25 * value + 0 * rest[0], rest[2])
    )
    bounds = bound_region(compile_program(graph), region, RoundingModel()).minimum(Objective(rows))
    assert not (bounds <= smallest_found(graph, region, rows)).all()


def test_an_attack_needs_no_gradient() -> None:
    net = Builder("jump", {"x": (1, 2)})
    graph = net.graph(net.node("step", "x"))
    region = box_region(-torch.ones(1, 2).double(), torch.ones(1, 2).double())
    assert attack_margins(Evaluator(graph), region, torch.tensor([0])).lowest <= 0
