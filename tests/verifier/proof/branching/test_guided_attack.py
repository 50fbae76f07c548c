"""Attacks from where a proof is lost: what they find that others miss, and that they never prove anything."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from parsers import read_onnx
from parsers.errors import UnsoundBound
from parsers.vnnlib.read import specification
from tests.support.bound_search import smallest_found
from tests.support.bounding import repeated
from tests.support.networks.classifiers import CLASSES, FEATURES, STEPS, write_network
from tests.support.networks.combination_locks import KEY, NETWORKS
from tests.support.networks.known_margins import Line, balls, samples
from tests.support.subproblems import tree_of_each
from verifier.attack.replay import Replay
from verifier.bounds.inheritance import Inherited, Subproblem
from verifier.bounds.region_bounds import Bounds, bound_region
from verifier.network.evaluator import Evaluator
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem import points
from verifier.problem.budget import Budget, Refute
from verifier.problem.halfspace import Halfspace
from verifier.problem.question import Objective
from verifier.problem.region import Region, ball_region, box_region
from verifier.problem.settings import Settings
from verifier.proof.branching.gate_splitting import BranchingEffort, branch_and_bound
from verifier.proof.branching.guided_attack import GuidedAttack, lowest
from verifier.proof.branching.input_splitting import divide
from verifier.proof.branching.trees import Trees
from verifier.proof.prover import Prover
from verifier.proof.results import MarginBounds
from verifier.propagation.splits import Splits
from verifier.queries.answer import Answer, answer
from verifier.queries.composed import ComposedNetwork
from verifier.robustness.certify import certify
from verifier.robustness.classifier import Classifier, Counterexample, Proved
from verifier.robustness.outcome import Outcome, Verdict

LOCKS = ["rnn_tanh", "rnn_relu", "lstm_count", "gru_reset_after", "bidirectional_gru"]
REAL = RoundingModel(deployed=False)
SETTINGS = Settings(slope_steps=2)


def _lock(name: str, folder: Path, steps: int = 6, features: int = 2) -> Classifier:
    path = NETWORKS[name].write(steps, features, 0.02, folder / f"{name}.onnx")
    return Classifier(Replay(path), {}, SETTINGS)


def _boxes(entries: int) -> Region:
    """Boxes with the key at a corner, with the key a little inside of it, and without it."""
    away = np.random.default_rng(1).choice([-1.0, 1.0], entries)
    width = away * np.random.default_rng(2).uniform(0.1, 0.4, entries)
    key = np.full(entries, KEY)
    spans = [(key, key + width), (key - 1e-6 * away, key + width), (key + 0.1 * away, key + width)]
    ends = torch.as_tensor(np.array(spans))
    return box_region(ends.amin(1), ends.amax(1))


@pytest.mark.parametrize("name", LOCKS)
def test_a_plant_that_gradients_do_not_see_is_found(name: str, tmp_path: Path) -> None:
    lock, region = _lock(name, tmp_path), _boxes(12)
    attacked = lock.attack(region, [0, 0, 0])
    assert not any(attacked.broken)
    assert min(m for m in attacked.margin if m is not None) > 0.4
    found = [lock.margins(region, [0, 0, 0], Budget()) for _ in range(2)]
    assert set(found[0].broken) == {0, 1}
    assert max(point.margin for point in found[0].broken.values()) < -0.4
    assert bool((found[0].bounds.lower[:2] <= 0).all())
    assert float(found[0].bounds.lower[2]) > 0
    for k in (0, 1):  # nothing is left to chance
        np.testing.assert_equal(found[0].broken[k].inputs, found[1].broken[k].inputs)
    assert torch.equal(found[0].bounds.per_class, found[1].bounds.per_class)


def test_certify_calls_it_broken(tmp_path: Path) -> None:
    lock, region = _lock("gru_reset_after", tmp_path), _boxes(12)
    some = samples(0.0, 1.0, 2.0)

    class Shut:
        """The lock, as it is seen without looking closer: nothing but class 0."""

        attack, margins = lock.attack, lock.margins

        def predict(self, samples: Sequence[object]) -> list[int]:
            return [0] * len(samples)

    found = {o.index: o for o in certify(Shut(), some, region) if isinstance(o, Outcome)}
    assert [found[k].verdict for k in range(3)] == [Verdict.broken, Verdict.broken, Verdict.certified]
    for k in (0, 1):
        assert (found[k].method, found[k].lower) == ("guided-pgd", None)
        (x,) = (found[k].counterexample or {}).values()
        assert bool(region.select(torch.tensor([k])).contains(torch.as_tensor(x).reshape(1, -1)))
        assert (found[k].upper or 0.0) < -0.4


class Question:
    """Goals between a CROWN bound and the truth, which branching reaches; few entries move or all."""

    def __init__(self, few: bool, folder: Path) -> None:
        graph = read_onnx(write_network("lstm", folder))
        self.program = compile_program(graph)
        centre = torch.randn(1, STEPS * FEATURES, generator=torch.Generator().manual_seed(3)).double()
        reach = torch.full_like(centre, 0.2)
        if few:
            reach = torch.zeros_like(centre)
            reach[0, [0, FEATURES + 1, 2 * FEATURES]] = 1.0
        self.few, self.region = few, box_region(centre - reach, centre + reach)
        rows = torch.eye(CLASSES).double()
        known = bound_region(self.program, self.region, REAL).minimum(Objective(rows[None]))[0]
        goal = known + (0.5 if few else 0.05) * (smallest_found(graph, self.region, rows[None])[0] - known)
        self.trees = tree_of_each(rows, goal, known)

    def above(self, budget: Budget) -> Tensor:
        if self.few:
            return divide(self.trees, self.region, self._bounds, budget, together=64)
        effort = BranchingEffort(parts=64, candidates=4, root_steps=1, steps=6, nodes=400)
        return branch_and_bound(self.trees, self._bounds(self.region), self._part, budget, effort=effort)

    def _bounds(self, region: Region) -> Bounds:
        return bound_region(self.program, region, REAL)

    def _part(self, place: Tensor, splits: Splits, inherited: Inherited, halfspace: Halfspace) -> Bounds:
        cut = self.region.select(place).within(halfspace)
        return bound_region(self.program, cut, REAL, part=Subproblem(splits=splits, inherited=inherited))


@pytest.mark.parametrize("few", [True, False])
def test_what_a_callback_says_never_proves_anything(few: bool, tmp_path: Path) -> None:
    question, asked = Question(few, tmp_path), []

    def refute(settled: bool) -> Refute:
        def says(instance: Tensor, row: Tensor, starts: Tensor) -> Tensor:
            asked.append((instance.tolist(), row.tolist()))
            inside = points.project(repeated(question.region, len(starts)), starts)
            torch.testing.assert_close(inside, starts, rtol=0, atol=1e-12)
            return torch.full_like(instance, settled, dtype=torch.bool)

        return says

    limit = time.monotonic() + 60
    assert bool((question.above(Budget(limit, refute=refute(False))) > 0).all())
    assert asked
    asked.clear()
    assert not bool((question.above(Budget(limit, refute=refute(True))) > 0).all())
    assert len(asked) == 1  # then there is nothing left to search


def test_a_settled_instance_stays_unproved(tmp_path: Path) -> None:
    verifier = Prover(read_onnx(write_network("lstm", tmp_path)), SETTINGS)
    x = torch.randn(3, STEPS * FEATURES, generator=torch.Generator().manual_seed(3))
    labels = Evaluator(verifier.graph).flat(x).argmax(-1)
    region = ball_region(x, torch.tensor([2.0, 0.001, 2.0]), math.inf)
    asked: set[int] = set()

    def lies(instance: Tensor, wanted: Tensor, starts: Tensor) -> Tensor:
        assert not bool((wanted == labels[instance]).any())
        assert starts.shape == (len(instance), STEPS * FEATURES)
        asked.update(instance.tolist())
        return torch.ones_like(instance, dtype=torch.bool)

    begun = time.monotonic()
    found = verifier.margins(region, labels, Budget(begun + 600, refute=lies))
    assert asked == {0, 2}
    assert [bool(lower > 0) for lower in found.lower] == [False, True, False]
    assert found.finished
    assert time.monotonic() < begun + 300


def test_what_is_proved_and_broken_is_an_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, region = _lock("rnn_relu", tmp_path), _boxes(12)

    def wrong(_: Prover, region: Region, labels: Sequence[int], budget: Budget) -> MarginBounds:
        assert budget.refute is not None
        first = torch.zeros(1, dtype=torch.int64)
        budget.refute(first, first + 1, torch.full((1, 12), KEY, dtype=torch.float64))
        return MarginBounds(torch.ones(len(region), 2), "wrong", True, ("",) * len(labels))

    monkeypatch.setattr(Prover, "margins", wrong)
    with pytest.raises(UnsoundBound, match="another class in a region that was proved"):
        lock.margins(region, [0, 0, 0])


def test_the_lowest_point_is_nowhere_undercut() -> None:
    generator = torch.Generator().manual_seed(0)
    x, normal = (torch.randn(3, 8, generator=generator).double() for _ in range(2))
    for p in (1.0, 2.0, math.inf):
        region = ball_region(x, 0.3, p)
        least = (lowest(region, normal) * normal).sum(-1)
        others = points.sample(repeated(region, 500), generator)
        assert bool((least <= (others * normal.repeat_interleave(500, 0)).sum(-1).reshape(3, -1).T).all())


def _trees(group: Sequence[int]) -> Trees:
    count = len(group)
    place, rows = torch.zeros(count, dtype=torch.int64), torch.zeros(count, 1, dtype=torch.float64)
    return Trees(place, torch.tensor(group), torch.arange(count), Objective(rows.unsqueeze(1)), rows, rows)


def test_the_worst_part_of_every_group_is_attacked_once() -> None:
    asked: list[tuple[list[int], list[int]]] = []

    def refute(instance: Tensor, row: Tensor, starts: Tensor) -> Tensor:
        asked.append((instance.tolist(), row.tolist()))
        assert starts.tolist() == [[-1.0]] * len(starts)
        return instance == 1

    attack = GuidedAttack(_trees([0, 0, 1, 1]), Budget(refute=refute))
    region = box_region(torch.tensor([[-1.0]]), torch.tensor([[1.0]]))

    def look(above: list[float]) -> None:
        attack._begun -= 3600.0  # there is time for everything
        every = torch.arange(4)
        normal = torch.ones(4, 1, dtype=torch.float64)
        attack.look(every, torch.tensor(above).double(), normal, lambda k: region.select(0 * k))

    look([-1.0, -2.0, -3.0, 0.5])
    assert asked == [([0, 1], [1, 2])]
    assert attack.settled.tolist() == [False, False, True, True]
    look([-1.0, -2.0, -3.0, 0.5])
    assert len(asked) == 1  # nothing is new
    look([-1.0, -0.5, -2.5, 0.5])
    assert asked[1:] == [([0], [0])]
    look([0.1, 0.2, -2.5, 0.5])
    assert len(asked) == 2  # nothing is undecided


def test_attacks_take_a_small_share_of_the_time() -> None:
    spent = 0.0

    def slow(instance: Tensor, row: Tensor, starts: Tensor) -> Tensor:
        nonlocal spent
        del row, starts
        begun = time.monotonic()
        time.sleep(0.01)
        spent += time.monotonic() - begun
        return torch.zeros_like(instance, dtype=torch.bool)

    begun, above = time.monotonic(), -1.0
    attack = GuidedAttack(_trees([0]), Budget(refute=slow))
    region = box_region(torch.tensor([[-1.0]]), torch.tensor([[1.0]]))
    while time.monotonic() < begun + 0.6:
        above /= 1.001
        first, normal = torch.zeros(1, dtype=torch.int64), torch.ones(1, 1, dtype=torch.float64)
        attack.look(first, torch.tensor([above]).double(), normal, lambda _: region)
    assert 0 < spent <= 0.1 * (time.monotonic() - begun) + 0.011


def test_a_broken_sample_is_not_called_certified() -> None:
    class Both(Line):
        def margins(self, region: Region, labels: Sequence[int], budget: Budget) -> Proved:
            return replace(super().margins(region, labels, budget), broken={0: Counterexample({}, -0.5)})

    some = samples(1.0, 1.0)
    events = certify(Both(able=False), some, balls(some).of(0.5))
    first, second = (event for event in events if isinstance(event, Outcome))
    assert (first.verdict, first.upper) == (Verdict.broken, -0.5)
    assert second.verdict is Verdict.certified


QUERY = """(vnnlib-version <2.0>)
(declare-network N (declare-input X float32 [6, 1, 2]) (declare-output Y float32 [1, 2]))
(assert (and {box}))
(assert (>= Y[0, 1] Y[0, 0]))
"""


def test_a_query_is_answered_sat_from_its_proof(tmp_path: Path) -> None:
    path = NETWORKS["gru_reset_after"].write(6, 2, 0.02, tmp_path / "lock.onnx")
    region = _boxes(12).select(torch.tensor([1]))
    ends = zip(region.lower[0].tolist(), region.upper[0].tolist(), strict=True)
    box = " ".join(
        f"(>= X[{k // 2}, 0, {k % 2}] {low:.9f}) (<= X[{k // 2}, 0, {k % 2}] {high:.9f})"
        for k, (low, high) in enumerate(ends)
    )
    network = ComposedNetwork(specification(QUERY.format(box=box)), {"N": path}, lambda: SETTINGS)
    (case,) = network.cases
    found = network.prove(case)
    assert not found.proved
    assert found.witness is not None

    class Careless:
        """The network, with nothing tried before the proof."""

        run, prove, cases = network.run, network.prove, network.cases

        def samples(self, cases: object) -> list[dict[str, np.ndarray]]:
            del cases
            return []

        def candidates(self, cases: object, deadline: float) -> list[dict[str, np.ndarray]]:
            del cases, deadline
            return []

        def glance(self, case: object, deadline: float) -> bool:
            del case, deadline
            return False

    result = answer(network.spec, Careless())  # type: ignore[arg-type]
    assert result.verdict is Answer.sat
    assert "the proof led to" in result.reason
    assert result.witness is not None
    assert network.spec.satisfied_by(*result.witness)
