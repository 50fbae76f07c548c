"""Random formulas with an evaluator of their own, in both versions of VNN-LIB, and what reading must keep."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np
from hypothesis import strategies as st

from parsers.query.layout import PRODUCTS
from parsers.specification import Case, Specification
from tests.support.independent_replay import RELATIONS

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
OPERATORS = {sign: holds for sign, holds in RELATIONS.items() if sign != "="}

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
        st.tuples(st.sampled_from("+-*"), inner, inner),
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


def arrays_of(spec: Specification, point) -> tuple[dict, dict]:
    numbers = np.array([float(q) for q in point], np.float32)
    found: list[dict] = []
    start = 0
    for tensors in (spec.network_inputs, spec.network_outputs):
        found.append({})
        for tensor in tensors:
            size = int(np.prod(tensor.shape, dtype=int))
            found[-1][tensor.name] = numbers[start : start + size].reshape(tensor.shape)
            start += size
    return found[0], found[1]


def inside(case: Case, boxes, inputs, outputs, products) -> bool:
    values = {**inputs, **outputs, PRODUCTS: products}
    if not all(np.all(b.lower <= values[v]) and np.all(values[v] <= b.upper) for v, b in boxes.items()):
        return False
    sums = (
        sum(float(np.sum(a * values[v])) for v, a in c.coefficients.items()) + c.constant
        for c in case.constraints
    )
    return all(s < 0 if c.strict else s <= 0 for s, c in zip(sums, case.constraints, strict=True))


def check(spec: Specification, formula, point) -> None:
    inputs, outputs = arrays_of(spec, point)
    expected = truth(formula, point)
    assert spec.satisfied_by(inputs, outputs) == expected
    products = np.array([float(prod(point[i] for i in m)) for m in spec.products])
    contained = any(inside(case, case.boxes, inputs, outputs, products) for case in spec.cases)
    witnessed = any(inside(c, c.witnesses, inputs, outputs, products) for c in spec.cases if c.witnesses)
    assert contained or not expected  # a violation is in some case
    assert witnessed == expected  # with the witnesses' box, strict bounds included, the cases are the formula
