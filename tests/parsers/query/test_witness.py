"""A witness is checked exactly, and printed so that it parses back to the same floats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from parsers.assignment import assignment, format_assignment
from parsers.errors import BadInput, BadQuery
from parsers.ir import Value
from parsers.specification import Specification
from parsers.vnnlib.read import specification

F32 = np.float32
HEADER = """(vnnlib-version <2.0>)
(declare-network N (declare-input X {0} [2]) (declare-output Y {0} [2]))
(assert (and (>= X[0] 0.0) (<= X[0] 1.0) (>= X[1] 0.0) (<= X[1] 1.0)))
"""


def above(x: float) -> np.float32:
    return np.nextafter(F32(x), F32(np.inf))


def below(x: float) -> np.float32:
    return np.nextafter(F32(x), F32(-np.inf))


@pytest.mark.parametrize(
    ("assertion", "x", "y", "expected"),
    [
        ("(<= Y[0] 0.5)", 0.5, F32(0.5), True),
        ("(<= Y[0] 0.5)", 0.5, above(0.5), False),
        ("(< Y[0] 0.5)", 0.5, F32(0.5), False),
        ("(< Y[0] 0.5)", 0.5, below(0.5), True),
        ("(>= Y[0] Y[1])", 0.5, F32(0.0), True),
        ("(> Y[0] Y[1])", 0.5, F32(0.0), False),
        ("(> Y[0] Y[1])", 0.5, F32(1e-45), True),
        ("(== Y[0] 0.5)", 0.5, F32(0.5), True),
        ("(!= Y[0] 0.5)", 0.5, F32(0.5), False),
        # 0.1 is between two float32 values; the nearest, 0.100000001, is above it
        ("(<= Y[0] 0.1)", 0.5, F32(0.1), False),
        ("(<= Y[0] 0.1)", 0.5, below(0.1), True),
        ("(>= Y[0] 0.1)", 0.5, F32(0.1), True),
        ("(> Y[0] 0.1)", 0.5, F32(0.1), False),  # true of the decimal, not of the float32
        ("(> Y[0] 0.1)", 0.5, above(0.1), True),
        ("(== X[0] 0.1)", F32(0.1), F32(0), True),  # a bound on an input means its float32
        ("(<= X[0] 0.1)", F32(0.1), F32(0), True),
        ("(<= X[0] 0.1)", above(0.1), F32(0), False),
        ("(< X[0] 0.1)", F32(0.1), F32(0), False),
        ("(<= (* 0.1 X[0]) 0.05)", 0.5, F32(0), True),
        ("(<= (+ X[0] Y[0]) 1.0)", 0.5, above(0.5), False),
        ("(or (<= Y[0] -1.0) (and (>= Y[0] 1.0) (>= X[0] 0.5)))", 0.5, F32(1), True),
        ("(or (<= Y[0] -1.0) (and (>= Y[0] 1.0) (>= X[0] 0.5)))", 0.25, F32(1), False),
    ],
)
def test_tolerance_is_zero(assertion: str, x: float, y: np.float32, expected: bool) -> None:
    spec = specification(HEADER.format("float32") + f"(assert {assertion})")
    found = spec.satisfied_by({"X": np.array([x, 0], F32)}, {"Y": np.array([y, 0], F32)})
    assert found == expected


def test_real_queries_mean_their_decimals() -> None:
    spec = specification(HEADER.format("real") + "(assert (== X[0] 0.1))(assert (<= Y[0] 1.0))")
    assert not spec.satisfied_by({"X": np.array([0.1, 0], F32)}, {"Y": np.zeros(2, F32)})


def test_an_input_outside_its_box_is_no_witness() -> None:
    spec = specification(HEADER.format("float32") + "(assert (<= Y[0] 1.0))")
    y = {"Y": np.zeros(2, F32)}
    assert spec.satisfied_by({"X": np.array([0, 1], F32)}, y)
    assert not spec.satisfied_by({"X": np.array([0, above(1)], F32)}, y)
    assert not spec.satisfied_by({"X": np.array([-1e-45, 1], F32)}, y)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "no values for input 'X'"),
        ({"X": np.zeros(3, F32)}, r"shape \[3\], not \[2\]"),
        ({"X": np.array([0, np.nan], F32)}, "NaN or infinite"),
        ({"X": np.array([0, np.inf], F32)}, "NaN or infinite"),
    ],
)
def test_values_that_make_no_sense(inputs: dict, message: str) -> None:
    spec = specification(HEADER.format("float32") + "(assert (<= Y[0] 1.0))")
    with pytest.raises(BadInput, match=message):
        spec.satisfied_by(inputs, {"Y": np.zeros(2, F32)})


# --- binding -----------------------------------------------------------------------------------------

FLAT = (
    "".join(f"(declare-const X_{i} Real)" for i in range(6))
    + "(declare-const Y_0 Real)(declare-const Y_1 Real)"
)
FLAT += "".join(f"(assert (<= {i}.0 X_{i} {i}.5))" for i in range(6)) + "(assert (<= X_4 Y_1))"


def test_flat_queries_are_matched_row_major_and_concatenated() -> None:
    bound = specification(FLAT).bind([Value("a", (1, 2, 2)), Value("b", (2,))], [Value("y", (1, 2))])
    (case,) = bound.cases
    assert case.boxes["a"].lower.tolist() == [[[0, 1], [2, 3]]]
    assert case.boxes["b"].upper.tolist() == [4.5, 5.5]
    (constraint,) = case.constraints
    assert {name: a.tolist() for name, a in constraint.coefficients.items()} == {"b": [1, 0], "y": [[0, -1]]}
    inputs = {"a": np.arange(4, dtype=F32).reshape(1, 2, 2), "b": np.array([4, 5], F32)}
    assert bound.satisfied_by(inputs, {"y": np.array([[0, 4]], F32)})
    assert not bound.satisfied_by(inputs, {"y": np.array([[4, 3]], F32)})
    assert format_assignment(bound, inputs, {"y": np.array([[0, 4]], F32)}).splitlines() == [
        "((X_0 0.0)",
        *(f" (X_{i} {i}.0)" for i in range(1, 6)),
        " (Y_0 0.0)",
        " (Y_1 4.0))",
    ]


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (
            [Value("x", (7,))],
            [Value("y", (2,))],
            r"declares X_0 … X_5, but the network's inputs 'x' \[7\] have 7",
        ),
        (
            [Value("x", (6,))],
            [Value("y", (1, 3))],
            r"Y_0 … Y_1, but the network's outputs 'y' \[1,3\] have 3",
        ),
        ([], [Value("y", (2,))], "the network's inputs none have 0"),
        ([Value("x", (6,), "bool")], [Value("y", (2,))], "'x' has type bool"),
    ],
)
def test_flat_queries_about_other_networks(inputs: list, outputs: list, message: str) -> None:
    with pytest.raises(BadQuery, match=message):
        specification(FLAT).bind(inputs, outputs)


MULTIPLE = """(vnnlib-version <2.0>)
(declare-network N
  (declare-input A float32 [2,1]) (declare-input B int64 [])
  (declare-output P float32 []) (declare-output Q float64 [1,2]))
(assert (and (<= 0.0 A[0,0]) (<= A[0,0] 1.0) (<= 0.0 A[1,0]) (<= A[1,0] 1.0) (<= 0 B) (<= B 3)))
(assert (<= (+ A[1,0] P) 2.5))
(assert (>= Q[0,1] 0.5))
"""
NETWORK = [Value("a", (2, 1)), Value("b", (), "int64")], [Value("p", ()), Value("q", (1, 2), "float64")]


def test_several_inputs_and_outputs_are_matched_in_order() -> None:
    bound = specification(MULTIPLE).bind(*NETWORK)
    (case,) = bound.cases
    assert set(case.boxes) == {"a", "b"}
    assert case.boxes["b"].upper.shape == ()
    assert [set(c.coefficients) for c in case.constraints] == [{"a", "p"}, {"q"}]
    inputs = {"a": np.array([[0], [1]], F32), "b": np.array(2)}
    outputs = {"p": np.array(1.5, F32), "q": np.array([[0, 0.5]])}
    assert bound.satisfied_by(inputs, outputs)
    printed = "A float32 [2,1]|0.0|1.0|B int64 []|2|P float32 []|1.5|Q float64 [1,2]|0.0|0.5"
    assert format_assignment(bound, inputs, outputs) == printed.replace("|", "\n")
    found = assignment(bound, inputs, outputs)
    assert list(found) == ["A", "B", "P", "Q"]
    assert [a.shape for a in found.values()] == [(2, 1), (), (), (1, 2)]
    assert [str(a.dtype) for a in found.values()] == ["float32", "int64", "float32", "float64"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "messages"),
    [
        (NETWORK[0][:1], NETWORK[1], [r"declares 2 inputs \(A, B\), the network has 1: 'a' \[2,1\]"]),
        (NETWORK[0][::-1], NETWORK[1], [r"A is declared \[2,1\], the network's 'b' is \[\]", "'b' is int64"]),
        (
            NETWORK[0],
            [Value("p", ()), Value("q", (2, 1))],
            [r"Q is declared \[1,2\]", "Q is declared float64"],
        ),
    ],
)
def test_queries_about_other_networks(inputs: list, outputs: list, messages: list[str]) -> None:
    for message in messages:
        with pytest.raises(BadQuery, match=message):
            specification(MULTIPLE).bind(inputs, outputs)


def test_real_is_any_float_but_no_integer() -> None:
    text = HEADER.format("real") + "(assert (<= Y[0] 1.0))"
    for dtype in ("float16", "float32", "float64"):
        specification(text).bind([Value("x", (2,), dtype)], [Value("y", (2,), dtype)])
    with pytest.raises(BadQuery, match="declared real"):
        specification(text).bind([Value("x", (2,), "int64")], [Value("y", (2,))])


# --- printing ----------------------------------------------------------------------------------------


def one_input(version: str, size: int) -> Specification:
    if version == "1.0":
        names = "".join(f"(declare-const X_{i} Real)" for i in range(size)) + "(declare-const Y_0 Real)"
        return specification(names + "".join(f"(assert (<= -1e38 X_{i} 1e38))" for i in range(size)))
    huge = "1" + "0" * 38 + ".0"
    network = f"(declare-network N (declare-input X float32 [{size}])(declare-output Y float32 [1]))"
    box = "".join(f"(assert (>= X[{i}] -{huge}))(assert (<= X[{i}] {huge}))" for i in range(size))
    return specification("(vnnlib-version <2.0>)" + network + box)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@settings(derandomize=True, deadline=None, max_examples=60)
@given(arrays(F32, 4, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_values_parse_back_to_the_same_floats(version: str, x: np.ndarray) -> None:
    printed = format_assignment(one_input(version, 4), {"X": x}, {"Y": x[:1]})
    if version == "1.0":
        values = [pair.split()[1].rstrip(")") for pair in printed.splitlines()]
    else:
        lines = printed.splitlines()
        assert (lines[0], lines[5]) == ("X float32 [4]", "Y float32 [1]")
        values = lines[1:5] + lines[6:]
    back = np.array([F32(v) for v in values])
    assert back.tobytes() == np.concatenate([x, x[:1]]).tobytes()
    assert [float(v) for v in values] == [*x.tolist(), float(x[0])]  # read in float64 it is the same number
