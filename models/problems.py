"""A query about one network as a value, and its VNN-LIB text, version 1.0 or 2.0."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

Array = np.ndarray
Violation = list[list[tuple[int, int]]]  # or of ands; (a, b) says Y_a ≥ Y_b


@dataclass(frozen=True)
class Subject:
    """Files with the same weights, and what they take: samples of `frames` frames where that is fixed."""

    networks: tuple[str, ...]
    model: str
    data: str = "vowels"
    classes: int = 9
    time_first: bool = False
    frames: int | None = None


@dataclass(frozen=True)
class Problem:
    """Does any `lower` ≤ x ≤ `upper` (both (time, features)) have an output that fulfils `violation`?"""

    subject: Subject
    lower: Array
    upper: Array
    violation: Violation
    note: str

    @property
    def shape(self) -> tuple[int, ...]:
        """The input's shape with batch size 1."""
        time, features = self.lower.shape
        return (time, 1, features) if self.subject.time_first else (1, time, features)


def robustness(label: int, classes: int) -> Violation:
    """Another class reaches the label."""
    return [[(other, label)] for other in range(classes) if other != label]


def target(goal: int, classes: int) -> Violation:
    """Class `goal` reaches all others."""
    return [[(goal, other) for other in range(classes) if other != goal]]


def decimal(value: float) -> str:
    """Exact: a multiple of 2⁻¹² has at most twelve decimals. 2.0 takes a bare 0 for an integer."""
    digits = f"{Decimal(value):f}"
    return digits if "." in digits else f"{digits}.0"


def text(problem: Problem, version: int, verdict: str) -> str:
    """The query's file. 1.0 counts the elements of X in row-major order of the input's shape."""
    shape, classes = problem.shape, problem.subject.classes
    if version == 1:
        names = [f"X_{i}" for i in range(problem.lower.size)]
        outputs = [f"Y_{i}" for i in range(classes)]
        head = [f"(declare-const {name} Real)" for name in (*names, *outputs)]
    else:
        names = [f"X[{','.join(map(str, index))}]" for index in np.ndindex(*shape)]
        outputs = [f"Y[0,{i}]" for i in range(classes)]
        head = [
            "(vnnlib-version <2.0>)",
            "(declare-network N",
            f"  (declare-input X float32 [{','.join(map(str, shape))}])",
            f"  (declare-output Y float32 [1,{classes}])",
            ")",
        ]
    bounds = zip(names, problem.lower.flat, problem.upper.flat, strict=True)
    region = [
        f"(assert ({relation} {name} {decimal(value)}))"
        for name, low, high in bounds
        for relation, value in ((">=", low), ("<=", high))
    ]
    cases = [[f"(>= {outputs[a]} {outputs[b]})" for a, b in case] for case in problem.violation]
    if len(cases) == 1:  # a conjunction: one assertion each
        unsafe = [f"(assert {part})" for part in cases[0]]
    else:
        wrapped = [case[0] if len(case) == 1 else f"(and {' '.join(case)})" for case in cases]
        unsafe = ["(assert (or", *(f"  {case}" for case in wrapped), "))"]
    title = [f"; {problem.note}", f"; expected: {verdict}"]
    return "\n".join([*title, *head, *region, *unsafe]) + "\n"
