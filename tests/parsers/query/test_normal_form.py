"""The cases of a specification and its witness check mean what the formula means, at every point."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings

import parsers.specification
from parsers.errors import BadQuery
from parsers.query.formula import Comparison, Formula
from parsers.query.normal_form import MAX_ALTERNATIVES, NormalForm, normal_form
from parsers.vnnlib.read import specification
from tests.support.queries.formulas import bounded, check, formulas, points, version_1, version_2

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)


@SETTINGS
@given(formulas.map(bounded), points)
def test_version_2_means_its_formula(formula, point) -> None:
    check(specification(version_2(formula)), formula, point)


@SETTINGS
@given(formulas.map(bounded), points)
def test_version_1_means_its_formula(formula, point) -> None:
    check(specification(version_1(formula)), formula, point)


EITHER = bounded(
    ("or", ((">=", ("element", 2), ("element", 3)), ("<", ("element", 2), ("number", Fraction(0)))))
)


@pytest.mark.parametrize("point", [(0, 0, 1, 0), (0, 0, -1, 0)])
def test_a_dropped_disjunct_is_noticed(monkeypatch: pytest.MonkeyPatch, point: tuple[int, ...]) -> None:
    """The check above can fail: a normal form that forgets one of its alternatives does not pass it."""
    check(specification(version_2(EITHER)), EITHER, point)

    def forgetful(formula: Formula, inputs: int) -> NormalForm:
        whole = normal_form(formula, inputs)
        return replace(whole, alternatives=whole.alternatives[1:] if point[2] > 0 else whole.alternatives[:1])

    monkeypatch.setattr(parsers.specification, "normal_form", forgetful)
    with pytest.raises(AssertionError):
        check(specification(version_2(EITHER)), EITHER, point)


HEADER = """(vnnlib-version <2.0>)
(declare-network N (declare-input X float32 [2]) (declare-output Y float32 [10]))
(assert (and (>= X[0] 0.0) (<= X[0] 1.0) (>= X[1] 0.0) (<= X[1] 1.0)))
"""


def test_assertions_are_conjoined() -> None:
    """Two disjunctions are four conjunctions of two, not a disjunction of four single constraints."""
    spec = specification(
        HEADER + "(assert (or (<= Y[0] 1.0) (<= Y[1] 2.0)))\n(assert (or (<= Y[2] 3.0) (<= Y[3] 4.0)))"
    )
    found = {tuple(sorted(-c.constant for c in case.constraints)) for case in spec.cases}
    assert found == {(1.0, 3.0), (1.0, 4.0), (2.0, 3.0), (2.0, 4.0)}


def test_a_classification_query_shares_one_box() -> None:
    rivals = "".join(f"(>= Y[{i}] Y[0])" for i in range(1, 10))
    spec = specification(HEADER + f"(assert (or {rivals}))")
    assert len(spec.cases) == 9
    assert len({id(case.boxes) for case in spec.cases}) == 1
    assert all(len(case.constraints) == 1 for case in spec.cases)


def test_a_box_inside_the_same_assertion_is_shared_too() -> None:
    box = HEADER.split("(assert ")[1].rstrip()[:-1]
    rivals = "".join(f"(>= Y[{i}] Y[0])" for i in range(1, 10))
    spec = specification(HEADER.split("(assert ")[0] + f"(assert (and {box} (and (or {rivals}))))")
    assert len({id(case.boxes) for case in spec.cases}) == 1


def test_large_products_are_refused_at_once() -> None:
    intervals = "".join(
        f"(and (>= X[0] {i / 4000}) (<= X[0] {(i + 0.5) / 4000}) (<= Y[0] 0.0))" for i in range(4000)
    )
    with pytest.raises(BadQuery, match="alternatives"):
        specification(HEADER + f"(assert (or {intervals}))" * 2)


def test_disjoint_regions_do_not_multiply() -> None:
    """Disjunctions over input regions are intersected as they are multiplied: 12 bits make 2, not 4096."""
    halves = "(assert (or (and (<= X[0] 0.25) (<= Y[{0}] 0.0)) (and (>= X[0] 0.75) (<= Y[{0}] 1.0))))\n"
    spec = specification(HEADER + "".join(halves.format(i % 10) for i in range(12)))
    assert len(spec.cases) == 2


def test_too_many_alternatives_are_refused() -> None:
    either = "(assert (or (<= Y[0] 0.0) (>= Y[1] 1.0)))\n"
    with pytest.raises(BadQuery, match=f"{MAX_ALTERNATIVES:,} alternatives"):
        specification(HEADER + either * 20)


@pytest.mark.parametrize(
    ("assertion", "count"),
    [
        ("(assert (>= X[0] 2.0))", 0),
        ("(assert (and (< X[0] 0.5) (> X[0] 0.5)))", 0),
        ("(assert (< 1.0 0.0))", 0),
        ("(assert (<= 0.0 1.0))", 1),
        ("(assert (<= (- X[0] X[0]) 1.0))", 1),
        ("(assert (or (>= X[0] 2.0) (<= Y[0] 0.0)))", 1),
        ("(assert (!= Y[0] 0.5))", 2),
        ("(assert (== Y[0] Y[1]))", 1),
        ("(assert (!= X[0] 0.5))", 2),
    ],
)
def test_number_of_cases(assertion: str, count: int) -> None:
    assert len(specification(HEADER + assertion).cases) == count


def test_comparison_of_inputs_and_outputs_is_one_constraint() -> None:
    spec = specification(HEADER + "(assert (<= (+ Y[1] (* 0.5 X[1])) (- 2.0 X[0])))")
    ((constraint,),) = (case.constraints for case in spec.cases)
    assert constraint.coefficients["X"].tolist() == [1.0, 0.5]
    assert constraint.coefficients["Y"].tolist() == [0, 1] + [0] * 8
    assert constraint.constant == -2.0
    assert not constraint.strict


def test_constants_alone_are_decided() -> None:
    assert not normal_form(Comparison({}, Fraction(1), "<="), 0).alternatives
