"""Reductions of what comes out of a graph; its inputs stay what they are, so a point comes back as it is.

`SideBySide`   several networks become one graph, whose inputs and outputs bear the networks' names
`Products`     products of elements become one more output, of which the constraints are linear
`Mentioned`    outputs that no constraint mentions go: they can take any value
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from parsers.compose import side_by_side, with_products
from parsers.query.layout import PRODUCTS
from parsers.query.polynomial import Monomial
from parsers.specification import Case
from verifier.reductions.reduction import Arrays, Problem


@dataclass(frozen=True, slots=True)
class SideBySide:
    """All graphs as one, with `outputs` in this order. The cases name values as the joined graph does."""

    outputs: tuple[str, ...]

    def apply(self, problem: Problem) -> Problem:
        if len(problem.graphs) == 1:
            return problem.with_graph(problem.graph)
        return problem.with_graph(replace(side_by_side(problem.graphs), outputs=self.outputs))

    def back(self, inputs: Arrays) -> Arrays:
        return inputs


@dataclass(frozen=True, slots=True)
class Products:
    """The graph computes the `monomials` that cases read, of all elements of its inputs and outputs."""

    monomials: tuple[Monomial, ...]

    def apply(self, problem: Problem) -> Problem:
        return problem.with_graph(with_products(problem.graph, self.monomials, PRODUCTS))

    def back(self, inputs: Arrays) -> Arrays:
        return inputs


@dataclass(frozen=True, slots=True)
class Mentioned:
    """Only the outputs called one of the `names` are left, at least one."""

    names: frozenset[str]

    @staticmethod
    def by(cases: Sequence[Case]) -> Mentioned:
        return Mentioned(frozenset(n for case in cases for c in case.constraints for n in c.coefficients))

    def apply(self, problem: Problem) -> Problem:
        graph = problem.graph
        wanted = tuple(name for name in graph.outputs if name in self.names)
        return problem.with_graph(replace(graph, outputs=wanted or graph.outputs[:1]))

    def back(self, inputs: Arrays) -> Arrays:
        return inputs
