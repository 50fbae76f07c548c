"""Quantifier-free formulas over the elements of a network's inputs and outputs, with exact coefficients.

Elements are numbered: first those of all inputs, row-major and in the order of the declarations, then
those of the outputs in the same way. Negation does not occur: it is pushed into the comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Relation = Literal["<=", "<", "==", "!="]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Σ terms[i]·element[i] + constant ⋈ 0; no term is zero."""

    terms: Mapping[int, Fraction]
    constant: Fraction
    relation: Relation


@dataclass(frozen=True, slots=True, eq=False)
class And:
    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Or:
    parts: tuple[Formula, ...]


Formula = Comparison | And | Or


def compare(value: Fraction | float, relation: Relation, threshold: Fraction | float) -> bool:
    """`value ⋈ threshold`, exact: Python compares floats and fractions without rounding."""
    if relation == "<=":
        return value <= threshold
    if relation == "<":
        return value < threshold
    return (value == threshold) == (relation == "==")


def holds(formula: Formula, decide: Callable[[Comparison], bool]) -> bool:
    """Truth of `formula` where `decide` gives the truth of its comparisons."""
    if isinstance(formula, Comparison):
        return decide(formula)
    if isinstance(formula, And):
        return all(holds(part, decide) for part in formula.parts)
    return any(holds(part, decide) for part in formula.parts)
