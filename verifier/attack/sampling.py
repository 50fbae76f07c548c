"""Counterexamples that need no search: a few points of each region, tried before anything heavy is loaded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from parsers.ir import Value
from parsers.query.layout import PRODUCTS
from parsers.specification import Box, Case, Specification

Arrays = Mapping[str, np.ndarray]

POINTS = 64
SECONDS = 0.25
CLOSE = 1e-6  # of the size of what is summed: the exact check decides


def samples(cases: Sequence[Case], inputs: Sequence[Value], seed: int = 0) -> Iterator[dict[str, np.ndarray]]:
    """Points of the cases' witness boxes in the inputs' own types: the middles, then both far corners, then
    random points, half of them corners. At most `POINTS`, within `SECONDS`, turn by turn over the boxes."""
    boxes = _distinct(cases)
    rng = np.random.default_rng(seed)
    stop = time.monotonic() + SECONDS
    given = 0
    while boxes:
        for box in boxes:
            turn = given // len(boxes)
            if given == POINTS or time.monotonic() > stop:
                return
            given += 1
            yield {v.name: _point(box[v.name].lower, box[v.name].upper, v, turn, rng) for v in inputs}


def _distinct(cases: Sequence[Case]) -> list[Mapping[str, Box]]:
    """The first `POINTS` boxes of witnesses, those that cases share once."""
    found: list[Mapping[str, Box]] = []
    for case in cases:
        if case.witnesses is not None and all(case.witnesses is not boxes for boxes in found):
            found.append(case.witnesses)
            if len(found) == POINTS:
                break
    return found


def _point(
    lower: np.ndarray, upper: np.ndarray, value: Value, turn: int, rng: np.random.Generator
) -> np.ndarray:
    """0 ≤ place ≤ 1 between the ends, as a number of the input's type; the ends are such numbers."""
    if turn < 3:
        place = np.full(lower.shape, (0.5, 0.0, 1.0)[turn])
    else:
        place = rng.uniform(size=lower.shape)
        if turn % 2:
            place = np.round(place)
    with np.errstate(over="ignore"):
        point = lower + place * (upper - lower)
    point = np.where(place == 0, lower, np.where(place == 1, upper, point))
    dtype = np.dtype("float32" if value.dtype == "real" else value.dtype)
    exact = (np.rint(point) if dtype.kind in "iu" else point).astype(dtype)
    inside = (lower <= exact) & (exact <= upper)
    return np.where(inside, exact, lower.astype(dtype)).astype(dtype).reshape(lower.shape)


def nearly(spec: Specification, cases: Sequence[Case], inputs: Arrays, outputs: Arrays) -> bool:
    """Whether some case's constraints hold but for a rounding error: worth the exact check."""
    values = {name: np.asarray(a, np.float64) for name, a in (*inputs.items(), *outputs.items())}
    if spec.products:
        tensors = (*spec.network_inputs, *spec.network_outputs)
        flat = np.concatenate([values[v.name].reshape(-1) for v in tensors])
        values[PRODUCTS] = np.array([flat[list(m)].prod() for m in spec.products])

    def fails(case: Case) -> bool:
        for c in case.constraints:
            terms = [np.vdot(row, values[name]) for name, row in c.coefficients.items()]
            if sum(terms) + c.constant > CLOSE * (sum(map(abs, terms)) + abs(c.constant)):
                return True
        return False

    with np.errstate(over="ignore", invalid="ignore"):
        return any(not fails(case) for case in cases)
