"""Exact polynomials in the elements of a query's variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from parsers.errors import BadQuery

MAX_DEGREE = 16
MAX_TERMS = 10_000

Monomial = tuple[int, ...]  # element numbers, ascending, each as often as its power; () is 1


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """Σ terms[m] · Π m; no term is zero."""

    terms: Mapping[Monomial, Fraction]

    @staticmethod
    def of(element: int) -> Polynomial:
        return Polynomial({(element,): Fraction(1)})

    @staticmethod
    def number(value: Fraction) -> Polynomial:
        return Polynomial({(): value} if value else {})

    def times(self, factor: int) -> Polynomial:
        return Polynomial({m: factor * q for m, q in self.terms.items()})

    def __mul__(self, other: Polynomial) -> Polynomial:
        """Raises `BadQuery` past `MAX_DEGREE` or `MAX_TERMS`."""
        product: dict[Monomial, Fraction] = {}
        if len(self.terms) * len(other.terms) > MAX_TERMS:
            raise BadQuery(f"a product expands to more than {MAX_TERMS:,} terms; shorten it")
        for a, p in self.terms.items():
            for b, q in other.terms.items():
                monomial = tuple(sorted(a + b)) if a and b else a or b
                if len(monomial) > MAX_DEGREE:
                    raise BadQuery(f"a product has a degree above {MAX_DEGREE}; lower it")
                product[monomial] = product.get(monomial, Fraction(0)) + p * q
        return Polynomial({m: q for m, q in product.items() if q})


def total(parts: Iterable[Polynomial]) -> Polynomial:
    terms: dict[Monomial, Fraction] = {}
    for part in parts:
        for m, q in part.terms.items():
            terms[m] = terms.get(m, Fraction(0)) + q
    return Polynomial({m: q for m, q in terms.items() if q})
