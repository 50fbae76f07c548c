"""Bounds of whole networks hold against search, by every method, in every norm; a wrong plane is caught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

import verifier.bounds.intermediate
from parsers import read_onnx
from parsers.errors import UnsoundBound
from parsers.ir import Graph
from relaxations import Octagon
from tests.support.bound_search import smallest_found
from tests.support.bounding import optimise_slopes
from tests.support.networks import classifiers
from tests.support.networks.classifiers import CLASSES, FEATURES, NETWORKS, STEPS, write_network
from verifier.bounds.octagon import OctagonRows
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import bound_region
from verifier.network.program import Block, compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective, Question
from verifier.problem.region import Region, ball_region
from verifier.proof.refinement.ascent import AscentOptions, ascend

REAL = RoundingModel(deployed=False)
BOTH_SIGNS = torch.cat([torch.eye(CLASSES), -torch.eye(CLASSES)]).double()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def _prepared(name: str, folder: Path, **options: float) -> tuple[Graph, Block]:
    graph = read_onnx(write_network(name, folder, **options))  # type: ignore[arg-type]
    return graph, compile_program(graph)


def _data(count: int = 2, seed: int = 1) -> Tensor:
    return torch.as_tensor(
        np.random.default_rng(seed).normal(size=(count, STEPS * FEATURES)).astype(np.float32)
    )


def _rows(region: Region) -> Tensor:
    return BOTH_SIGNS.expand(len(region), -1, -1)


def _posed(name: str, eps: float, folder: Path) -> tuple[Graph, Block, Region, Objective]:
    """A network, and its outputs of both signs around two samples."""
    graph, program = _prepared(name, folder)
    region = ball_region(_data(), eps, torch.inf)
    return graph, program, region, Objective(_rows(region))


def _assert_holds(graph: Graph, region: Region, lower: Tensor) -> None:
    found = smallest_found(graph, region, _rows(region))
    assert bool((lower <= found + 1e-12).all()), f"left by {float((lower - found).max()):.3g}"


@pytest.mark.parametrize("eps", [1e-4, 0.05, 0.6])
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_contain_what_search_finds(name: str, eps: float, folder: Path) -> None:
    graph, program, region, objective = _posed(name, eps, folder)
    interval = bound_region(program, region, REAL, BoundOptions(backward=False)).minimum(objective)
    bounds = bound_region(program, region, REAL)
    plain = bounds.minimum(objective)
    optimised = optimise_slopes(bounds, objective, steps=6, target=torch.inf)
    assert bool((interval <= plain + 1e-9).all())
    assert bool((plain <= optimised).all())
    _assert_holds(graph, region, optimised)


OCTAGONAL = [n for n in NETWORKS if n.startswith("lstm") and "relu" not in n]


@pytest.mark.parametrize("eps", [1e-4, 0.05, 0.6])
@pytest.mark.parametrize("name", OCTAGONAL)
def test_octagon_bounds_hold(name: str, eps: float, folder: Path) -> None:
    graph, program, region, objective = _posed(name, eps, folder)
    bounds = bound_region(program, region, REAL, BoundOptions(octagon=True))
    plain = bounds.minimum(objective)
    ask = Question(objective, torch.full_like(plain, torch.inf), False)
    found = ascend(bounds, ask, AscentOptions(6, rate=0.1))
    _assert_holds(graph, region, torch.maximum(plain, found.best))
    # the planes that parts inherit are sound as well, all of them
    again = bounds.backward_minimum(objective, bounds.relaxed_with(found.planes))
    _assert_holds(graph, region, again)


@pytest.mark.parametrize("name", ["lstm", "lstm_reverse", "lstm_two_layers"])
def test_octagons_are_tighter(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many inputs of unrelated weights move the gates."""
    monkeypatch.setattr(classifiers, "FEATURES", 60)
    _, program = _prepared(name, folder)
    x = torch.randn(2, STEPS * 60, generator=torch.Generator().manual_seed(1))
    region = ball_region(x, 0.1, torch.inf)
    objective = Objective(_rows(region))
    whole = bound_region(program, region, REAL).minimum(objective)
    cut = bound_region(program, region, REAL, BoundOptions(octagon=True)).minimum(objective)
    assert bool((cut > whole).all())


@pytest.mark.parametrize("name", OCTAGONAL)
def test_octagons_cut_too_far_are_caught(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the middle of every box is cut off."""
    graph, program = _prepared(name, folder)
    honest = OctagonRows.octagon

    def wrong(rows: OctagonRows, minimum: Tensor) -> Octagon:
        d = honest(rows, minimum)
        return Octagon(d.centre, d.half, *(0.01 * side for side in d.sides()))

    monkeypatch.setattr(OctagonRows, "octagon", wrong)

    def caught(eps: float) -> bool:
        region = ball_region(_data(4), eps, torch.inf)
        try:
            lower = bound_region(program, region, REAL, BoundOptions(octagon=True)).minimum(
                Objective(_rows(region))
            )
        except UnsoundBound:  # interval and backward pass contradict each other
            return True
        return bool((lower > smallest_found(graph, region, _rows(region)) + 1e-9).any())

    assert any(caught(eps) for eps in (0.6, 0.2, 0.05))


@pytest.mark.parametrize("lookback", [1, 2, 4])
@pytest.mark.parametrize("name", ["lstm", "lstm_reverse", "gru_two_layers_bidirectional", "attention"])
def test_bounded_lookback_is_sound_and_no_tighter(name: str, lookback: int, folder: Path) -> None:
    graph, program, region, objective = _posed(name, 0.1, folder)
    short = bound_region(program, region, REAL, BoundOptions(lookback=lookback)).minimum(objective)
    whole = bound_region(program, region, REAL, BoundOptions(lookback=STEPS)).minimum(objective)
    torch.testing.assert_close(
        whole, bound_region(program, region, REAL).minimum(objective), rtol=0, atol=1e-9
    )
    _assert_holds(graph, region, short)
    assert float((whole - short).min()) > -1e-3
    if name == "lstm":  # the others' last step does not reach back that far, or is read whole
        assert float((whole - short).max()) > 0


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("name", ["lstm", "gru", "gru_two_layers_bidirectional"])
def test_other_norms_and_clipping(name: str, p: float, folder: Path) -> None:
    graph, program = _prepared(name, folder)
    x = _data().clamp(-1, 1)
    group = torch.full((STEPS * FEATURES,), -1)
    group[FEATURES : 3 * FEATURES] = torch.arange(2).repeat_interleave(FEATURES)  # steps 1 and 2, a ball each
    region = ball_region(x, 0.4, p, clip=(-1.0, 1.0), group=group)
    _assert_holds(graph, region, bound_region(program, region, REAL).minimum(Objective(_rows(region))))


@pytest.mark.parametrize("scale", [0.01, 8.0, 400.0])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "lstm_two_layers"])
def test_vanishing_and_saturated_gates(name: str, scale: float, folder: Path) -> None:
    graph, program = _prepared(name, folder, scale=scale)
    region = ball_region(_data(), 0.1, torch.inf)
    lower = bound_region(program, region, REAL).minimum(Objective(_rows(region)))
    assert bool(torch.isfinite(lower).all())
    _assert_holds(graph, region, lower)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_point_gives_its_image(name: str, folder: Path) -> None:
    """Unperturbed steps: the gate's image, not its operand (tanh of a fixed 2 is not 2)."""
    graph, program = _prepared(name, folder)
    region = ball_region(_data() * 4, 0.0, torch.inf)
    lower = bound_region(program, region, REAL).minimum(Objective(_rows(region)))
    value = smallest_found(graph, region, _rows(region))
    assert bool((lower <= value).all())
    torch.testing.assert_close(lower, value, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_deployed_bounds_contain_what_onnxruntime_computes(name: str, folder: Path) -> None:
    path = write_network(name, folder, scale=2.0)
    program = compile_program(read_onnx(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = _data(20)
    region = ball_region(x, 0.0, torch.inf)
    outputs = [session.run(None, {"x": row.reshape(STEPS, 1, FEATURES).numpy()})[0] for row in x]
    found = torch.as_tensor(np.concatenate(outputs), dtype=torch.float64) @ BOTH_SIGNS.T
    lower = bound_region(program, region, RoundingModel()).minimum(Objective(_rows(region)))
    assert bool((lower <= found).all())
    assert float((found - lower).max()) < 0.05  # and says something


def test_bounds_shrink_with_the_region(folder: Path) -> None:
    _, program = _prepared("lstm", folder)
    x = _data()
    before = None
    for eps in (0.3, 0.1, 0.03, 0.01):
        lower = bound_region(program, ball_region(x, eps, torch.inf), REAL).minimum(
            Objective(BOTH_SIGNS.unsqueeze(0))
        )
        assert before is None or bool((lower >= before - 1e-9).all())
        before = lower


def test_one_objective_leaves_nothing_to_the_next(folder: Path) -> None:
    _, program = _prepared("lstm_two_layers", folder)
    region = ball_region(_data(), 0.05, torch.inf)
    first, second = Objective(_rows(region)[:, :2]), Objective(_rows(region)[:, 2:])
    used = bound_region(program, region, REAL)
    optimise_slopes(used, first, steps=4, target=torch.inf)
    fresh = bound_region(program, region, REAL)
    torch.testing.assert_close(used.minimum(second), fresh.minimum(second), rtol=0, atol=0)


def test_instances_do_not_see_each_other(folder: Path) -> None:
    _, program = _prepared("gru", folder)
    region = ball_region(_data(3), torch.tensor([0.01, 0.2, 0.05]), torch.inf)
    together = bound_region(program, region, REAL).minimum(Objective(_rows(region)))
    for k in range(3):
        alone = region.select(torch.tensor([k]))
        single = bound_region(program, alone, REAL).minimum(Objective(_rows(alone)))
        torch.testing.assert_close(together[k : k + 1], single, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["lstm", "gru_reset_after", "rnn_tanh"])
def test_a_wrong_plane_is_caught(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search above must be able to fail: planes drawn in by some of their gap are found out."""
    graph, program = _prepared(name, folder)
    honest = verifier.bounds.intermediate.planes

    def wrong(gate, lower, upper, parameters=None, **given):
        planes = honest(gate, lower, upper, parameters, **given)
        centre = (lower + upper) / 2
        slope, offset = planes.upper_slope - planes.lower_slope, planes.upper_offset - planes.lower_offset
        inward = 0.45 * ((slope * centre).sum(0) + offset)
        return replace(
            planes, lower_offset=planes.lower_offset + inward, upper_offset=planes.upper_offset - inward
        )

    monkeypatch.setattr(verifier.bounds.intermediate, "planes", wrong)

    def caught(eps: float) -> bool:
        region = ball_region(_data(4), eps, torch.inf)
        try:
            lower = bound_region(program, region, REAL).minimum(Objective(_rows(region)))
        except UnsoundBound:  # interval and backward pass contradict each other
            return True
        return bool((lower > smallest_found(graph, region, _rows(region))).any())

    assert any(caught(eps) for eps in (0.02, 0.1, 0.5))
