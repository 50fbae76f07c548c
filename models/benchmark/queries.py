"""A box and a violation, and their text in both versions of VNN-LIB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

Array = np.ndarray
Term = tuple[int, ...]  # an output element


@dataclass(frozen=True)
class Query:
    """Is there an x with `lower` ≤ x ≤ `upper` (arrays of the input's shape, float32 numbers) for which one
    of `cases` holds? A case is (relation, left, right): `left` is an output element or the difference of two,
    `right` a decimal."""

    lower: Array
    upper: Array
    output: tuple[int, ...]
    cases: Sequence[tuple[str, tuple[Term, ...], str]]
    note: str


def decimal(value: float) -> str:
    """Exactly, with a decimal point: 2.0 takes a bare 0 for an integer."""
    text = f"{Decimal(float(value)):f}"
    return text if "." in text else f"{text}.0"


def text(query: Query, version: str) -> str:
    """The query's file, `version` "1.0" or "2.0"; elements are in row-major order in 1.0."""
    flat = version == "1.0"
    shape = query.lower.shape

    def name(letter: str, index: tuple[int, ...], of: tuple[int, ...]) -> str:
        if flat:
            return f"{letter}_{int(np.ravel_multi_index(index, of))}"
        return f"{letter}[{','.join(map(str, index))}]"

    lines = [f"; {query.note}"]
    if flat:
        lines += [f"(declare-const X_{i} Real)" for i in range(query.lower.size)]
        lines += [f"(declare-const Y_{i} Real)" for i in range(int(np.prod(query.output)))]
    else:
        dims = [",".join(map(str, s)) for s in (shape, query.output)]
        lines += [
            "(vnnlib-version <2.0>)",
            f"(declare-network N (declare-input X float32 [{dims[0]}])",
            f"                   (declare-output Y float32 [{dims[1]}]))",
        ]
    for index in np.ndindex(*shape):
        x = name("X", index, shape)
        lines.append(f"(assert (>= {x} {decimal(query.lower[index])}))")
        lines.append(f"(assert (<= {x} {decimal(query.upper[index])}))")
    lines.append("(assert (or")
    for relation, left, right in query.cases:
        terms = [name("Y", t, query.output) for t in left]
        side = terms[0] if len(terms) == 1 else f"(- {' '.join(terms)})"
        lines.append(f"  ({relation} {side} {right})")
    return "\n".join([*lines, "))"]) + "\n"
