"""The answer to a query, on networks of which everything is known."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest

from parsers.assignment import format_assignment
from parsers.errors import BadQuery
from parsers.ir import Value
from parsers.onnx.file.dimensions import InputSpec
from parsers.specification import Case, Specification
from parsers.vnnlib.read import specification
from verifier.problem.budget import Budget
from verifier.proof.results import ProofResult
from verifier.queries.answer import Answer, QueryResult, answer
from verifier.queries.binding import bindings

Arrays = Mapping[str, np.ndarray]

ABOVE = """(vnnlib-version <2.0>)
(declare-network N (declare-input X float32 [2]) (declare-output Y float32 [1]))
(assert (and (>= X[0] 0.0) (<= X[0] 1.0) (>= X[1] 0.0) (<= X[1] 1.0)))
(assert (or (>= Y[0] {threshold}) (<= Y[0] -1.0)))
"""


class Sum:
    """y = x₀ + x₁, with a proof that loses `loss` and an attack that offers `offers`."""

    def __init__(self, offers: Sequence[tuple[float, float]] = ((1.0, 1.0),), loss: float = 0.0) -> None:
        self.offers, self.loss = offers, loss
        self.proofs = 0
        self.finished = True
        self.lies = 0.0
        self.cases: tuple[Case, ...] = ()

    def run(self, inputs: Arrays) -> Arrays:
        return {"y": np.array([inputs["x"].sum() + self.lies], np.float32)}

    def samples(self, cases: Sequence[Case]) -> Iterator[Arrays]:
        del cases
        return iter(())

    def candidates(self, cases: Sequence[Case], deadline: float) -> Iterator[Arrays]:
        del cases, deadline
        return ({"x": np.array(offer, np.float32)} for offer in self.offers)

    def glance(self, case: Case, deadline: float) -> bool:
        del case, deadline
        return False

    def prove(self, case: Case, budget: Budget) -> ProofResult:
        del budget
        self.proofs += 1
        box = case.boxes["x"]
        bounds = []
        for c in case.constraints:
            factor = float(c.coefficients["y"][0])
            bounds.append(factor * (box.lower if factor > 0 else box.upper).sum() + c.constant)
        bound = max(bounds) - self.loss
        return ProofResult(bound > 0, bound, "exact", self.finished)


def query(threshold: float) -> Specification:
    spec = specification(ABOVE.format(threshold=threshold))
    return spec.bind([Value("x", (2,))], [Value("y", (1,))])


def answered(spec: Specification, network: Sum, budget: Budget = Budget()) -> QueryResult:
    network.cases = spec.cases
    return answer(spec, network, budget)


def test_sat_comes_with_the_assignment() -> None:
    result = answered(query(1.5), Sum())
    assert result.verdict is Answer.sat
    assert result.witness is not None
    assert format_assignment(query(1.5), *result.witness) == "X float32 [2]\n1.0\n1.0\nY float32 [1]\n2.0"


def test_unsat_needs_every_case() -> None:
    network = Sum()
    assert answered(query(2.5), network).verdict is Answer.unsat
    assert network.proofs == 2


def test_unknown_where_neither_is_found() -> None:
    result = answered(query(1.5), Sum(offers=[(0.0, 0.0)]))
    assert result.verdict is Answer.unknown
    assert result.witness is None


@pytest.mark.parametrize("offer", [(1.0, 1.0000001), (2.0, 2.0), (-0.5, 3.0)])
def test_a_point_outside_of_the_box_is_no_counterexample(offer: tuple[float, float]) -> None:
    assert answered(query(1.5), Sum(offers=[offer])).verdict is Answer.unknown


@pytest.mark.parametrize("lies", [-1.0, np.nan, np.inf])
def test_only_what_the_file_computes_counts(lies: float) -> None:
    network = Sum()
    network.lies = lies
    assert answered(query(1.5), network).verdict is Answer.unknown


def test_no_proof_beyond_its_loss() -> None:
    assert answered(query(2.5), Sum(loss=0.6)).verdict is Answer.unknown


def test_a_second_candidate_can_be_the_right_one() -> None:
    assert answered(query(1.5), Sum(offers=[(0.5, 0.5), (1.0, 0.75)])).verdict is Answer.sat


def test_time_runs_out() -> None:
    assert answered(query(2.5), Sum(), Budget(time.monotonic() - 1)).verdict is Answer.timed_out
    network = Sum(loss=0.6)
    network.finished = False
    assert answered(query(2.5), network).verdict is Answer.timed_out


def test_a_proof_that_was_cut_short_but_holds_is_a_proof() -> None:
    network = Sum()
    network.finished = False
    assert answered(query(2.5), network).verdict is Answer.unsat


def test_an_empty_box_is_unsat_without_a_network() -> None:
    text = ABOVE.format(threshold=0.0) + "(assert (<= X[0] -1.0))\n"
    spec = specification(text).bind([Value("x", (2,))], [Value("y", (1,))])
    network = Sum()
    assert answered(spec, network).verdict is Answer.unsat
    assert network.proofs == 0


def test_an_unbound_query_is_refused() -> None:
    with pytest.raises(BadQuery):
        answer(specification(ABOVE.format(threshold=0.0)), Sum())


# --- free dimensions ------------------------------------------------------------------------------------


def flat(count: int) -> Specification:
    """A VNN-LIB 1.0 query about `count` inputs."""
    declared = "".join(
        f"(declare-const X_{i} Real)(assert (>= X_{i} 0))(assert (<= X_{i} 1))" for i in range(count)
    )
    return specification(declared + "(declare-const Y_0 Real)(assert (>= Y_0 0))")


def test_version_2_gives_the_shapes() -> None:
    assert bindings("2.0", query(1.0).inputs, [InputSpec("x", "float32", ("n",))]) == {"x": (2,)}
    assert bindings("2.0", query(1.0).inputs, [InputSpec("x", "float32", (3,))]) == {}
    assert bindings("2.0", query(1.0).inputs, [InputSpec("x", "float32", ("n", 2))]) == {}


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        (("batch", "time", 4), {"time": 3}),
        (("time", 1, 4), {"time": 3}),
        (("time", 1, 5), {}),  # 12 is no multiple of 5
        (("time", "features"), {}),  # 12 = 3·4 = 2·6 = …
        (("time", "time", 3), {}),
        ((1, 3, 4), {}),
    ],
)
def test_version_1_leaves_room_for_one_dimension(
    dims: tuple[int | str, ...], expected: dict[str, int]
) -> None:
    assert bindings("1.0", flat(12).inputs, [InputSpec("x", "float32", dims)]) == expected


def test_version_1_with_a_second_input() -> None:
    specs = [InputSpec("x", "float32", ("time", 1, 4)), InputSpec("h", "float32", (1, 4))]
    assert bindings("1.0", flat(12).inputs, specs) == {"time": 2}
