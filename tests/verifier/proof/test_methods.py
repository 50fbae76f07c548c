"""The table of methods: complete and in order, words for people, and what a budget lets it do."""

from __future__ import annotations

import math
import pickle
import time
from pathlib import Path

import pytest
import torch

from parsers import read_onnx
from parsers.errors import OutOfTime
from tests.support.networks.classifiers import FEATURES, STEPS, write_network
from verifier.network.evaluator import Evaluator
from verifier.problem.budget import Budget
from verifier.problem.method import OLD_NAMES, Method
from verifier.problem.region import Region, ball_region
from verifier.problem.settings import Settings
from verifier.proof.methods import METHODS
from verifier.proof.prover import Prover


def test_every_method_has_one_row_in_order() -> None:
    assert [step.method for step in METHODS if step.method is not None] == list(Method)
    assert sorted(Method) == list(Method)


def test_names_are_words_and_old_ones_are_taken() -> None:
    assert [m.value for m in Method] == [
        *(
            "interval",
            "truncated-crown",
            "crown",
            "crown-octagon",
            "alpha-crown",
            "clip",
            "multi-neuron",
            "bab",
        )
    ]
    assert list(OLD_NAMES) == ["backward", "corners", "slopes", "clipping", "joint", "branching"]
    assert all(0 < len(m.about.help) <= 72 for m in Method)
    assert pickle.loads(pickle.dumps(Method.bab)) is Method.bab


def test_what_a_budget_allows() -> None:
    soon = time.monotonic() + 60
    assert not Budget().allows(Method.bab)  # it would never end
    assert Budget(soon).allows(Method.bab)
    assert not Budget(method=Method.bab).allows(Method.multi_neuron)  # nobody asked for what takes long
    assert Budget(method=Method.multi_neuron).allows(Method.multi_neuron)
    assert Budget(soon).allows(Method.multi_neuron)
    assert not Budget(soon, Method.crown).allows(Method.crown_octagon)
    assert not Budget(soon, skip=frozenset({Method.clip})).allows(Method.clip)


def test_a_budget_that_is_over_says_so() -> None:
    Budget().check()
    with pytest.raises(OutOfTime):
        Budget(time.monotonic() - 1).check()


def _prover(folder: Path) -> tuple[Prover, Region, list[int]]:
    graph = read_onnx(write_network("lstm", folder))
    x = torch.randn(3, STEPS * FEATURES, generator=torch.Generator().manual_seed(5)).double()
    region = ball_region(x, torch.tensor([0.005, 0.1, 2.0]), math.inf)
    return Prover(graph, Settings(slope_steps=3)), region, Evaluator(graph).flat(x).argmax(-1).tolist()


def test_no_method_goes_further_than_asked_and_none_lowers_a_bound(tmp_path: Path) -> None:
    prover, region, labels = _prover(tmp_path)
    before = torch.full((3, 3), -math.inf, dtype=torch.float64)
    for method in Method:
        found = prover.margins(region, labels, Budget(method=method))
        assert Method(found.method) <= method
        assert found.finished
        assert [bool(text) for text in found.why] == (found.lower <= 0).tolist()
        if method not in (Method.truncated_crown, Method.bab):  # tried where asked for by name, or in time
            assert bool((found.per_class >= before - 1e-9).all())
            before = found.per_class
    assert found.method == Method.clip.value  # what is deeper needs a time limit, or to be asked for by name


def test_late_bounds_are_cheap_ones_and_say_so(tmp_path: Path) -> None:
    prover, region, labels = _prover(tmp_path)
    found = prover.margins(region, labels, Budget(time.monotonic() - 1))
    assert (found.method, found.finished) == (Method.interval.value, False)
    assert "the time was over" in found.why[2]
    cheap = prover.margins(region, labels, Budget(method=Method.interval))
    assert torch.equal(found.per_class, cheap.per_class)
    assert cheap.finished


def test_strict_budgets_give_up_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prover, region, labels = _prover(tmp_path)
    monkeypatch.setattr(Budget, "over", property(lambda _: False))
    monkeypatch.setattr(
        Budget, "check", lambda _: None
    )  # what is left are the bounds' own looks at the clock
    past = time.monotonic() - 1
    strict = prover.margins(region, labels, Budget(past, Method.crown, strict=True))
    assert (strict.method, strict.finished) == (Method.interval.value, False)
    late = prover.margins(region, labels, Budget(past, Method.crown))
    assert (late.method, late.finished) == (Method.crown.value, True)


def test_time_spent_in_clipping_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline comes while clipping is at work: what is undecided then might have been decided."""
    prover, region, labels = _prover(tmp_path)
    budget = Budget(time.monotonic() + 3600, Method.clip, frozenset({Method.alpha_crown}))

    def late(over, rows, **_):  # type: ignore[no-untyped-def]
        del over
        monkeypatch.setattr(Budget, "over", property(lambda _: True))
        return rows

    monkeypatch.setattr("verifier.proof.methods.clipped", late)
    found = prover.margins(region, labels, budget)
    assert (found.method, found.finished) == (Method.clip.value, False)
