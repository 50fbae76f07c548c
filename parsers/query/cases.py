"""From a query's exact normal form to float boxes and linear constraints, always rounded to contain it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from parsers.errors import BadQuery
from parsers.query.formula import Comparison
from parsers.query.layout import DOUBLE, Layout
from parsers.query.normal_form import Clause, Limit, NormalForm, tighter
from parsers.query.rounding import downward, nearest, upward

Array = np.ndarray

EXACT = 2**53  # whole numbers up to here are float64 values
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
    """

    boxes: Mapping[str, Box]
    constraints: tuple[LinearConstraint, ...]
    witnesses: Mapping[str, Box] | None = None


def cases_of(normal: NormalForm, layout: Layout) -> tuple[Case, ...]:
    """One `Case` for each alternative of `normal` whose box has a point.

    Raises `BadQuery` where an input element has no upper or no lower bound.
    """
    if not normal.alternatives:
        return ()
    base = normal.base
    _refuse_unbounded(normal, layout)
    shared = Ends.unbounded(layout.input_size)
    shared.fill(layout, base.lower.keys() & base.upper.keys(), base.lower, base.upper)
    shared_region = shared.region(layout)
    shared_constraints = tuple(_constraint(layout, c) for c in base.comparisons)
    cases: list[Case] = []
    for clause in normal.alternatives:
        touched = clause.lower.keys() | clause.upper.keys()
        region = _narrowed(layout, shared, base, clause, touched) if touched else shared_region
        if region is not None:
            own = tuple(_constraint(layout, c) for c in clause.comparisons)
            cases.append(Case(region.boxes, shared_constraints + own, region.witnesses))
    return tuple(cases)


def _refuse_unbounded(normal: NormalForm, layout: Layout) -> None:
    base = normal.base
    missing_lower = [i for i in range(layout.input_size) if i not in base.lower]
    missing_upper = [i for i in range(layout.input_size) if i not in base.upper]
    for clause in normal.alternatives:
        lower = [i for i in missing_lower if i not in clause.lower]
        upper = [i for i in missing_upper if i not in clause.upper]
        if lower or upper:
            ends = [("lower", ">=", lower), ("upper", "<=", upper)]
            raise BadQuery("; ".join(_unbounded(layout, *end) for end in ends if end[2]))
    owned = sum(1 for clause in normal.alternatives if clause.lower or clause.upper)
    if owned * layout.input_size > ROOM:
        raise BadQuery(
            f"the query has {owned:,} input regions of {layout.input_size:,} elements each; "
            "split it over several files"
        )


def _unbounded(layout: Layout, end: str, relation: str, elements: Sequence[int]) -> str:
    names = ", ".join(layout.name(i) for i in elements[:3]) + (", …" if len(elements) > 3 else "")
    have = "has" if len(elements) == 1 else "have"
    return f"{names} {have} no {end} bound; add `(assert ({relation} {layout.name(elements[0])} …))`"


# --- boxes -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    boxes: Mapping[str, Box]
    witnesses: Mapping[str, Box] | None


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """Interval ends, one entry for each input element: of the boxes, and of what a witness may be."""

    lower: Array
    upper: Array
    first: Array
    last: Array

    @staticmethod
    def unbounded(count: int) -> Ends:
        return Ends(*(np.full(count, end) for end in (-np.inf, np.inf, -np.inf, np.inf)))

    def fill(
        self, layout: Layout, elements: set[int], lower: Mapping[int, Limit], upper: Mapping[int, Limit]
    ) -> None:
        """Set the ends of `elements`, all of which have both limits."""
        for place, dtype in enumerate(layout.types):
            mine = [i for i in elements if layout.type_of[i] == place]
            ends = _whole_ends if dtype.kind in "iu" else _float_ends
            values = ends(dtype, [lower[i] for i in mine], [upper[i] for i in mine], layout.rounds)
            for table, entries in zip((self.lower, self.upper, self.first, self.last), values, strict=True):
                table[mine] = entries

    def region(self, layout: Layout) -> Region | None:
        """The ends as boxes of the inputs' shapes; None where a box is empty."""
        if not np.all(self.lower <= self.upper):
            return None
        possible = bool(np.all(self.first <= self.last))
        witnesses = _by_tensor(layout, self.first, self.last) if possible else None
        return Region(_by_tensor(layout, self.lower, self.upper), witnesses)


def _by_tensor(layout: Layout, lower: Array, upper: Array) -> dict[str, Box]:
    boxes: dict[str, Box] = {}
    for tensor, start, end in zip(layout.inputs, layout.starts, layout.starts[1:], strict=False):
        ends = (table[start:end].reshape(tensor.shape) for table in (lower, upper))
        boxes[tensor.name] = Box(*ends)
    return boxes


def _narrowed(layout: Layout, shared: Ends, base: Clause, clause: Clause, touched: set[int]) -> Region | None:
    """The region of `base` ∧ `clause`, where `clause` bounds the elements `touched`."""
    ends = Ends(shared.lower.copy(), shared.upper.copy(), shared.first.copy(), shared.last.copy())
    lower = {i: tighter(base.lower.get(i), clause.lower.get(i), 1) for i in touched}
    upper = {i: tighter(base.upper.get(i), clause.upper.get(i), -1) for i in touched}
    known_lower = {i: limit for i, limit in lower.items() if limit is not None}
    known_upper = {i: limit for i, limit in upper.items() if limit is not None}
    ends.fill(layout, touched, known_lower, known_upper)
    return ends.region(layout)


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
    after, before = _step(low_near, dtype, np.inf), _step(high_near, dtype, -np.inf)
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


def _step(x: Array, dtype: np.dtype, toward: float) -> Array:
    return np.nextafter(x.astype(dtype), dtype.type(toward)).astype(np.float64)


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


def _constraint(layout: Layout, comparison: Comparison) -> LinearConstraint:
    """`comparison` (`<=` or `<`) in float64.

    Coefficients that are no float64 become whole numbers where a common denominator is small enough: a
    positive factor changes nothing. The constant is rounded downward, below the exact one and below its
    rounding to the elements' type, so that the constraint is implied by both readings of its decimals.
    """
    scale = Fraction(1)
    if any(Fraction(float(q)) != q for q in comparison.terms.values()):
        common = math.lcm(*(q.denominator for q in comparison.terms.values()))
        if all(abs(q * common) <= EXACT for q in comparison.terms.values()):
            scale = Fraction(common)
    rounded = nearest([comparison.constant], layout.rounding)[0][0]
    constant = comparison.constant
    if math.isfinite(rounded):
        constant = min(constant, Fraction(float(rounded)))
    coefficients: dict[str, Array] = {}
    exact = True
    for element, factor in comparison.terms.items():
        tensor, offset = layout.place(element)
        row = coefficients.setdefault(tensor.name, np.zeros(tensor.shape))
        row.reshape(-1)[offset] = value = float(factor * scale)
        exact = exact and Fraction(value) == factor * scale
    return LinearConstraint(
        coefficients,
        float(downward([constant * scale], DOUBLE)[0][0]),
        comparison.relation == "<",
        0.0 if exact else float(np.finfo(np.float64).eps),
    )
