"""Input elements that a query holds equal, as it does with the inputs of two networks that it compares.

    x = x'  ∧  N(x) < N(x')            is asked of one x, not of two that know nothing of each other

Of each class of equal elements one is the leader: the networks read it in place of the others, its box is the
intersection of theirs, constraints count it in their place. All of it is implied by the equalities, so a
case that is refuted then is refuted; and a point satisfies them exactly once the leaders' values are copied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from parsers.compose import with_equal_inputs
from parsers.ir import Value
from parsers.query.formula import Comparison
from parsers.query.normal_form import conjuncts
from parsers.specification import Box, Case, LinearConstraint, Specification
from verifier.reductions.reduction import Arrays, Problem

Boxes = Mapping[str, Box]

REMEMBERED = 4  # boxes: cases that share theirs follow one another


@dataclass(frozen=True, slots=True, eq=False)
class Equalities:
    """`leader[e]` for every tied input element e; elements are numbered through all `inputs`."""

    inputs: tuple[Value, ...]
    leader: Mapping[int, int]

    @staticmethod
    def of(spec: Specification) -> Equalities:
        """From the equalities that hold in all of `spec`, which must be bound. Types must agree."""
        types = [v.dtype for v in spec.network_inputs for _ in range(int(np.prod(v.shape, dtype=int)))]
        leader: dict[int, int] = {}

        def find(element: int) -> int:
            while element in leader:
                element = leader[element]
            return element

        for part in conjuncts(spec.formula):
            pair = _equal_pair(part) if isinstance(part, Comparison) else None
            if pair is None or max(pair) >= len(types) or types[pair[0]] != types[pair[1]]:
                continue
            first, second = sorted(find(e) for e in pair)
            if first != second:
                leader[second] = first
        return Equalities(spec.network_inputs, {e: find(e) for e in leader})

    def apply(self, problem: Problem) -> Problem:
        """The graph reads the leaders; boxes and constraints are of them. Cases whose boxes have no point
        left go. Boxes that cases share stay shared: what is found out of them holds for all of these
        cases."""
        if not self.leader:
            return problem
        known: deque[tuple[Boxes, Boxes | None]] = deque(maxlen=REMEMBERED)

        def cut(boxes: Boxes) -> Boxes | None:
            for seen, result in known:
                if seen is boxes:
                    return result
            known.append((boxes, self._boxes(boxes)))
            return known[-1][1]

        made = (self._case(case, cut) for case in problem.cases)
        graph = with_equal_inputs(problem.graph, self.leader)
        return Problem({"": graph}, tuple(case for case in made if case is not None))

    def back(self, inputs: Arrays) -> Arrays:
        """`inputs` with the leaders' values copied to what is equal to them."""
        if not self.leader:
            return inputs
        flat = [np.asarray(inputs[v.name]).reshape(-1) for v in self.inputs]
        places = np.cumsum([0, *map(len, flat)])
        changed = [part.copy() for part in flat]
        for element, first in self.leader.items():
            (k, i), (j, m) = (_place(places, e) for e in (element, first))
            changed[k][i] = flat[j][m]
        return {v.name: part.reshape(v.shape) for v, part in zip(self.inputs, changed, strict=True)}

    def _case(self, case: Case, cut: Callable[[Boxes], Boxes | None]) -> Case | None:
        boxes = cut(case.boxes)
        if boxes is None:
            return None
        witnesses = None if case.witnesses is None else cut(case.witnesses)
        return replace(
            case, boxes=boxes, witnesses=witnesses, constraints=tuple(map(self._constraint, case.constraints))
        )

    def _boxes(self, boxes: Boxes) -> Boxes | None:
        """Each leader's box cut to its followers'; None where that leaves no point."""
        lower, upper = (
            self._flat({n: getattr(b, end) for n, b in boxes.items()}) for end in ("lower", "upper")
        )
        for element, first in self.leader.items():
            lower[first] = max(lower[first], lower[element])
            upper[first] = min(upper[first], upper[element])
        for element, first in self.leader.items():
            lower[element], upper[element] = lower[first], upper[first]
        if bool(np.any(lower > upper)):
            return None
        low, high = self._arrays(lower), self._arrays(upper)
        return {n: Box(low[n], high[n]) for n in low}

    def _constraint(self, row: LinearConstraint) -> LinearConstraint:
        """The coefficients of tied elements added to their leaders'."""
        names = {v.name for v in self.inputs}
        if not names & set(row.coefficients):
            return row
        zeros = {v.name: np.zeros(v.shape) for v in self.inputs}
        flat = self._flat({**zeros, **{n: a for n, a in row.coefficients.items() if n in names}})
        for element, first in self.leader.items():
            own, added = float(flat[first]), float(flat[element])
            total = own + added
            if own and added and Fraction(own) + Fraction(added) != Fraction(total):
                return row  # as it was: implied as well
            flat[first], flat[element] = total, 0.0
        kept = {n: a for n, a in row.coefficients.items() if n not in names}
        return replace(row, coefficients={**kept, **self._arrays(flat)})

    def _flat(self, arrays: Arrays) -> np.ndarray:
        return np.concatenate([np.asarray(arrays[v.name], np.float64).reshape(-1) for v in self.inputs])

    def _arrays(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        sizes = np.cumsum([int(np.prod(v.shape, dtype=int)) for v in self.inputs])[:-1]
        return {v.name: a.reshape(v.shape) for v, a in zip(self.inputs, np.split(flat, sizes), strict=True)}


def _equal_pair(comparison: Comparison) -> tuple[int, int] | None:
    """The two elements that `comparison` says are equal, if that is what it says."""
    if comparison.relation != "==" or comparison.constant or len(comparison.terms) != 2:
        return None
    (a, p), (b, q) = comparison.terms.items()
    return (a, b) if p == -q else None


def _place(starts: np.ndarray, element: int) -> tuple[int, int]:
    k = int(np.searchsorted(starts, element, side="right")) - 1
    return k, int(element - starts[k])
