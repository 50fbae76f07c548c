"""Does a concrete input with its outputs satisfy a query? Exact, with no tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

from parsers.query.formula import Comparison, Formula, compare, holds
from parsers.query.layout import Layout
from parsers.query.normal_form import bound_of
from parsers.query.rounding import nearest


def satisfied(formula: Formula, layout: Layout, values: Sequence[float | int]) -> bool:
    """Truth of `formula` at `values`, one for each element of the inputs and then of the outputs; products
    follow from them, exactly.

    Where literals round, `x ⋈ literal` for a float input element x means the literal as x's type rounds it,
    and every other comparison must hold both with its constant as written and with its constant rounded.
    Otherwise only what is written counts.
    """

    products = [prod((Fraction(values[i]) for i in m), start=Fraction(1)) for m in layout.products]
    at: list[float | Fraction] = [*values, *products]

    def decide(comparison: Comparison) -> bool:
        bound = bound_of(comparison, layout.input_size) if layout.rounds else None
        if bound is not None and abs(next(iter(comparison.terms.values()))) == 1:
            element, relation, limit = bound
            dtype = layout.type(element)
            if dtype.kind == "f":
                threshold = float(nearest([limit.value], dtype)[0][0])
                if relation == ">=":
                    return compare(threshold, "<" if limit.strict else "<=", at[element])
                return compare(at[element], comparison.relation, threshold)
        total = sum((q * Fraction(at[i]) for i, q in comparison.terms.items()), Fraction(0))
        if not compare(total + comparison.constant, comparison.relation, 0):
            return False
        roundings = layout.floats if layout.rounds else ()
        return all(
            compare(total, comparison.relation, -float(nearest([comparison.constant], dtype)[0][0]))
            for dtype in roundings
        )

    return holds(formula, decide)
