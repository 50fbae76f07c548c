"""What a reduction is, and a list of them, which is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np

from parsers.ir import Graph
from parsers.specification import Case

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Does an input satisfy one of the `cases`, which speak of inputs and outputs of `graphs`, by the names
    of the networks? A classifier's problem has no cases: its margins are asked about."""

    graphs: Mapping[str, Graph]
    cases: tuple[Case, ...] = ()

    @property
    def graph(self) -> Graph:
        """The only one."""
        (graph,) = self.graphs.values()
        return graph

    def with_graph(self, graph: Graph) -> Problem:
        return Problem({"": graph}, self.cases)


class Reduction(Protocol):
    """See `verifier.reductions`."""

    def apply(self, problem: Problem) -> Problem: ...

    def back(self, inputs: Arrays) -> Arrays: ...


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """One after the other; a point comes back through the same list reversed."""

    reductions: tuple[Reduction, ...]

    def apply(self, problem: Problem) -> Problem:
        return reduce(lambda smaller, reduction: reduction.apply(smaller), self.reductions, problem)

    def back(self, inputs: Arrays) -> Arrays:
        return reduce(lambda point, reduction: reduction.back(point), reversed(self.reductions), inputs)
