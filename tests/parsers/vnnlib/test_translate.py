"""VNN-LIB 1.0 becomes version 2.0: the same formula on the same lines, or a refusal that names them."""

from __future__ import annotations

from fractions import Fraction

import pytest
import vnnlib
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.errors import BadQuery
from parsers.vnnlib.read import specification
from parsers.vnnlib.translate import decimal, translate
from tests.support.queries.formulas import (
    HEADER_1,
    NAMES_1,
    bounded,
    check,
    formulas,
    points,
    truth,
    written,
)

negatable = st.recursive(
    formulas,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.just("=>"), inner, inner),
        st.tuples(st.sampled_from(("and", "or")), st.lists(inner, min_size=1, max_size=2).map(tuple)),
    ),
    max_leaves=3,
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(negatable.map(bounded), points)
def test_negations_and_implications(formula, point) -> None:
    check(specification(HEADER_1 + f"(assert {written(formula, NAMES_1, '=')})"), formula, point)


def test_chains_compare_neighbours() -> None:
    box = "".join(f"(assert (<= X_{i} 1))(assert (>= X_{i} 0))" for i in (0, 1))
    spec = specification(HEADER_1 + box + "(assert (<= 0 X_0 X_1 1))")
    chain = bounded(("<=", ("element", 0), ("element", 1)))
    chain = ("and", (chain, *((">=", ("element", i), ("number", Fraction(0))) for i in (0, 1))))
    for point in ((0, 0, 0, 0), (0.5, 0.25, 0, 0), (0.25, 0.5, 0, 0), (-1, 0, 0, 0)):
        check(spec, chain, point)
        assert truth(chain, point) == (0 <= point[0] <= point[1] <= 1)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.integers(-(10**18), 10**18),
    st.integers(-250, 250),
    st.sampled_from(["{}e{}", "{}E{:+d}", "{}.e{}", "{}.5e{}"]),
)
def test_decimals_keep_their_value(digits: int, exponent: int, form: str) -> None:
    token = form.format(digits, exponent)
    plain = decimal(token, 1)
    assert Fraction(plain) == Fraction(token.replace(".e", ".0e"))
    query = (
        "(vnnlib-version <2.0>)(declare-network N(declare-input X real [])(declare-output Y real []))"
        f"(assert (<= X {plain}))"
    )
    comparison = vnnlib.parse_query_string(query).assertions[0].expr
    assert isinstance(comparison, vnnlib.LessEqual)
    assert isinstance(comparison.rhs, vnnlib.Literal)
    assert comparison.rhs.lexeme == plain


def test_lines_are_kept() -> None:
    query = "\n(assert (and (<= X_0 1)\n\n (<= Y_0 2)))\n(assert\n(>= (+ X_0\n(- 1)) 0))\n"
    lines = [line.strip() for line in translate(HEADER_1 + query).split("\n")]
    assert lines[5:11] == [
        "(assert (and (<= X[0] 1.0)",
        "",
        "(<= Y[0] 2.0)))",
        "(assert",
        "(>= (+ X[0]",
        "(- 1.0)) 0.0))",
    ]


TWO = "(declare-const X_0 Real)\n(declare-const Y_0 Real)\n"


REFUSED = {
    "hello world": "line 1: 'hello' stands outside parentheses",
    TWO: "nothing is asserted",
    "(declare-const X_0 Real)(assert (<= X_0 1))": r"no output is declared; add `\(declare-const Y_0 Real\)`",
    "(declare-const Y_0 Real)(assert (<= Y_0 1))": "no input is declared",
}
REFUSED_BEHIND_TWO = {
    "(declare-const X_2 Real)(assert (<= X_0 1))": "X_1 is not declared; declare X_0, X_1, … without gaps",
    "(declare-const X_0 Real)(assert (<= X_0 1))": "line 3: X_0 is declared twice",
    "(declare-const Z_0 Real)": "line 3: 'Z_0' is neither an input X_i nor an output Y_i",
    "(declare-const X_01 Real)": "line 3: 'X_01' is neither",
    "(declare-const X_1 Int)": "line 3: the sort 'Int' of X_1 is not supported",
    "(declare-const X_1)": r"line 3: the declaration is not readable; write `\(declare-const X_0 Real\)`",
    "(declare-fun f (Real) Real)": "line 3: the declaration is not readable",
    "(define-fun f () Real 1.0)": "line 3: the command 'define-fun' is no part of VNN-LIB 1.0",
    "(())": "line 3: the command a list in parentheses is no part",
    "(assert (<= X_0 1) (<= Y_0 1))": "line 3: `assert` takes one formula, not 2",
    "(assert)": "line 3: `assert` takes one formula, not 0",
    "(assert X_0)": "line 3: 'X_0' is no formula",
    "(assert\n\n(xor (<= X_0 1)))": "line 5: 'xor' is no connective and no comparison",
    "(assert (and))": "line 3: `and` has too few arguments",
    "(assert (=> (<= X_0 1)))": "line 3: `=>` has too few arguments",
    "(assert (not (<= X_0 1) (<= X_0 1)))": "line 3: `not` takes one formula, not 2",
    "(assert (<= X_0))": "line 3: `<=` compares two terms, not 1",
    "(assert (distinct X_0 Y_0 1))": "line 3: `distinct` compares two terms, not 3",
    "(assert (<= X_0 (/ 1 3)))": "line 3: division is not supported; write the quotient as a decimal",
    "(assert (<= X_0 (ite a b c)))": "line 3: 'ite' is no arithmetic",
    "(assert (<= X_0 (+)))": r"line 3: '\+' is no arithmetic",
    "(assert (<= X_0 ()))": "line 3: a list in parentheses is no arithmetic",
    "(assert (<= X_0 X_1))": r"line 3: X_1 is used but not declared; add `\(declare-const X_1 Real\)`",
    "(assert (<= X_0 1,5))": "line 3: '1,5' is no declared variable and no decimal number",
    "(assert (<= X_0 nan))": "line 3: 'nan' is no declared variable",
    "(assert (<= X_0 1e999))": "line 3: 1e999 is beyond what float64 holds",
    "(assert (<= X_0 1e-999))": "line 3: 1e-999 is beyond what float64 holds",
    "(assert (<= X_0 1e99999))": "line 3: '1e99999' is no declared variable",
    "(assert (<= X_0 oops))\n(assert (<= Y_0 oops))": "line 3: 'oops' .*; line 4: 'oops'",
}
REFUSED |= {TWO + query: message for query, message in REFUSED_BEHIND_TWO.items()}


@pytest.mark.parametrize(("query", "message"), REFUSED.items())
def test_refusals(query: str, message: str) -> None:
    with pytest.raises(BadQuery, match=message) as caught:
        specification(query)
    assert "\n" not in str(caught.value)


def test_messages_about_elements_use_the_names_of_version_1() -> None:
    (case,) = specification(TWO + "(assert (<= Y_0 X_0))").cases
    assert case.unbounded.startswith("X_0 has no lower bound; add `(assert (>= X_0 …))`; X_0 has no upper")


def test_commands_without_meaning_are_passed_over() -> None:
    silent = '(set-info :source ")) (; no comment")(set-logic QF_LRA)(check-sat)(get-model)(exit)'
    assert len(specification(TWO + "(assert (and (<= 0 X_0 1) (<= Y_0 2)))" + silent).cases) == 1
