"""Random formulas with an evaluator of their own, written as VNN-LIB 2.0 and as 1.0."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

INPUTS, OUTPUTS = 2, 2
HEADER_2 = """(vnnlib-version <2.0>)
(declare-network N
  (declare-input A float32 [1,1])
  (declare-input B float32 [])
  (declare-output Y float32 [2])
)
"""
HEADER_1 = "".join(f"(declare-const {v} Real)\n" for v in ("X_0", "X_1", "Y_0", "Y_1"))
NAMES_2 = ("A[0,0]", "B", "Y[0]", "Y[1]")
NAMES_1 = ("X_0", "X_1", "Y_0", "Y_1")
OPERATORS = {
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}

eighths = st.integers(-16, 16).map(lambda n: Fraction(n, 8))
elements = st.integers(0, INPUTS + OUTPUTS - 1)
terms = st.recursive(
    st.one_of(
        elements.map(lambda i: ("element", i)),
        eighths.map(lambda q: ("number", q)),
        st.tuples(
            st.just("*"), st.tuples(st.just("number"), eighths), st.tuples(st.just("element"), elements)
        ),
    ),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from("+-"), inner, inner),
        st.tuples(st.just("+"), inner, inner, inner),
        st.tuples(st.just("-"), inner),
    ),
    max_leaves=3,
)
bounds = st.tuples(
    st.sampled_from(sorted(OPERATORS)),
    elements.map(lambda i: ("element", i)),
    eighths.map(lambda q: ("number", q)),
)
comparisons = st.one_of(bounds, st.tuples(st.sampled_from(sorted(OPERATORS)), terms, terms))
formulas = st.recursive(
    comparisons,
    lambda inner: st.tuples(
        st.sampled_from(("and", "or")), st.lists(inner, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=8,
)
points = st.tuples(*[eighths] * (INPUTS + OUTPUTS))


def bounded(formula):
    """`formula` inside a box of the inputs: −1 ≤ x ≤ 1."""
    box = [
        (op, ("element", i), ("number", Fraction(end)))
        for i in range(INPUTS)
        for op, end in ((">=", -1), ("<=", 1))
    ]
    return ("and", (*box, formula))


def value(term, point):
    head, *rest = term
    if head == "element":
        return point[rest[0]]
    if head == "number":
        return rest[0]
    numbers = [value(part, point) for part in rest]
    if head == "+":
        return sum(numbers)
    if head == "*":
        return numbers[0] * numbers[1]
    return -numbers[0] if len(numbers) == 1 else numbers[0] - sum(numbers[1:])


def truth(formula, point) -> bool:
    head, *rest = formula
    if head == "and":
        return all(truth(part, point) for part in rest[0])
    if head == "or":
        return any(truth(part, point) for part in rest[0])
    if head == "not":
        return not truth(rest[0], point)
    if head == "=>":
        return not truth(rest[0], point) or truth(rest[1], point)
    return OPERATORS[head](value(rest[0], point), value(rest[1], point))


def written(formula, names, equal: str = "==") -> str:
    head, *rest = formula
    if head in ("and", "or"):
        return f"({head} {' '.join(written(part, names, equal) for part in rest[0])})"
    if head == "element":
        return names[rest[0]]
    if head == "number":
        return format(float(rest[0]), ".3f")
    spelled = {"==": equal, "!=": "!=" if equal == "==" else "distinct"}.get(head, head)
    return f"({spelled} {' '.join(written(part, names, equal) for part in rest)})"


def version_2(formula) -> str:
    return HEADER_2 + f"(assert {written(formula, NAMES_2)})\n"


def version_1(formula) -> str:
    return HEADER_1 + f"(assert {written(formula, NAMES_1, '=')})\n"
