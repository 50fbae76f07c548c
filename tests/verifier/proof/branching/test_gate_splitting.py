"""Parts of a region: their bounds cover the whole together, branching never overtakes the truth."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from parsers import read_onnx
from parsers.ir import Graph
from tests.support.bound_search import smallest_found
from tests.support.bounding import optimise_slopes
from tests.support.networks.classifiers import CLASSES, FEATURES, NETWORKS, STEPS, write_network
from tests.support.subproblems import tree_of_each
from verifier.bounds.inheritance import Inherited, Subproblem
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import Bounds, bound_region
from verifier.network.keys import OperandKey, SiteKey
from verifier.network.program import Block, compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.budget import Budget
from verifier.problem.halfspace import Halfspace
from verifier.problem.question import Objective
from verifier.problem.region import Region, ball_region
from verifier.proof.branching.candidates import candidates
from verifier.proof.branching.flat import offsets_of
from verifier.proof.branching.gate_splitting import BranchingEffort, MakeBounds, branch_and_bound
from verifier.propagation.splits import Part, Splits, split_term

REAL = RoundingModel(deployed=False)
ROWS = torch.eye(CLASSES).double().unsqueeze(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def _question(name: str, folder: Path, eps: float) -> tuple[Graph, Block, Region]:
    graph = read_onnx(write_network(name, folder))
    x = torch.randn(1, STEPS * FEATURES, generator=torch.Generator().manual_seed(3))
    return graph, compile_program(graph), ball_region(x, eps, torch.inf)


def _parts_of(program: Block, region: Region) -> MakeBounds:
    def part(instances: Tensor, splits: Splits, inherited: Inherited, halfspace: Halfspace) -> Bounds:
        cut = region.select(instances).within(halfspace)
        return bound_region(program, cut, REAL, part=Subproblem(splits=splits, inherited=inherited))

    return part


def _random_halves(bounds: Bounds, count: int, seed: int) -> list[tuple[Splits, Splits]]:
    """Pairs of splits that cover the region: a random unit of a random operand, cut at a random point."""
    generator = torch.Generator().manual_seed(seed)
    operands: list[tuple[OperandKey, Tensor, Tensor]] = [
        (form.at(site.time), site.lower[k], site.upper[k])
        for site in bounds.sites.values()
        for k, form in enumerate(site.step.operands)
    ]
    pairs = []
    for _ in range(count):
        key, lower, upper = operands[int(torch.randint(len(operands), (), generator=generator))]
        unit = int(torch.randint(lower.shape[1], (), generator=generator))
        share = float(torch.rand((), generator=generator))
        free = Part(torch.full_like(lower, -torch.inf), torch.full_like(upper, torch.inf))
        point = lower[0, unit] + share * (upper - lower)[0, unit]
        below, above = free.upper.clone(), free.lower.clone()
        below[0, unit] = above[0, unit] = point
        pairs.append(({key: Part(free.lower, below)}, {key: Part(above, free.upper)}))
    return pairs


def _worst_half(program: Block, region: Region, halves: tuple[Splits, Splits]) -> Tensor:
    """The smaller bound of the two halves, multipliers optimised: a bound of the whole."""
    found = [
        optimise_slopes(
            bound_region(program, region, REAL, part=Subproblem(splits=s)),
            Objective(ROWS),
            steps=8,
            target=torch.inf,
        )
        for s in halves
    ]
    return torch.minimum(*found)


@pytest.mark.parametrize("eps", [0.1, 0.5])
@pytest.mark.parametrize("name", ["lstm", "gru_reset_after", "rnn_relu", "lstm_two_layers"])
def test_two_halves_cover_the_whole(name: str, eps: float, folder: Path) -> None:
    graph, program, region = _question(name, folder, eps)
    truth = smallest_found(graph, region, ROWS)
    for halves in _random_halves(bound_region(program, region, REAL), 4, seed=5):
        assert bool((_worst_half(program, region, halves) <= truth + 1e-12).all())


def test_a_multiplier_never_helps_inside_its_part() -> None:
    """The Lagrange term is at most 0 for every operand value of the part, and can be positive outside."""
    generator = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    lower, width = draw(500, 6), draw(500, 6).abs()
    part = Part(lower.where(draw(500, 6) > 0, torch.tensor(-torch.inf)), lower + width)
    below = draw(500, 6).abs()
    above = draw(500, 6).abs() * torch.isfinite(part.lower)
    bias, magnitude = draw(6), draw(500, 6).abs() + 10
    term = split_term(below, above, part, bias, magnitude * 1e-12, magnitude, 1e-15)

    def value(operand: Tensor) -> Tensor:
        return (term.row[:, 0] * (operand - bias)).sum(-1) + term.constant[:, 0, 0]

    share = torch.rand(500, 6, generator=generator, dtype=torch.float64)
    assert bool((value(lower + share * width) <= 1e-12).all())
    assert bool((value(lower + width) <= 1e-12).all())
    assert bool((value(lower) <= 1e-12).all())
    assert bool((value(lower + 3 * width + 1) > 0).any())


@pytest.mark.parametrize("octagon", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_branching_never_lowers_a_bound_nor_passes_the_truth(name: str, octagon: bool, folder: Path) -> None:
    graph, program, region = _question(name, folder, 0.3)
    objective = Objective(ROWS)
    root = bound_region(program, region, REAL, BoundOptions(octagon=octagon))
    known = root.minimum(objective)
    # a goal that no bound can reach: everything that branching can raise is raised
    trees = tree_of_each(ROWS[0], known[0] + 1e6, known[0])
    part = _parts_of(program, region)

    effort = BranchingEffort(parts=64, candidates=4, steps=3, nodes=40)
    above = branch_and_bound(trees, root, part, Budget(time.monotonic() + 60), effort=effort)
    raised = (above + known[0] + 1e6).unsqueeze(0)
    assert bool((raised >= known - 1e-6).all())
    truth = smallest_found(graph, region, ROWS)
    assert bool((raised <= truth + 1e-6).all())  # 1e-6: the goal of 1e6 costs digits


def test_what_is_proved_by_parts_is_proved(folder: Path) -> None:
    """A goal between the root's bound and the truth is reached, and never one beyond the truth."""
    graph, program, region = _question("lstm", folder, 0.2)
    root = bound_region(program, region, REAL)
    known = root.minimum(Objective(ROWS))[0]
    truth = smallest_found(graph, region, ROWS)[0]

    part = _parts_of(program, region)

    def gained(goal: Tensor, nodes: int) -> Tensor:
        trees = tree_of_each(ROWS[0], goal, known)
        effort = BranchingEffort(parts=64, candidates=4, steps=6, nodes=nodes)
        return branch_and_bound(trees, root, part, Budget(time.monotonic() + 60), effort=effort)

    assert bool((gained(known + (truth - known) / 20, 400) > 0).all())
    assert bool((gained(truth + 1e-9, 100) <= 0).all())


def test_the_choice_is_of_something_wide(folder: Path) -> None:
    _, program, region = _question("lstm", folder, 0.3)
    bounds = bound_region(program, region, REAL)
    offsets = offsets_of(bounds.program, bounds.options.octagon)
    coefficients: dict[SiteKey, Tensor] = {}
    bounds.backward_minimum(Objective(ROWS), record=coefficients)
    found = candidates(bounds, offsets, coefficients, torch.zeros(1, dtype=torch.int64), 5)
    lower, upper = offsets.boxes(bounds)
    assert found.worth[0].tolist() == sorted(found.worth[0].tolist(), reverse=True)
    assert float(found.worth.min()) > 0
    lower, upper = lower[0, found.unit[0]], upper[0, found.unit[0]]
    assert bool((upper - lower > 0.01).all())
    assert bool(((lower < found.point[0]) & (found.point[0] < upper)).all())
