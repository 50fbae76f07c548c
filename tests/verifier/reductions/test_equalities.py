"""What equalities of inputs make of cases and points: implied by them, never more."""

from __future__ import annotations

import numpy as np
import pytest

from parsers import evaluate_numpy
from parsers.compose import with_equal_inputs
from parsers.ir import Value
from parsers.specification import Case, Specification
from parsers.vnnlib.read import specification
from tests.support.networks.handmade import Builder
from verifier.reductions.equalities import Equalities
from verifier.reductions.reduction import Problem

TEXT = """(vnnlib-version <2.0>)
(declare-network N
  (declare-input X float32 [3]) (declare-input K int64 [1]) (declare-output Y float32 [1]))
(declare-network M (equal-to N)
  (declare-input A float32 [3]) (declare-input L int64 [1]) (declare-output B float32 [1]))
(assert (and (>= X[0] 0.0) (<= X[0] 0.7) (== K[0] 1) (>= A[0] 0.2) (<= A[0] 1.0) (== L[0] 1)))
(assert (and (>= X[1] -1.0) (<= X[1] 1.0) (>= X[2] -1.0) (<= X[2] 1.0)))
(assert (and (>= A[1] -1.0) (<= A[1] 1.0) (>= A[2] -1.0) (<= A[2] 1.0)))
(assert (and (== X[0] A[0]) (== A[1] X[1]) (== X[1] X[2]) (== K[0] L[0]) (== (* 2.0 X[2]) (* 2.0 A[2]))))
"""
INPUTS = [Value("x", (3,)), Value("k", (1,), "int64"), Value("a", (3,)), Value("l", (1,), "int64")]
OUTPUTS = [Value("y", (1,)), Value("b", (1,))]


def query(rest: str) -> Specification:
    return specification(TEXT + rest).bind(INPUTS, OUTPUTS)


def test_classes_have_one_leader() -> None:
    """x0=a0, and x1=x2=a1=a2; elements run x 0–2, k 3, a 4–6, l 7."""
    assert dict(Equalities.of(query("(assert (<= Y[0] B[0]))")).leader) == {4: 0, 2: 1, 5: 1, 6: 1, 7: 3}


@pytest.mark.parametrize(
    "other",
    [
        "(== X[0] (* 2.0 A[0]))",
        "(== X[0] (+ A[0] 0.1))",
        "(<= X[0] A[0])",
        "(or (== X[0] A[0]) (<= Y[0] 0.0))",
        "(== X[0] Y[0])",
        "(!= X[0] A[0])",
    ],
)
def test_nothing_else_is_a_tie(other: str) -> None:
    text = TEXT[: TEXT.index("(assert (and (== X[0] A[0])")] + f"(assert {other})"
    assert not Equalities.of(specification(text).bind(INPUTS, OUTPUTS)).leader


def reduced(ties: Equalities, spec: Specification) -> tuple[Case, ...]:
    net = Builder("four", {v.name: v.shape for v in INPUTS})
    return ties.apply(Problem({"": net.graph(net.node("tanh", "x"))}, spec.cases)).cases


def tied() -> tuple[Equalities, Case, Case]:
    spec = query("(assert (<= (+ Y[0] X[1] (* 3.0 A[2]) A[0]) (+ B[0] X[0])))")
    ties = Equalities.of(spec)
    (case,) = spec.cases
    (made,) = reduced(ties, spec)
    return ties, case, made


def test_boxes_are_intersections() -> None:
    _, _, made = tied()
    for boxes in (made.boxes, made.witnesses):
        assert boxes is not None
        np.testing.assert_allclose([boxes["x"].lower[0], boxes["x"].upper[0]], [0.2, 0.7], rtol=1e-6)
        np.testing.assert_array_equal(boxes["x"].lower[0], boxes["a"].lower[0])


def test_points_that_satisfy_the_equalities_keep_their_truth() -> None:
    ties, case, made = tied()
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = {v.name: np.round(rng.normal(size=v.shape) * 8) / 8 for v in INPUTS}
        point = ties.back(drawn)
        values = {**point, "y": rng.normal(size=1), "b": rng.normal(size=1)}
        for before, after in zip(case.constraints, made.constraints, strict=True):
            left = [
                sum(float((r * values[n]).sum()) for n, r in c.coefficients.items()) for c in (before, after)
            ]
            assert left[0] == pytest.approx(left[1], abs=1e-12)
        moved = {n: r for c in made.constraints for n, r in c.coefficients.items()}
        assert not moved["a"].any()


def test_boxes_without_a_common_point_refute_a_case() -> None:
    spec = query("(assert (<= X[1] -0.5))(assert (>= A[2] 0.5))")
    assert len(spec.cases) == 1
    assert not reduced(Equalities.of(spec), spec)


def test_boxes_that_cases_share_stay_shared() -> None:
    spec = query("(assert (or (<= Y[0] B[0]) (<= Y[0] 1.0)))")
    first, second = reduced(Equalities.of(spec), spec)
    assert first.boxes is second.boxes


def test_a_graph_reads_the_leaders() -> None:
    net = Builder("pair", {"x": (2,), "a": (1, 2)})
    graph = net.graph(net.node("tanh", "x"), net.node("relu", "a"))
    reading = with_equal_inputs(graph, {2: 0, 3: 1})
    rng = np.random.default_rng(1)
    x, a = rng.normal(size=2), rng.normal(size=(1, 2))
    got = evaluate_numpy(reading, {"x": x, "a": a})
    np.testing.assert_array_equal(got[graph.outputs[0]], np.tanh(x))
    np.testing.assert_array_equal(got[graph.outputs[1]], np.maximum(x, 0)[None])
