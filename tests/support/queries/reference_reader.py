"""A second reader of queries, slow and strict, that evaluates instead of translating."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from tests.support.queries.formulas import OPERATORS

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def commands(text: str) -> list:
    """Nested lists of tokens."""
    text = re.sub(r'("(?:[^"\\\n]|\\.)*")|;[^\n]*', lambda m: m[1] or "", text)
    if "vnnlib-version" in text:  # operators end where they end, a blank after them is not needed
        text = re.sub(r"(?<![\w<>=!])(<=|>=|==|!=|[<>+*]|-(?!\d))(?=[\w.-])(?!\d\.\d>)", r"\1 ", text)
    stack: list[list] = [[]]
    for token in re.findall(r'"(?:[^"\\\n]|\\.)*"|[()\[\]]|[^\s()\[\],]+', text):
        if token in "([":
            stack.append([token])
        elif token in ")]":
            inner = stack.pop()
            assert inner[0] == "(["[")]".index(token)]
            stack[-1].append(inner[1:] if token == ")" else tuple(inner[1:]))
        else:
            stack[-1].append(token)
    (top,) = stack
    return top


class Reference:
    """Truth of a query's text at a point, which lists the elements of inputs and then outputs."""

    def __init__(self, text: str) -> None:
        self.assertions = []
        self.elements: dict[str, int] = {}
        sizes = {"X": 0, "Y": 0}
        for command in commands(text):
            match command:
                case ["assert", formula]:
                    self.assertions.append(formula)
                case ["declare-const", str(name), "Real"] | ["declare-fun", str(name), [], "Real"]:
                    sizes[name[0]] += 1
                case ["declare-network", _, *declarations]:
                    self._declare(declarations)
                case ["vnnlib-version", _] | ["vnnlib-version<2.0>"]:
                    pass
                case _:
                    raise AssertionError(f"what is {command}?")
        for letter, start in (("X", 0), ("Y", sizes["X"])):
            self.elements |= {f"{letter}_{i}": start + i for i in range(sizes[letter])}

    def _declare(self, declarations: Sequence) -> None:
        start = 0
        for kind, name, _, dims in declarations:
            assert kind in ("declare-input", "declare-output")
            shape = [int(n) for n in dims]
            for flat in range(prod(shape)):
                index, rest = [], flat
                for n in reversed(shape):
                    rest, i = divmod(rest, n)
                    index.insert(0, str(i))
                self.elements[f"{name}[{','.join(index)}]" if shape else name] = start + flat
            start += prod(shape)

    def __call__(self, point: Sequence[Fraction]) -> bool:
        """Literals may stand for what they are, or, one assertion at a time, for their float32 rounding: an
        element cannot equal 0.35 otherwise."""
        return all(
            self._truth(formula, point) or self._truth(_rounded(formula), point)
            for formula in self.assertions
        )

    def _truth(self, formula: list[Any], point: Sequence[Fraction]) -> bool:
        head, *rest = formula
        if head in ("and", "or"):
            return {"and": all, "or": any}[head]([self._truth(part, point) for part in rest])
        if head == "not":
            (inner,) = rest
            return not self._truth(inner, point)
        holds = OPERATORS[{"=": "==", "distinct": "!="}.get(str(head), str(head))]
        values = self._values(rest, point)
        assert len(values) >= 2
        return all(holds(a, b) for a, b in pairwise(values))

    def _values(self, parts: Sequence, point: Sequence[Fraction]) -> list[Fraction]:
        """Terms one after the other; an index is a part of its own, after its variable."""
        values: list[Fraction] = []
        for k, part in enumerate(parts):
            following = parts[k + 1] if k + 1 < len(parts) else None
            if isinstance(part, tuple):
                continue
            if isinstance(part, list):
                head, *rest = part
                inner = self._values(rest, point)
                values.append(
                    {"+": sum, "*": prod, "-": lambda v: v[0] - sum(v[1:]) if v[1:] else -v[0]}[head](inner)
                )
            elif NUMBER.fullmatch(part):
                values.append(Fraction(Decimal(part)))
            elif isinstance(part, str):
                index = f"[{','.join(following)}]" if isinstance(following, tuple) else ""
                values.append(point[self.elements[part + index]])
        return values


def _rounded(formula: Any) -> Any:
    """Every literal as the nearest float32."""
    if isinstance(formula, list):
        return [_rounded(part) for part in formula]
    if isinstance(formula, str) and NUMBER.fullmatch(formula):
        return str(Decimal(float(np.float32(formula))))
    return formula
