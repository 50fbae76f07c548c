"""The attack against known minima, against random search, and its promises about witnesses."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from parsers.errors import BadInput
from parsers.ir import Graph
from parsers.specification import Box, Case, LinearConstraint
from tests.support.bounding import repeated
from tests.support.networks.handmade import Builder, lstm_classifier
from verifier.attack.effort import Effort
from verifier.attack.objectives import ALL_CLASSES, attack_cases, attack_margins, attack_margins_from
from verifier.attack.pgd import Jobs
from verifier.network.evaluator import Evaluator
from verifier.problem import points
from verifier.problem.region import Region, ball_region

NORMS = [1.0, 1.5, 2.0, 3.0, math.inf]


def linear_classifier(seed: int = 0) -> Graph:
    rng = np.random.default_rng(seed)
    net = Builder("linear", {"x": (1, 2, 4)})
    weights = net.constant("W", rng.normal(size=(8, 3)))
    bias = net.constant("b", rng.normal(size=3) + 3 * np.eye(3)[0])
    return net.graph(
        net.node("add", net.node("matmul", net.node("reshape", "x", shape=(1, 8)), weights), bias)
    )


def lstm() -> Graph:
    graph = lstm_classifier(6, 3, 8, 4, seed=2)
    return replace(graph, outputs=graph.outputs[:1])


def data(graph: Graph, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points of the unit cube and the classes that the network gives them."""
    size = math.prod(graph.inputs[0].shape)
    x = torch.rand(count, size, generator=torch.Generator().manual_seed(seed)).double()
    return x, Evaluator(graph).flat(x).argmax(dim=1)


def margins(graph: Graph, x: Tensor, labels: Tensor) -> Tensor:
    y = Evaluator(graph).flat(x.double())
    own = labels.unsqueeze(1)
    return (y.gather(1, own) - y).scatter(1, own, math.inf).amin(dim=1)


@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
@pytest.mark.parametrize("p", NORMS)
def test_linear_minimum_is_reached(p: float, clip: tuple[float, float] | None) -> None:
    graph = linear_classifier()
    x, labels = data(graph, 6)
    region = ball_region(x, 0.3, p, clip=clip)
    weights, bias = (torch.tensor(graph.constants[name]) for name in ("W", "b"))
    rows = (weights.T[labels].unsqueeze(1) - weights.T.unsqueeze(0)).double()
    exact = region.minimum(rows) + bias[labels].unsqueeze(1) - bias
    exact = exact.scatter(1, labels.unsqueeze(1), math.inf).amin(dim=1)
    found = attack_margins(Evaluator(graph), region, labels, Effort(restarts=1, steps=60, enough=-math.inf))
    assert bool((found.lowest >= exact - 1e-9).all())
    assert bool((found.lowest <= exact + 0.02 * exact.abs() + 2e-3).all())


@pytest.mark.parametrize("p", NORMS)
def test_beats_random_search(p: float) -> None:
    graph = lstm()
    x, labels = data(graph, 4)
    region = ball_region(x, 0.3, p, clip=(0, 1))
    found = attack_margins(
        Evaluator(graph, dtype=torch.float32), region, labels, Effort(2, 30, enough=-math.inf)
    )
    tries = points.sample(repeated(region, 2000), torch.Generator().manual_seed(9))
    best = margins(graph, tries, labels.repeat_interleave(2000)).reshape(4, 2000).amin(dim=1)
    assert bool((found.lowest <= best + 1e-6).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", NORMS)
def test_witnesses_are_what_they_claim(p: float, dtype: torch.dtype) -> None:
    graph = lstm()
    x, labels = data(graph, 5)
    group = torch.arange(18) // 3
    group[:3] = -1
    region = ball_region(x, 0.4, p, clip=(0, 1), group=group)
    found = attack_margins(Evaluator(graph, dtype=dtype), region, labels, Effort(2, 20))
    assert bool(region.contains(found.witness).all())
    assert torch.equal(found.witness[:, :3], x[:, :3])
    assert np.array_equal(found.witness, found.witness.numpy().astype(np.float32))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(found.lowest, margins(graph, found.witness, labels), rtol=0, atol=tolerance)
    fed = found.arrays(graph.inputs, 3)["x"]
    assert fed.shape == (1, 6, 3)
    assert fed.dtype == np.float32
    assert np.array_equal(fed.reshape(-1), found.witness[3].numpy())


def test_same_seed_same_witness() -> None:
    graph = lstm()
    x, labels = data(graph, 3)
    region = ball_region(x, 0.1, 2)
    runs = [attack_margins(Evaluator(graph), region, labels, Effort(2, 10, seed=s)) for s in (5, 5, 6)]
    assert torch.equal(runs[0].witness, runs[1].witness)
    assert not torch.equal(runs[0].witness, runs[2].witness)


def test_how_many_points_move_together_changes_nothing() -> None:
    graph = lstm()
    x, labels = data(graph, 3)
    region = ball_region(x, 0.3, math.inf)
    runs = [
        attack_margins(Evaluator(graph), region, labels, Effort(1, 10, enough=-math.inf, rows=rows))
        for rows in (1, 4, 1000)
    ]
    assert runs[0].steps > runs[1].steps > runs[2].steps
    for run in runs[1:]:
        torch.testing.assert_close(run.lowest, runs[0].lowest, rtol=0, atol=1e-12)


def test_given_places_are_where_descents_begin() -> None:
    """Without a step nothing but the places and the center is seen, drawn into the region."""
    graph = lstm()
    x, labels = data(graph, 3)
    region = ball_region(x, 0.1, 2)
    places = x[[2, 0, 0]].double() + torch.tensor([[0.0], [0.01], [5.0]])
    jobs = Jobs.at(places, torch.tensor([2, 0, 0]), torch.full((3,), ALL_CLASSES))
    found = attack_margins_from(Evaluator(graph), region, labels, jobs, Effort(steps=0, enough=-math.inf))
    seen = points.project(region.select(torch.tensor([2, 0, 0])), places)
    assert bool(region.contains(found.witness).all())
    value = margins(graph, seen, labels[[2, 0, 0]])
    centers = margins(graph, x, labels)
    expected = torch.stack([torch.minimum(centers[0], value[1:].min()), centers[1], centers[2]])
    torch.testing.assert_close(found.lowest, expected, rtol=0, atol=1e-5)


def test_done_instances_stop_and_others_go_on() -> None:
    graph = lstm()
    x, labels = data(graph, 4)
    eps = torch.tensor([3.0, 1e-6, 3.0, 1e-6], dtype=torch.float64)
    region = ball_region(x, eps, math.inf)
    together = attack_margins(Evaluator(graph), region, labels, Effort(1, 40))
    assert (together.lowest < 0).tolist() == [True, False, True, False]
    easy = attack_margins(
        Evaluator(graph), region.select(torch.tensor([0, 2])), labels[[0, 2]], Effort(1, 40)
    )
    assert easy.steps < together.steps


def test_a_passed_deadline_still_answers() -> None:
    graph = lstm()
    x, labels = data(graph, 3)
    region = ball_region(x, 0.5, math.inf)
    found = attack_margins(Evaluator(graph), region, labels, Effort(100, 1000, deadline=time.monotonic()))
    assert found.steps <= 2
    torch.testing.assert_close(found.lowest, margins(graph, x, labels))


def test_a_region_without_floats_has_no_witness() -> None:
    graph = linear_classifier()
    low = torch.full((1, 8), 0.1, dtype=torch.float64)  # no float32 number
    found = attack_margins(Evaluator(graph), Region(low, low), torch.tensor([0]), Effort(1, 3))
    assert found.lowest.tolist() == [math.inf]


def test_labels_are_checked() -> None:
    graph = linear_classifier()
    region = ball_region(torch.zeros(2, 8), 0.1, 2)
    for labels in (torch.tensor([0]), torch.tensor([0, 3]), torch.tensor([-1, 0])):
        with pytest.raises(BadInput, match="one label from 0 to 2"):
            attack_margins(Evaluator(graph), region, labels)


def case(graph: Graph, constraints: list[tuple[list[float], float]], on: str | None = None) -> Case:
    """The unit cube, with `constraints` (coefficients, constant) on the output, or on the input `on`."""
    box = Box(np.zeros((1, 2, 4)), np.ones((1, 2, 4)))
    name = on or graph.outputs[0]
    rows = tuple(
        LinearConstraint({name: np.array(c, dtype=float).reshape((1, 2, 4) if on else (1, 3))}, constant)
        for c, constant in constraints
    )
    return Case({"x": box}, rows, {"x": box})


def test_cases() -> None:
    graph = linear_classifier()
    y = Evaluator(graph).flat(torch.rand(4000, 8, generator=torch.Generator().manual_seed(0)).double())
    low, high = y.amin(dim=0), y.amax(dim=0)
    first = 0.9 * float(low[0]) + 0.1 * float(high[0])
    second = float(y[y[:, 0] <= first][:, 1].median())
    impossible = float(low[0]) - 100
    cases = [
        case(graph, [([1, 0, 0], -first)]),
        case(graph, [([1, 0, 0], -first), ([0, 1, 0], -second)]),
        case(graph, [([1, 0, 0], -impossible)]),
        case(graph, [([1, 0, 0], -first), ([-1, 0, 0], first + 1e-3)]),  # a contradiction by a hair
        case(graph, [([1] * 8, -0.5)], on="x"),
        case(graph, []),
        replace(case(graph, [([1, 0, 0], -first)]), witnesses=None),
    ]
    found = attack_cases(Evaluator(graph), cases, Effort(2, 40, enough=-1e-6))
    assert (found.lowest <= 0).tolist() == [True, True, False, False, True, True, False]
    assert float(found.lowest[6]) == math.inf
    assert float(found.witness[4].sum()) <= 0.5
    outputs = Evaluator(graph).flat(found.witness)
    assert float(outputs[1, 0]) <= first
    assert float(outputs[1, 1]) <= second
    assert bool(((found.witness >= 0) & (found.witness <= 1)).all())


def test_no_case_has_witnesses() -> None:
    graph = linear_classifier()
    found = attack_cases(Evaluator(graph), [replace(case(graph, []), witnesses=None)])
    assert found.lowest.tolist() == [math.inf]


def test_nan_outputs_are_no_counterexample() -> None:
    net = Builder("log", {"x": (1, 2)})
    graph = net.graph(net.node("log", "x"))
    region = ball_region(torch.tensor([[1.0, 0.5]]), 2.0, math.inf)  # the logarithm of negative numbers
    found = attack_margins(Evaluator(graph), region, torch.tensor([0]), Effort(1, 20))
    assert math.isfinite(float(found.lowest))
    assert bool((found.witness >= 0).all())


def test_a_valley_in_a_plateau_is_seen_by_samples_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """y = 1 − 4·relu(1 − 20·Σ|x − p|) is 1, with gradient 0, but for a square of a quarter of a percent."""
    net = Builder("valley", {"x": (1, 2)})
    place = net.constant("p", np.array([[0.31, 0.83]]))
    distance = net.node("sum", net.node("abs", net.node("sub", "x", place)), axes=(1,))
    near = net.node(
        "sub", net.constant("one", np.ones(1)), net.node("mul", net.constant("k", np.full(1, 20.0)), distance)
    )
    depth = net.node("mul", net.constant("d", np.full(1, 4.0)), net.node("relu", near))
    graph = net.graph(net.node("sub", net.constant("top", np.ones(1)), depth))
    box = {"x": Box(np.zeros((1, 2)), np.ones((1, 2)))}
    row = LinearConstraint({graph.outputs[0]: np.ones(1)}, -0.5)
    cases = [Case(box, (row,), box)]
    assert float(attack_cases(Evaluator(graph), cases).lowest) < 0
    monkeypatch.setattr("verifier.attack.objectives.MOST_SAMPLES", 0)
    assert float(attack_cases(Evaluator(graph), cases).lowest) > 0
