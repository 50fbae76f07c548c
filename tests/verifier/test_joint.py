"""What gates cannot lose together: maxima against search, bounds against points, wrong ones caught."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from parsers import read_onnx
from parsers.ir import Graph
from tests.verifier import networks
from tests.verifier.breaking import smallest_found
from tests.verifier.networks import NETWORKS, write_network
from verifier import joint
from verifier.arithmetic import Arithmetic
from verifier.bounds import Bounds, Objective
from verifier.budget import Budget, Depth
from verifier.evaluator import Evaluator
from verifier.joint import most
from verifier.program import Block, compile_program
from verifier.region import Region, ball_region
from verifier.verify import MarginBounds, Settings, Verifier

REAL = Arithmetic(deployed=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


Gates = tuple[Tensor, Tensor, Tensor]  # place [U, m, G], ω [R, U, m], value [R, U]

for_both_ways = pytest.mark.parametrize(
    "scaled",
    [
        pytest.param(joint._scaled, id="torch"),  # pyright: ignore[reportPrivateUsage]
        pytest.param(
            joint._compiled,  # pyright: ignore[reportPrivateUsage]
            id="compiled",
            marks=pytest.mark.skipif(
                not joint.FUNCTIONS, reason="no compiled library: it needs a C compiler"
            ),
        ),
    ],
)


def _gates(count: int, entries: int, kind: str, parts: int = 2) -> Gates:
    """Gates with Σ|s| ≤ 1, and weights of five rows, some of them awkward."""
    generator = torch.Generator().manual_seed(count + entries)
    place = torch.randn(count, parts, entries, generator=generator)
    if kind == "alike":
        place = place[:1] + 1e-3 * place
    if kind == "sparse":
        place[..., entries // 2 :] = 0.0
        place[::2, 1:] = 0.0  # gates of one operand
    place = place / place.abs().sum(-1, keepdim=True).clamp_min(1e-9)
    weights = torch.rand(5, count, parts, generator=generator)
    weights[1] = 0.0
    weights[2, 1:] = 0.0
    weights[3] *= 10.0 ** -torch.arange(count)[:, None].clamp_max(30)
    if kind == "uneven":
        place[::2] *= 1e-6
        weights[:, ::3] *= 1e-6
    return place, weights, 0.4 * weights.sum(-1)


def _highest(place: Tensor, weights: Tensor, tied: int = 0) -> float:
    """The most of Σ ω(s·z)² that a search finds, the first `tied` entries of z being in a ball: it is convex,
    so that a corner is best."""

    def farthest(z: Tensor) -> Tensor:
        ball = z[:, :tied] / z[:, :tied].norm(dim=-1, keepdim=True).clamp_min(1e-300)
        return torch.cat([ball, z[:, tied:].sign()], -1)

    place, weights = place.double(), weights.double()
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(64, place.shape[-1], generator=generator, dtype=torch.float64)
    z = farthest(torch.cat([z, place]))  # all of one operand
    best = 0.0
    for _ in range(20):
        pulled = z @ place.T
        best = max(best, float((pulled.square() @ weights).max()))
        z = farthest((pulled * weights) @ place)
    return best


def _most(gates: Gates, scaled: Any, tied: int = 0) -> tuple[Tensor, Tensor]:
    """Which gates are kept [R, U], and the bound of what they lose [R]."""
    place, weights, value = gates
    place = torch.nn.functional.pad(place, (0, -place.shape[-1] % joint.LANES)).contiguous()
    pick = torch.arange(len(place)).expand(len(weights), -1)
    keep, products, total = scaled(place, tied, pick, weights.sqrt(), value)
    return keep, most(products, total, place.shape[-1])


@for_both_ways
@pytest.mark.parametrize("kind", ["random", "alike", "sparse", "uneven"])
@pytest.mark.parametrize("tied", [0, 1, 30])
@pytest.mark.parametrize(("count", "entries"), [(1, 1), (3, 40), (40, 3), (70, 90)])
def test_no_corner_is_above_the_bound(count: int, entries: int, tied: int, kind: str, scaled: Any) -> None:
    gates, tied = _gates(count, entries, kind), min(tied, entries)
    keep, bound = _most(gates, scaled, tied)
    for k, one in enumerate(bound):
        weights = gates[1][k] * keep[k].unsqueeze(-1)
        assert float(one) >= _highest(gates[0].flatten(0, 1), weights.flatten(), tied)
    assert float(bound[1]) < 1e-9


@for_both_ways
def test_the_bound_is_nearly_what_a_search_finds(scaled: Any) -> None:
    """Many gates are far from being at their ends together, and all of them stay."""
    place, weights, value = _gates(150, 300, "random")
    keep, bound = _most((place, weights, 10 * value), scaled)
    assert bool(keep[0].all())
    assert float(bound[0]) < 0.15 * float(weights[0].sum())
    assert float(bound[0]) < 2 * _highest(place.flatten(0, 1), weights[0].flatten())


@for_both_ways
def test_gates_that_lose_more_than_they_are_worth_go(scaled: Any) -> None:
    place, weights, value = _gates(70, 90, "random")
    value[:, ::2] *= 1e-3
    keep, bound = _most((place, weights, value), scaled)
    won = value.masked_fill(~keep, 0.0).sum(-1) - bound
    _, of_all = _most((place, weights, 1e9 * value), scaled)
    assert not bool(keep[0, ::2].any())
    assert float(won[0]) > float(value[0].sum() - of_all[0])


@pytest.mark.skipif(not joint.FUNCTIONS, reason="no compiled library: it needs a C compiler")
def test_both_ways_agree() -> None:
    one, other = (
        _most(_gates(70, 90, "random"), way, 20)
        for way in (joint._scaled, joint._compiled)  # pyright: ignore[reportPrivateUsage]
    )
    assert torch.equal(one[0], other[0])
    torch.testing.assert_close(one[1], other[1], rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 7, 64])
def test_norms_are_bounded_nearly_at_their_value(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    B = torch.randn(6, k, k, generator=generator)
    B = (B @ B.mT) * 10.0 ** torch.arange(-15, 15, 5)[:, None, None]
    exact = torch.linalg.eigvalsh(B.double())[:, -1]
    found = joint._norm(B)  # pyright: ignore[reportPrivateUsage]
    assert bool((found >= exact * (1 - 1e-6)).all())
    assert bool((found <= 1.05 * exact).all())


def _posed(name: str, folder: Path, eps: float, count: int = 2) -> tuple[Graph, Block, Region, Objective]:
    graph = read_onnx(write_network(name, folder))
    size = networks.FRAMES * networks.FEATURES
    data = np.random.default_rng(1).normal(size=(count, size)).astype(np.float32)
    region = ball_region(torch.as_tensor(data), eps, torch.inf)
    rows = torch.cat([torch.eye(networks.CLASSES), -torch.eye(networks.CLASSES)]).double()
    return graph, compile_program(graph), region, Objective(rows.expand(count, -1, -1))


@pytest.mark.parametrize("eps", [1e-4, 0.05, 0.6])
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_contain_what_search_finds(name: str, eps: float, folder: Path) -> None:
    graph, program, region, objective = _posed(name, folder, eps)
    lower = Bounds(program, region, REAL, corners=True, joint=True).minimum(objective)
    found = smallest_found(graph, region, objective.outputs)
    assert bool((lower <= found + 1e-12).all()), f"left by {float((lower - found).max()):.3g}"


@pytest.fixture
def wide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Networks of many units and inputs."""
    for name, size in (("FRAMES", 3), ("FEATURES", 40), ("HIDDEN", 20)):
        monkeypatch.setattr(networks, name, size)
    (folder / "wide").mkdir(exist_ok=True)
    return folder / "wide"


@pytest.mark.parametrize("name", ["lstm", "rnn_tanh", "lstm_two_layers"])
def test_many_gates_win_something(name: str, wide: Path) -> None:
    graph, program, region, objective = _posed(name, wide, 0.15, count=1)
    plain = Bounds(program, region, REAL, corners=True)
    together = Bounds(program, region, REAL, corners=True, joint=True)
    lower = together.minimum(objective)
    assert bool((lower > plain.minimum(objective) + 0.01).all())
    assert bool((lower <= smallest_found(graph, region, objective.outputs)).all())
    for key, (interval, _) in together.operands.items():
        before = plain.operands[key][0]
        assert float((interval.upper - interval.lower - before.upper + before.lower).sum()) <= 1e-9


def test_gates_that_never_lose_anything_are_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One unit alone can well be where its planes touch: to forget that is wrong."""
    monkeypatch.setattr(networks, "HIDDEN", 1)
    (folder / "one").mkdir()
    monkeypatch.setattr(joint, "most", lambda _, total, __: 0 * total)
    monkeypatch.setattr(joint, "LEAVING", joint.ROUNDS)
    graph, program, region, objective = _posed("rnn_tanh", folder / "one", 0.6)
    lower = Bounds(program, region, REAL, corners=True, joint=True).minimum(objective)
    assert bool((lower > smallest_found(graph, region, objective.outputs) + 1e-3).any())


def test_sites_beyond_the_limit_are_left_out(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that number sites are left out, and the others still count."""
    monkeypatch.setattr(joint, "GATES", 130)
    graph, program, region, objective = _posed("lstm", wide, 0.15, count=1)
    bounds = Bounds(program, region, REAL, corners=True, joint=True)
    lower = bounds.minimum(objective)
    assert bool((lower <= smallest_found(graph, region, objective.outputs)).all())
    assert bool((lower >= Bounds(program, region, REAL, corners=True).minimum(objective)).all())


def _margins(folder: Path, eps: float, budget: Budget, **settings: Any) -> MarginBounds:
    graph = read_onnx(write_network("lstm", folder))
    size = networks.FRAMES * networks.FEATURES
    data = torch.as_tensor(np.random.default_rng(1).normal(size=(6, size)).astype(np.float32))[[5]]
    region = ball_region(data, eps, torch.inf)
    labels = Evaluator(graph).flat(data.double()).argmax(-1)
    return Verifier(graph, Settings(deployed=False, **settings)).margins(region, labels, budget)


def test_what_clipping_leaves_open_is_proved(wide: Path) -> None:
    clipped = _margins(wide, 0.11, Budget(depth=Depth.clipping))
    joint = _margins(wide, 0.11, Budget(depth=Depth.joint))
    assert float(clipped.lower[0]) < 0 < float(joint.lower[0])
    assert joint.method.endswith("joint")
    assert joint.finished
    late = _margins(wide, 0.11, Budget(depth=Depth.branching))  # without a time limit nobody waits for it
    assert late.method == clipped.method


def test_branching_begins_in_its_boxes(wide: Path) -> None:
    """Just beyond of what it proves, and with the time for a few parts."""
    budget = Budget(deadline=time.monotonic() + 6)
    found = _margins(wide, 0.13, budget)
    assert found.method.endswith("branching")
    assert float(found.lower[0]) > float(_margins(wide, 0.13, Budget(depth=Depth.clipping)).lower[0])


def test_the_deadline_ends_it_between_gates(wide: Path) -> None:
    plain = _margins(wide, 0.2, Budget(depth=Depth.clipping))
    begun = time.monotonic()
    found = _margins(wide, 0.2, Budget(deadline=begun, depth=Depth.joint))
    assert time.monotonic() - begun < 5
    assert not found.finished
    found = _margins(wide, 0.2, Budget(deadline=time.monotonic() + 0.5, depth=Depth.joint))
    assert bool((found.lower <= 0).all())
    assert bool((plain.lower <= 0).all())


def test_float32_goes_without(wide: Path) -> None:
    found = _margins(wide, 0.11, Budget(depth=Depth.joint), dtype="float32")
    assert found.method.endswith("clipping")
