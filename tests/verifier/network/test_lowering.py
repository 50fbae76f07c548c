"""What is rewritten before bounding computes the same, and bounds of it hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from parsers.ir import Graph
from tests.support.bound_search import smallest_found
from tests.support.networks.handmade import Builder
from verifier.bounds.region_bounds import bound_region
from verifier.network.evaluator import evaluate
from verifier.network.lowering import lower
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import box_region


def graph_of(op: str) -> Graph:
    name, _, classes = op.partition(" of ")
    net = Builder(op, {"x": (2, int(classes or 3))})
    if name in ("softmax", "log_softmax"):
        return net.graph(net.node(name, "x", axis=1))
    if name == "reduce_max":
        return net.graph(net.node(name, "x", axes=(1,)))
    if name == "matmul":
        return net.graph(net.node(name, "x", net.node("transpose", net.node("tanh", "x"), perm=(1, 0))))
    other = net.node("tanh", net.node("slice", "x", axis=1, start=0, stop=1, step=1))
    if name == "where":
        return net.graph(net.node("where", net.node("less", other, "x"), "x", other))
    return net.graph(net.node(name, "x", net.node("exp", other) if name == "div" else other))


OPS = ["softmax of 2", "softmax of 3", "log_softmax of 2", "log_softmax of 3", "reduce_max", "div", "matmul"]
JUMPS = ["less", "equal", "where"]


@pytest.mark.parametrize("op", OPS + JUMPS)
def test_a_rewriting_is_an_identity(op: str) -> None:
    graph = graph_of(op)
    x = np.random.default_rng(0).normal(size=(50, *graph.shape("x"))) * 3
    (wanted,) = evaluate(graph, {"x": x}).values()
    (got,) = evaluate(lower(graph), {"x": x}).values()
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("radius", [0.1, 2.0])
def test_bounds_hold(op: str, radius: float) -> None:
    graph = graph_of(op)
    size = int(np.prod(graph.shape(graph.outputs[0])))
    eye = torch.eye(size, dtype=torch.float64)
    rows = torch.cat([eye, -eye, torch.ones(1, size)])[None]
    center = torch.as_tensor(np.random.default_rng(1).normal(size=(1, int(np.prod(graph.shape("x"))))))
    region = box_region(center - radius, center + radius)
    bounds = bound_region(compile_program(graph), region, RoundingModel()).minimum(Objective(rows))
    assert torch.isfinite(bounds).all()
    assert (bounds <= smallest_found(graph, region, rows)).all()


def test_two_classes_never_overflow_and_sum_to_one() -> None:
    graph = graph_of("softmax of 2")
    far = torch.full((1, 4), 1000.0, dtype=torch.float64)
    rows = torch.tensor([[[1.0, 1.0, 0, 0], [-1.0, -1.0, 0, 0], [1.0, 0, 0, 0]]], dtype=torch.float64)
    found = bound_region(compile_program(graph), box_region(-far, far), RoundingModel()).minimum(
        Objective(rows)
    )
    torch.testing.assert_close(found, torch.tensor([[1.0, -1.0, 0.0]]).double(), atol=2e-6, rtol=0)
