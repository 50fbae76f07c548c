"""Disjunctive normal form, with the bounds on single inputs kept apart from all other comparisons.

    formula  ⇔  base ∧ (alternatives[0] ∨ alternatives[1] ∨ …)

Almost every query is a large box and a small disjunction over the outputs. The box is what all
alternatives share: it is collected once, in `base`, and an alternative holds only what it adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NoReturn

from parsers.errors import BadQuery
from parsers.query.formula import And, Comparison, Formula, Relation, compare

MAX_ALTERNATIVES = 50_000
MAX_PAIRS = 100 * MAX_ALTERNATIVES  # tried in one product, most of them to be dropped
ROUNDING = Fraction(1, 2**10)  # more than the relative spacing of float16, the coarsest type that is read


@dataclass(frozen=True, slots=True)
class Limit:
    """One end of an interval; `strict` where the end itself is excluded."""

    value: Fraction
    strict: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Clause:
    """A conjunction: `lower[i] ≤ input element i ≤ upper[i]`, and all of `comparisons` (`<=` or `<` only)."""

    lower: Mapping[int, Limit] = field(default_factory=dict)
    upper: Mapping[int, Limit] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class NormalForm:
    """No alternatives: the formula is unsatisfiable whatever the network is."""

    base: Clause
    alternatives: tuple[Clause, ...]


def normal_form(formula: Formula, inputs: int) -> NormalForm:
    """The normal form of `formula`, where elements 0 … inputs−1 belong to inputs.

    Alternatives that contradict themselves or the base by their bounds alone are dropped, all along the
    way: products of input regions shrink as they are formed. Raises `BadQuery` past `MAX_ALTERNATIVES`.
    """
    base, choices = _split(conjuncts(formula), inputs)
    if base is None:
        return NormalForm(Clause(), ())
    alternatives = [Clause()]
    for choice in choices:
        alternatives = _product(alternatives, [c for c in choice if _compatible(base, c)])
    return NormalForm(base, tuple(c for c in alternatives if _compatible(base, c)))


def conjuncts(formula: Formula) -> Iterator[Formula]:
    """What must hold all together."""
    if isinstance(formula, And):
        for part in formula.parts:
            yield from conjuncts(part)
    else:
        yield formula


def _split(parts: Iterable[Formula], inputs: int) -> tuple[Clause | None, list[list[Clause]]]:
    """What all of `parts` say without a choice (None: a contradiction), and the choices that remain."""
    lower: dict[int, Limit] = {}
    upper: dict[int, Limit] = {}
    comparisons: list[Comparison] = []
    choices: list[list[Clause]] = []
    for part in parts:
        clauses = _clauses(part, inputs)
        if len(clauses) != 1:
            choices.append(clauses)
            continue
        _tighten(lower, upper, clauses[0])
        comparisons.extend(clauses[0].comparisons)
    if any(_empty(limit, upper.get(i)) for i, limit in lower.items()):
        return None, []
    return Clause(lower, upper, tuple(comparisons)), choices


def _clauses(formula: Formula, inputs: int) -> list[Clause]:
    """The alternatives of `formula`; none when it is a contradiction."""
    if isinstance(formula, Comparison):
        return _atom(formula, inputs)
    if isinstance(formula, And):
        base, choices = _split(conjuncts(formula), inputs)
        alternatives = [] if base is None else [base]
        for choice in choices:
            alternatives = _product(alternatives, choice)
        return alternatives
    alternatives = [clause for part in formula.parts for clause in _clauses(part, inputs)]
    return _capped(alternatives)


def _atom(comparison: Comparison, inputs: int) -> list[Clause]:
    if not comparison.terms:
        return [Clause()] if compare(comparison.constant, comparison.relation, 0) else []
    if comparison.relation == "!=":
        return [*_atom(_as(comparison, "<"), inputs), *_atom(_as(_negated(comparison), "<"), inputs)]
    bound = bound_of(comparison, inputs)
    if bound is not None:
        element, relation, limit = bound
        lower = {element: limit} if relation in (">=", "==") else {}
        upper = {element: limit} if relation in ("<=", "==") else {}
        return [Clause(lower, upper)]
    if comparison.relation == "==":
        return [Clause(comparisons=(_as(comparison, "<="), _as(_negated(comparison), "<=")))]
    return [Clause(comparisons=(comparison,))]


def bound_of(comparison: Comparison, inputs: int) -> tuple[int, str, Limit] | None:
    """(element, "<=" | ">=" | "==" | "!=", limit) where `comparison` bounds one input element, else None."""
    if len(comparison.terms) != 1:
        return None
    ((element, factor),) = comparison.terms.items()
    if element >= inputs:
        return None
    upper_or_lower = "<=" if factor > 0 else ">="
    relation = comparison.relation if comparison.relation in ("==", "!=") else upper_or_lower
    limit = -comparison.constant if factor == 1 else comparison.constant / -factor
    return element, relation, Limit(limit, comparison.relation == "<")


def _product(left: list[Clause], right: list[Clause]) -> list[Clause]:
    merged: list[Clause] = []
    if len(left) * len(right) > MAX_PAIRS:
        _refuse_size()
    for a in left:
        for b in right:
            both = _meet(a, b)
            if both is not None:
                merged.append(both)
        _capped(merged)
    return merged


def _meet(a: Clause, b: Clause) -> Clause | None:
    """a ∧ b, or None where their bounds exclude each other."""
    if not _compatible(a, b):
        return None
    lower, upper = a.lower, a.upper
    if b.lower or b.upper:
        lower, upper = dict(lower), dict(upper)
        _tighten(lower, upper, b)
    return Clause(lower, upper, a.comparisons + b.comparisons)


def _compatible(a: Clause, b: Clause) -> bool:
    """Whether the bounds of a ∧ b leave every element at least a point; looks only at what `b` bounds."""
    lower = {i: tighter(a.lower.get(i), b.lower.get(i), 1) for i in (*b.lower, *b.upper)}
    upper = {i: tighter(a.upper.get(i), b.upper.get(i), -1) for i in lower}
    return not any(_empty(lower[i], upper[i]) for i in lower)


def _tighten(lower: dict[int, Limit], upper: dict[int, Limit], clause: Clause) -> None:
    for i, limit in clause.lower.items():
        lower[i] = tighter(lower.get(i), limit, 1) or limit
    for i, limit in clause.upper.items():
        upper[i] = tighter(upper.get(i), limit, -1) or limit


def tighter(a: Limit | None, b: Limit | None, sign: int) -> Limit | None:
    """The one that excludes more: sign +1 for lower limits, −1 for upper ones."""
    if a is None or b is None:
        return a or b
    if a.value == b.value:
        return a if a.strict else b
    return a if (a.value > b.value) == (sign > 0) else b


def _empty(lower: Limit | None, upper: Limit | None) -> bool:
    """Whether no real number *and* no rounding of the limits to floating point lies between them.

    Limits are decimals that a query's type rounds. Two limits in the wrong order by less than that
    rounding can still meet in one float, so closeness counts as meeting; the boxes built later decide.
    """
    if lower is None or upper is None or lower.value < upper.value:
        return False
    if lower.value == upper.value:
        return lower.strict or upper.strict
    return lower.value - upper.value > ROUNDING * max(abs(lower.value), abs(upper.value), 1)


def _negated(c: Comparison) -> Comparison:
    return Comparison({i: -factor for i, factor in c.terms.items()}, -c.constant, c.relation)


def _as(c: Comparison, relation: Relation) -> Comparison:
    return Comparison(c.terms, c.constant, relation)


def _capped(clauses: list[Clause]) -> list[Clause]:
    if len(clauses) > MAX_ALTERNATIVES:
        _refuse_size()
    return clauses


def _refuse_size() -> NoReturn:
    raise BadQuery(
        f"the query expands to more than {MAX_ALTERNATIVES:,} alternatives; "
        "split its disjunctions over several queries"
    )
