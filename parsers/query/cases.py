"""From a query's exact normal form to float boxes and linear constraints, always rounded to contain it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from parsers.errors import BadQuery
from parsers.query.formula import Comparison
from parsers.query.layout import Layout
from parsers.query.normal_form import Clause, Limit, NormalForm, tighter
from parsers.query.rounding import DOUBLE, downward, following, nearest, upward

Array = np.ndarray

EXACT = 2**53  # whole numbers up to here are float64 values
REACH = Fraction(100)  # of the part that is searched where a bound is missing
ROOM = 20_000_000  # box bounds kept at most, over all cases


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """lower ≤ x ≤ upper elementwise; float64 arrays of the variable's shape."""

    lower: Array
    upper: Array


@dataclass(frozen=True, slots=True, eq=False)
class LinearConstraint:
    """Σ_v ⟨coefficients[v], v⟩ + constant ≤ 0, or < 0 where `strict`; v runs over inputs and outputs.

    Arrays have their variable's shape; a variable that does not occur is absent. `constant` is rounded
    downward, which only weakens the constraint. Each coefficient is within `coefficient_error` (relative) of
    the exact one; this is 0 unless a coefficient has more digits than float64 holds, and then whoever
    refutes the constraint must allow for coefficient_error · Σ_v ⟨|coefficients[v]|, |v|⟩.
    """

    coefficients: Mapping[str, Array]
    constant: float
    strict: bool = False
    coefficient_error: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """All of `constraints`, over the inputs of `boxes`: one box for each input of the network.

    `witnesses` are the inputs that a counterexample may use: the values of the input's own element type
    inside the exact bounds or, where only a bound's rounding is such a value, that one. None: there are none,
    so this case can be refuted but not be shown to hold by running the network. Cases share arrays.

    `unbounded` tells, in words, which input elements the query leaves without a bound. Boxes and witnesses
    are then a finite part of the region, `REACH` wide: good for a search, not for a proof.
    """

    boxes: Mapping[str, Box]
    constraints: tuple[LinearConstraint, ...]
    witnesses: Mapping[str, Box] | None = None
    unbounded: str = ""


def cases_of(normal: NormalForm, layout: Layout) -> tuple[Case, ...]:
    """One `Case` for each alternative of `normal` whose box has a point.

    Everything is rounded in a few calls for all alternatives together: a query may have ten thousand of them,
    each with one or two bounds. Raises `BadQuery` where that takes too much room.
    """
    if not normal.alternatives:
        return ()
    normal, unbounded = _completed(normal, layout)
    owned = sum(1 for clause in normal.alternatives if clause.lower or clause.upper)
    if owned * layout.input_size > ROOM:
        raise BadQuery(
            f"the query has {owned:,} input regions of {layout.input_size:,} elements each; "
            "split it over several files"
        )
    shared = np.array([[-np.inf], [np.inf], [-np.inf], [np.inf]]).repeat(layout.input_size, axis=1)
    base = normal.base
    both = [i for i in base.lower if i in base.upper]
    shared[:, both] = _ends(layout, both, [base.lower[i] for i in both], [base.upper[i] for i in both])
    shared_region = _region(layout, shared)
    touched = [[*clause.lower.keys() | clause.upper.keys()] for clause in normal.alternatives]
    limits = [_limits(base, c, i) for c, own in zip(normal.alternatives, touched, strict=True) for i in own]
    ends = _ends(layout, [i for own in touched for i in own], *([pair[k] for pair in limits] for k in (0, 1)))
    constraints = _constraints(
        layout, [c for clause in (base, *normal.alternatives) for c in clause.comparisons]
    )
    cases: list[Case] = []
    start = 0
    for clause, elements, missing in zip(normal.alternatives, touched, unbounded, strict=True):
        region = shared_region
        if elements:
            own = shared.copy()
            own[:, elements] = ends[:, start : start + len(elements)]
            start += len(elements)
            region = _region(layout, own)
        if region is not None:
            comparisons = (*base.comparisons, *clause.comparisons)
            rows = tuple(constraints[c] for c in comparisons)
            cases.append(Case(region.boxes, rows, region.witnesses, missing))
    return tuple(cases)


def _completed(normal: NormalForm, layout: Layout) -> tuple[NormalForm, list[str]]:
    """`normal` where every input element has both limits, and for each alternative what it lacked.

    A missing limit lies `REACH` from the other one, or from 0 where both are missing.
    """
    base = normal.base
    one_sided = {i for i in range(layout.input_size) if i not in base.lower or i not in base.upper}
    if not one_sided:
        return normal, [""] * len(normal.alternatives)
    completed: list[Clause] = []
    unbounded: list[str] = []
    for clause in normal.alternatives:
        lower, upper = dict(clause.lower), dict(clause.upper)
        without: tuple[list[int], list[int]] = [], []
        for i in sorted(one_sided):
            low = tighter(base.lower.get(i), clause.lower.get(i), 1)
            high = tighter(base.upper.get(i), clause.upper.get(i), -1)
            if low is None:
                lower[i] = Limit(high.value - REACH if high else -REACH)
                without[0].append(i)
            if high is None:
                upper[i] = Limit(low.value + REACH if low else REACH)
                without[1].append(i)
        completed.append(Clause(lower, upper, clause.comparisons))
        ends = zip(("lower", "upper"), (">=", "<="), without, strict=True)
        unbounded.append("; ".join(_unbounded(layout, *end) for end in ends if end[2]))
    return NormalForm(base, tuple(completed)), unbounded


def _unbounded(layout: Layout, end: str, relation: str, elements: Sequence[int]) -> str:
    names = ", ".join(layout.name(i) for i in elements[:3]) + (", …" if len(elements) > 3 else "")
    have = "has" if len(elements) == 1 else "have"
    return f"{names} {have} no {end} bound; add `(assert ({relation} {layout.name(elements[0])} …))`"


# --- boxes -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    boxes: Mapping[str, Box]
    witnesses: Mapping[str, Box] | None


def _region(layout: Layout, ends: Array) -> Region | None:
    """(lower, upper, first, last) of all input elements, as boxes of the inputs' shapes; None where empty."""
    lower, upper, first, last = ends
    if not np.all(lower <= upper):
        return None
    witnesses = _by_tensor(layout, first, last) if np.all(first <= last) else None
    return Region(_by_tensor(layout, lower, upper), witnesses)


def _by_tensor(layout: Layout, lower: Array, upper: Array) -> dict[str, Box]:
    boxes: dict[str, Box] = {}
    inputs = layout.starts[: len(layout.inputs) + 1]
    for tensor, start, end in zip(layout.inputs, inputs[:-1], inputs[1:], strict=True):
        ends = (table[start:end].reshape(tensor.shape) for table in (lower, upper))
        boxes[tensor.name] = Box(*ends)
    return boxes


def _limits(base: Clause, clause: Clause, element: int) -> tuple[Limit, Limit]:
    """Both limits of an element in `base` ∧ `clause`, which are known to exist."""
    lower = tighter(base.lower.get(element), clause.lower.get(element), 1)
    upper = tighter(base.upper.get(element), clause.upper.get(element), -1)
    assert lower is not None
    assert upper is not None
    return lower, upper


def _ends(layout: Layout, elements: Sequence[int], lower: Sequence[Limit], upper: Sequence[Limit]) -> Array:
    """Four rows (lower, upper, first, last) for input `elements` between these limits."""
    ends = np.empty((4, len(elements)))
    types = layout.type_of[np.array(elements, np.intp)]
    for place, dtype in enumerate(layout.types):
        mine = np.flatnonzero(types == place).tolist()
        rounded = _whole_ends if dtype.kind in "iu" else _float_ends
        ends[:, mine] = rounded(dtype, [lower[i] for i in mine], [upper[i] for i in mine], layout.rounds)
    return ends


def _float_ends(
    dtype: np.dtype, lower: Sequence[Limit], upper: Sequence[Limit], rounds: bool
) -> tuple[Array, Array, Array, Array]:
    """(lower, upper, first, last) of float elements.

    The box contains the exact bound and its rounding to `dtype`. A witness lies inside the exact bounds;
    where they hold no value of `dtype` (0.1 ≤ x ≤ 0.1) it lies inside the rounded ones, if literals round.
    Past a strict bound comes the value after the rounded one, which is past the exact bound as well.
    """
    low, high = [limit.value for limit in lower], [limit.value for limit in upper]
    low_open = np.array([limit.strict for limit in lower], bool)
    high_open = np.array([limit.strict for limit in upper], bool)
    low_near, high_near = nearest(low, dtype)[0], nearest(high, dtype)[0]
    after, before = following(low_near, dtype, np.inf), following(high_near, dtype, -np.inf)
    first = np.where(low_open, after, upward(low, dtype)[0])
    last = np.where(high_open, before, downward(high, dtype)[0])
    if rounds:
        none = first > last
        first = np.where(none, np.where(low_open, after, low_near), first)
        last = np.where(none, np.where(high_open, before, high_near), last)
    most = float(np.finfo(dtype).max)
    return (
        np.maximum(np.minimum(downward(low, DOUBLE)[0], low_near), -most),
        np.minimum(np.maximum(upward(high, DOUBLE)[0], high_near), most),
        np.maximum(first, -most),
        np.minimum(last, most),
    )


def _whole_ends(
    dtype: np.dtype, lower: Sequence[Limit], upper: Sequence[Limit], rounds: bool
) -> tuple[Array, Array, Array, Array]:
    """(lower, upper, first, last) of integer elements: the whole numbers inside, within the type's range."""
    del rounds  # a whole number needs no rounding
    info = np.iinfo(dtype)
    low = [math.floor(limit.value) + 1 if limit.strict else math.ceil(limit.value) for limit in lower]
    high = [math.ceil(limit.value) - 1 if limit.strict else math.floor(limit.value) for limit in upper]
    low_exact = [Fraction(max(n, info.min)) for n in low]
    high_exact = [Fraction(min(n, info.max)) for n in high]
    return (
        downward(low_exact, DOUBLE)[0],
        upward(high_exact, DOUBLE)[0],
        upward(low_exact, DOUBLE)[0],
        downward(high_exact, DOUBLE)[0],
    )


# --- constraints -------------------------------------------------------------------------------------


def _constraints(layout: Layout, comparisons: Sequence[Comparison]) -> dict[Comparison, LinearConstraint]:
    """Each of `comparisons` (`<=` or `<`) in float64; equal ones that stand in two places are two.

    Coefficients that are no float64 become whole numbers where a common denominator is small enough: a
    positive factor changes nothing. The constant is rounded downward, below the exact one and below its
    roundings to the float types, so that the constraint is implied by both readings of its decimals.
    """
    distinct = list(dict.fromkeys(comparisons))
    scales = [_scale(c) for c in distinct]
    low = [c.constant for c in distinct]
    for dtype in layout.floats:
        rounded = nearest([c.constant for c in distinct], dtype)[0].tolist()
        low = [min(q, Fraction(r)) if math.isfinite(r) else q for q, r in zip(low, rounded, strict=True)]
    constants = downward([q * scale for q, scale in zip(low, scales, strict=True)], DOUBLE)[0].tolist()
    return {
        c: _constraint(layout, c, scale, constant)
        for c, scale, constant in zip(distinct, scales, constants, strict=True)
    }


def _scale(comparison: Comparison) -> Fraction:
    factors = comparison.terms.values()
    if all((q.denominator == 1 and abs(q) <= EXACT) or Fraction(float(q)) == q for q in factors):
        return Fraction(1)
    common = math.lcm(*(q.denominator for q in factors))
    return Fraction(common if all(abs(q * common) <= EXACT for q in factors) else 1)


def _constraint(layout: Layout, comparison: Comparison, scale: Fraction, constant: float) -> LinearConstraint:
    coefficients: dict[str, Array] = {}
    error = 0.0
    for element, factor in comparison.terms.items():
        tensor, offset = layout.place(element)
        row = coefficients.setdefault(tensor.name, np.zeros(tensor.shape))
        row.reshape(-1)[offset] = value = float(factor * scale)
        if Fraction(value) != factor * scale:
            error = float(np.finfo(np.float64).eps)
    return LinearConstraint(coefficients, constant, comparison.relation == "<", error)
