"""Cutting the region: what all parts prove is true of it, and enough parts prove what is true."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from parsers import read_onnx
from tests.support.bound_search import smallest_found
from tests.support.networks.classifiers import CLASSES, FEATURES, STEPS, write_network
from tests.support.subproblems import tree_of_each
from verifier.bounds.region_bounds import bound_region
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.budget import Budget
from verifier.problem.halfspace import Halfspace
from verifier.problem.question import Objective
from verifier.problem.region import Region, ball_region, box_region
from verifier.proof.branching import input_splitting as divide_module
from verifier.proof.branching.input_splitting import FEW, _shrunk, divide, divisible

REAL = RoundingModel(deployed=False)
ROWS = torch.eye(CLASSES).double().unsqueeze(0)


@pytest.mark.parametrize("name", ["lstm", "gru_reset_after", "rnn_relu"])
def test_goals_short_of_the_truth_are_reached_and_none_beyond(name: str, tmp_path: Path) -> None:
    """Three entries move, widely: the root's bound is far from the truth, which cuts come close to."""
    graph = read_onnx(write_network(name, tmp_path))
    program = compile_program(graph)
    centre = torch.randn(1, STEPS * FEATURES, generator=torch.Generator().manual_seed(3)).double()
    reach = torch.zeros_like(centre)
    reach[0, [0, FEATURES + 1, 2 * FEATURES]] = 1.0
    region = box_region(centre - reach, centre + reach)
    known = bound_region(program, region, REAL).minimum(Objective(ROWS))[0]
    truth = smallest_found(graph, region, ROWS)[0]

    def gained(goal: Tensor, seconds: float) -> Tensor:
        trees = tree_of_each(ROWS[0], goal, known)
        return divide(
            trees,
            region,
            lambda part: bound_region(program, part, REAL),
            Budget(time.monotonic() + seconds),
            together=64,
        )

    assert bool((gained(known + 0.5 * (truth - known), 60) > 0).all())
    assert bool((gained(truth + 1e-9, 1) <= 0).all())


def test_only_boxes_with_few_moving_entries_are_divisible() -> None:
    still = torch.zeros(1, 40)
    few, many = still.clone(), still.clone()
    few[0, :FEW] = many[0, : FEW + 1] = 1.0
    assert divisible(box_region(still, few))
    assert not divisible(box_region(still, many))
    assert divisible(ball_region(still[:, :3], 0.1, torch.inf))
    assert not divisible(ball_region(still[:, :3], 0.1, 2.0))


def test_a_point_is_not_cut() -> None:
    point = Region(torch.ones(1, 2).double(), torch.ones(1, 2).double())

    class Nothing:
        region = point
        lost = empty = torch.zeros(1, dtype=torch.bool)

        def minimum(self, _: Objective) -> Tensor:
            return torch.full((1, 1), -1.0, dtype=torch.float64)

        def backward_rows(self, *_: object) -> tuple[Tensor, Tensor]:
            return torch.ones(1, 1, 2, dtype=torch.float64), torch.zeros(1, 1)

        def uncertainty(self, _: Objective) -> float:
            return 0.0

    one = torch.ones(1, dtype=torch.float64)
    trees = tree_of_each(one[None], 0 * one, -one)
    found = divide(trees, point, lambda _: Nothing(), Budget(time.monotonic() + 60), together=4)  # type: ignore[arg-type, return-value]
    assert float(found) == -1.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_a_half_space_leaves_stays_in_the_box(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    lower = torch.randn(200, 4, generator=generator, dtype=dtype)
    box = Region(lower, lower + torch.rand(200, 4, generator=generator, dtype=dtype))
    normal = torch.randn(200, 4, generator=generator, dtype=dtype)
    normal[:50, 2] = 0
    least = torch.where(normal > 0, normal * box.lower, normal * box.upper).sum(-1)
    constant = 0.5 * torch.rand(200, generator=generator, dtype=dtype) * normal.abs().sum(-1)
    constant = -least - constant
    small = _shrunk(box, Halfspace(normal, constant))
    assert bool((small.upper - small.lower < 0.9 * (box.upper - box.lower)).any())
    share = torch.rand(4000, 1, 4, generator=generator, dtype=dtype).square()
    share = torch.where(normal > 0, share, 1 - share)
    x = box.lower + share * (box.upper - box.lower)
    inside = ((x * normal).sum(-1) + constant) <= -1e-5  # by more than the sums round
    assert bool(inside.any(0).float().mean() > 0.9)
    out = (x < small.lower) | (x > small.upper)
    assert not bool((out.any(-1) & inside).any())
    too_small = Region(small.lower + 0.05, small.upper - 0.05)
    assert bool((((x < too_small.lower) | (x > too_small.upper)).any(-1) & inside).any())


def test_a_half_space_too_small_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goals beyond the truth are reached where parts are shrunk too far."""
    right = divide_module._shrunk
    monkeypatch.setattr(
        divide_module, "_shrunk", lambda box, cut: right(box, Halfspace(cut.normal, cut.constant + 0.3))
    )
    with pytest.raises(AssertionError):
        test_goals_short_of_the_truth_are_reached_and_none_beyond("lstm", tmp_path)
