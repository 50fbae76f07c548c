"""Half-spaces that hold all counterexamples: minima against linear programs, boxes against points, proofs
against the truth."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import scipy.optimize
import torch
from torch import Tensor

from parsers import read_onnx
from tests.support.bound_search import smallest_found
from tests.support.networks.classifiers import CLASSES, FEATURES, NETWORKS, STEPS, write_network
from verifier.bounds.on_demand import BoundsOnDemand
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import bound_region
from verifier.network.evaluator import Evaluator
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem import points
from verifier.problem.halfspace import Halfspace
from verifier.problem.question import Objective, Question
from verifier.problem.region import Region, ball_region, box_region
from verifier.proof.refinement import clipping
from verifier.proof.refinement.clipping import RowQuestions, above, clipped

REAL = RoundingModel(deployed=False)
ENTRIES = 12


def _example(p: float, dtype: torch.dtype, seed: int) -> tuple[Region, Halfspace, Tensor]:
    """A region of three instances, some entries fixed; a half-space near its middle; rows, some of them
    ties."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(3, ENTRIES, generator=generator).double()
    group = torch.zeros(ENTRIES, dtype=torch.int64)
    group[3] = -1
    ball = ball_region(x, 0.4, p, group=group).to("cpu", dtype)
    normal = torch.randn(3, ENTRIES, generator=generator, dtype=torch.float64).to(dtype)
    normal[0, 5] = 0
    share = torch.tensor([0.0, 0.3, 0.6], dtype=dtype)
    width = (normal.abs() * (ball.upper - ball.lower)).sum(-1) / 2
    constant = share * width * (1.0 if math.isinf(p) else 0.2) - (normal * ball.middle).sum(-1)
    rows = torch.randn(3, 9, ENTRIES, generator=generator, dtype=torch.float64).to(dtype)
    rows[:, 0], rows[:, 1, :7] = 0, 0
    rows[:, 2] = normal
    rows[:, 3] = -normal
    return ball, Halfspace(normal, constant), rows


def _least(box: Region, halfspace: Halfspace, rows: Tensor) -> Tensor:
    """The minima [B, R] by linear programs, +∞ where the half-space leaves nothing."""
    found = torch.full(rows.shape[:2], math.inf, dtype=torch.float64)
    for b in range(len(box)):
        limits = list(zip(box.lower[b].tolist(), box.upper[b].tolist(), strict=True))
        for r in range(rows.shape[1]):
            solved = scipy.optimize.linprog(
                rows[b, r].double().numpy(),
                halfspace.normal[b : b + 1].double().numpy(),
                -halfspace.constant[b : b + 1].double().numpy(),
                bounds=limits,
            )
            if solved.status == 0:
                found[b, r] = solved.fun
    return found


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("seed", range(4))
def test_minima_over_a_cut_box_are_those_of_the_linear_program(seed: int, dtype: torch.dtype) -> None:
    box, halfspace, rows = _example(math.inf, dtype, seed)
    found, least = box.within(halfspace).minimum(rows).double(), _least(box, halfspace, rows)
    # of the linear program; in float32 the margin is larger
    tolerance = 1e-9 if dtype == torch.float64 else 0.0
    assert bool((found <= least + tolerance).all())
    near = 1e-5 if dtype == torch.float64 else 3e-4
    assert bool((found >= least - near)[torch.isfinite(least)].all())
    assert bool((found >= box.minimum(rows).double()).all())
    assert bool((found > box.minimum(rows).double() + 0.05).any())


def test_a_half_space_too_small_is_caught() -> None:
    """The test above can fail."""
    box, halfspace, rows = _example(math.inf, torch.float64, 0)
    less = Halfspace(halfspace.normal, halfspace.constant + 0.01)
    assert bool((box.within(less).minimum(rows) > _least(box, halfspace, rows) + 1e-3).any())


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_minima_over_a_cut_ball_are_below_its_points(p: float) -> None:
    ball, halfspace, rows = _example(p, torch.float64, 1)
    found = ball.within(halfspace).minimum(rows)
    assert bool((found >= ball.minimum(rows) - 1e-12).all())
    assert bool((found > ball.minimum(rows) + 1e-3).any())
    for b in range(len(ball)):
        many = ball.select(torch.full((20_000,), b))
        x = points.sample(many, torch.Generator().manual_seed(b))
        x[::2] = points.project(many, x - 3 * halfspace.normal[b])[::2]
        inside = (x @ halfspace.normal[b] + halfspace.constant[b]) <= 0
        assert bool(inside.any())
        assert bool((x[inside] @ rows[b].T >= found[b] - 1e-12).all())


@pytest.mark.parametrize("p", [math.inf, 2.0])
def test_rows_of_some_entries_are_rows_with_zeros(p: float) -> None:
    ball, halfspace, rows = _example(p, torch.float64, 2)
    cut, padded = ball.within(halfspace), torch.zeros_like(rows)
    padded[..., 4:9] = rows[..., 4:9]
    torch.testing.assert_close(cut.minimum(rows[..., 4:9], 4), cut.minimum(padded), rtol=0, atol=1e-6)


def test_all_of_space_cuts_nothing() -> None:
    box, _, rows = _example(math.inf, torch.float64, 3)
    everything = Halfspace.everything(box.lower)
    assert torch.equal(box.within(everything).minimum(rows), box.minimum(rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def _centre() -> Tensor:
    return torch.randn(1, STEPS * FEATURES, generator=torch.Generator().manual_seed(3)).double()


@pytest.mark.parametrize("octagon", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_hold_in_what_the_half_space_leaves(name: str, octagon: bool, folder: Path) -> None:
    graph = read_onnx(write_network(name, folder))
    program = compile_program(graph)
    ball = ball_region(_centre(), 0.3, math.inf)
    generator = torch.Generator().manual_seed(1)
    normal = torch.randn(1, ball.lower.shape[1], generator=generator, dtype=torch.float64)
    constant = 0.5 * 0.3 * normal.abs().sum(-1) - (normal * ball.middle).sum(-1)
    rows = torch.cat([torch.eye(CLASSES), -torch.eye(CLASSES)]).double().unsqueeze(0)
    whole = bound_region(program, ball, REAL, BoundOptions(octagon=octagon))
    part = bound_region(
        program, ball.within(Halfspace(normal, constant)), REAL, BoundOptions(octagon=octagon)
    )
    found = part.minimum(Objective(rows))
    assert bool((found >= whole.minimum(Objective(rows)) - 1e-6).all())
    many = ball.select(torch.zeros(4000, dtype=torch.int64))
    x = points.sample(many, generator)
    x[::2] = points.project(many, x - 0.4 * normal.sign())[::2]
    x = x[(x @ normal[0] + constant) <= 0]
    assert len(x) > 100
    values = Evaluator(graph).flat(x) @ rows[0].T
    assert bool((values >= found[0] - 1e-9).all())


def _clipped(over: BoundsOnDemand, ask: Question, known: Tensor) -> Tensor:
    rows = RowQuestions.of(over.deepest(), ask, known)
    found = clipped(over, rows, deadline=math.inf, together=8)
    return known.index_put((found.instance[:, None], found.row), found.known)


@pytest.mark.parametrize("name", NETWORKS)
def test_goals_before_the_truth_are_reached_and_none_beyond(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clipping, "DEPTH", 0.0)
    graph = read_onnx(write_network(name, folder))
    over = BoundsOnDemand(compile_program(graph), ball_region(_centre(), 0.3, math.inf), REAL)
    objective = Objective(torch.cat([torch.eye(CLASSES), -torch.eye(CLASSES)]).double().unsqueeze(0))
    known = over.deepest().minimum(objective)
    truth = smallest_found(graph, over.region, objective.outputs)
    within = Question(objective, known + 0.1 * (truth - known), False)
    reached = _clipped(over, within, known)
    assert bool((reached >= known).all())
    assert int((reached > within.goal).sum()) >= CLASSES  # of twice as many: not where the middle is too low
    for goal in (truth + 1e-9, truth + 0.1):
        beyond = Question(objective, goal, False)
        found = _clipped(over, beyond, known)
        assert bool((found <= goal).all())
        assert bool((found <= truth + 1e-9).all())
    every = Question(objective, torch.full_like(truth, float(truth.max()) + 1), True)
    assert bool((_clipped(over, every, known) <= every.goal).all())


def test_a_half_space_that_takes_counterexamples_away_is_caught(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: goals beyond the truth are reached where the half-space is too small."""
    monkeypatch.setattr(clipping, "DEPTH", 0.0)
    graph = read_onnx(write_network("lstm", folder))
    over = BoundsOnDemand(compile_program(graph), ball_region(_centre(), 0.3, math.inf), REAL)
    objective = Objective(torch.eye(CLASSES).double().unsqueeze(0))
    known = over.deepest().minimum(objective)
    truth = smallest_found(graph, over.region, objective.outputs)
    beyond = Question(objective, truth + 1e-9, False)
    rows = RowQuestions.of(over.deepest(), beyond, known)
    constant = rows.halfspace.constant + 0.6 * (truth - known)[0] + 0.05
    moved = replace(rows, halfspace=Halfspace(rows.halfspace.normal, constant), depth=rows.depth + 1)
    found = clipped(over, moved, deadline=math.inf, together=8).known
    assert bool((found[:, 0] > beyond.goal[0]).any())


def test_nothing_beyond_the_goal_is_claimed() -> None:
    goal = torch.tensor([[1.0, 2.0]])
    assert float(above(torch.tensor([[0.5, 9.0]]), goal)) == pytest.approx(3e-5)
    assert float(above(torch.tensor([[0.5, 1.75]]), goal)) == -0.25


def test_an_empty_part_is_no_contradiction(folder: Path) -> None:
    """A half-space far away leaves nothing: whatever is said of it holds."""
    graph = read_onnx(write_network("lstm", folder))
    ball = ball_region(_centre(), 0.3, math.inf)
    far = Halfspace(torch.ones_like(ball.lower), 10 - ball.lower.sum(-1))
    found = bound_region(compile_program(graph), ball.within(far), REAL).minimum(
        Objective(torch.eye(CLASSES).double().unsqueeze(0))
    )
    assert not bool(torch.isnan(found).any())


def test_instances_keep_their_half_spaces() -> None:
    box, halfspace, rows = _example(math.inf, torch.float64, 1)
    cut = box.within(halfspace)
    order = torch.tensor([2, 0, 2])
    torch.testing.assert_close(cut.select(order).minimum(rows[order]), cut.minimum(rows)[order])
    assert cut.to("cpu", torch.float32).halfspace is None  # larger, hence sound
    point = box_region(torch.zeros(2), torch.zeros(2))
    assert float(point.within(Halfspace.everything(point.lower)).minimum(torch.ones(1, 1, 2).double())) <= 0
