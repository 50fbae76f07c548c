"""The parser's syntax tree to a formula: declarations get their elements numbered, assertions are conjoined.

The tree is walked here node by node. Of the `vnnlib` package only the parser is used: its own reduction to
boxes and polytopes (`vnnlib.compat`) does not keep conjunctions of disjunctions apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import vnnlib

from parsers.errors import BadQuery
from parsers.query.formula import And, Comparison, Formula, Or, Relation
from parsers.specification import ELEMENT_TYPES, Variable
from parsers.vnnlib.text import listed

MAX_DIGITS = 1000
MAX_ELEMENTS = 1 << 24  # of one variable: a hundred times the largest image
NAMES = {"Real": "real", "F16": "float16", "F32": "float32", "F64": "float64"}
NAMES |= {
    f"{s}{bits}": f"{name}{bits}" for s, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """Declarations and the conjunction of all assertions."""

    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    formula: Formula


def parse(text: str) -> Query:
    """The query of version 2.0 text. Raises `BadQuery` with all that is wrong with it or not supported."""
    try:
        tree = vnnlib.parse_query_string(text)
    except vnnlib.VNNLibException as error:
        raise BadQuery(_diagnosis(str(error), text)) from None
    except (IndexError, ValueError, RuntimeError) as error:  # the parser's own conversions of numbers
        raise BadQuery(f"a number is out of range ({error}); write it within float64's") from None
    return _Walk(tree).query()


class _Walk:
    def __init__(self, tree: vnnlib.Query) -> None:
        self.problems: list[str] = []
        networks = tree.networks
        if len(networks) != 1:
            names = ", ".join(network.name for network in networks)
            self._refuse(f"a query over several networks ({names}) is not supported; ask about one at a time")
        for hidden in (node for network in networks for node in network.hidden):
            self._refuse(f"the hidden node {hidden.name} is not supported; ask about inputs and outputs only")
        self.inputs = self._variables(networks, "inputs")
        self.outputs = self._variables(networks, "outputs")
        self.starts: dict[str, tuple[int, tuple[int, ...]]] = {}
        start = 0
        for variable in (*self.inputs, *self.outputs):
            self.starts[variable.name] = (start, variable.shape)
            start += variable.size
        self.formula = And(tuple(self.walk(assertion.expr) for assertion in tree.assertions))

    def _variables(self, networks: Iterable[vnnlib.Network], kind: str) -> tuple[Variable, ...]:
        found: list[Variable] = []
        for network in networks:
            for node in getattr(network, kind):
                dtype = NAMES.get(node.dtype.name, "")
                if not dtype:
                    known = ", ".join(ELEMENT_TYPES)
                    self._refuse(f"the element type of {node.name} is not supported; use one of {known}")
                variable = Variable(node.name, dtype or "real", tuple(node.shape), network.name)
                if variable.size > MAX_ELEMENTS:
                    raise BadQuery(
                        f"{node.name} is declared with {variable.size:,} elements; correct its shape"
                    )
                found.append(variable)
        return tuple(found)

    def _refuse(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def query(self) -> Query:
        if self.problems:
            raise BadQuery(listed(self.problems))
        return Query(self.inputs, self.outputs, self.formula)

    # --- formulas ------------------------------------------------------------------------------------

    def walk(self, node: vnnlib.BoolExpr) -> Formula:
        if isinstance(node, vnnlib.Comparison):
            return self._comparison(node)
        if isinstance(node, vnnlib.And):
            return And(tuple(self.walk(part) for part in node.args))
        if isinstance(node, vnnlib.Or):
            return Or(tuple(self.walk(part) for part in node.args))
        raise BadQuery(f"{type(node).__name__} is not supported; use and, or and comparisons")

    def _comparison(self, node: vnnlib.Comparison) -> Comparison:
        """left ⋈ right as left − right ⋈ 0; > and ≥ become < and ≤ of the negated difference."""
        sign, relation = _RELATIONS[type(node)]
        if isinstance(node.lhs, vnnlib.Var) and isinstance(node.rhs, vnnlib.Literal):  # nearly all there are
            number = self._number(node.rhs)
            return Comparison(
                {self._element(node.lhs): _SIGNS[sign]}, number if sign < 0 else -number, relation
            )
        left, right = self._linear(node.lhs), self._linear(node.rhs)
        terms = {i: sign * q for i, q in left.terms.items()}
        for i, q in right.terms.items():
            terms[i] = terms.get(i, 0) - sign * q
        terms = {i: q for i, q in terms.items() if q}
        if not all(_SMALLEST <= abs(q) <= 1 / _SMALLEST for q in terms.values()):
            raise BadQuery(
                f"line {_line(node)}: a coefficient is out of float64's range; rescale the comparison"
            )
        return Comparison(terms, sign * (left.constant - right.constant), relation)

    def _linear(self, node: vnnlib.ArithExpr) -> _Linear:
        """Σ terms·elements + constant. A product of two expressions with variables is a problem."""
        if isinstance(node, vnnlib.Var):
            return _Linear({self._element(node): _SIGNS[1]}, Fraction(0))
        if isinstance(node, vnnlib.Literal):
            return _Linear({}, self._number(node))
        if isinstance(node, vnnlib.Negate):
            return self._linear(node.expr).times(Fraction(-1))
        if isinstance(node, vnnlib.Plus):
            return _sum(self._linear(part) for part in node.args)
        if isinstance(node, vnnlib.Minus):
            rest = _sum(self._linear(part) for part in node.rest)
            return _sum([self._linear(node.head), rest.times(Fraction(-1))])
        if isinstance(node, vnnlib.Multiply):
            product = _Linear({}, Fraction(1))
            for part in node.args:
                factor = self._linear(part)
                if product.terms and factor.terms:
                    product = f"line {_line(node)}: the product {_short(str(node))} of variables"
                    self._refuse(f"{product} is not supported; use linear terms")
                    return _Linear({}, Fraction(0))
                product = factor.times(product.constant) if factor.terms else product.times(factor.constant)
            return product
        raise BadQuery(f"{type(node).__name__} is not supported; use +, - and * of elements and numbers")

    def _element(self, node: vnnlib.Var) -> int:
        start, shape = self.starts.get(node.name, (0, None))
        if shape is None:  # a hidden node, already among the problems
            return 0
        indices = node.indices
        if len(indices) != len(shape) or any(not 0 <= i < n for i, n in zip(indices, shape, strict=True)):
            where = f"line {node.line}: {node.name}{indices}"
            raise BadQuery(f"{where} is outside its shape {list(shape)}; correct the index")
        offset = 0
        for i, n in zip(indices, shape, strict=True):
            offset = offset * n + i
        return start + offset

    def _number(self, node: vnnlib.Literal) -> Fraction:
        if len(node.lexeme) > MAX_DIGITS:
            raise BadQuery(f"line {node.line}: a number has more than {MAX_DIGITS} digits; shorten it")
        return Fraction(node.lexeme)


@dataclass(frozen=True, slots=True, eq=False)
class _Linear:
    terms: dict[int, Fraction]
    constant: Fraction

    def times(self, factor: Fraction) -> _Linear:
        return _Linear({i: factor * q for i, q in self.terms.items()}, factor * self.constant)


def _sum(parts: Iterable[_Linear]) -> _Linear:
    terms: dict[int, Fraction] = {}
    constant = Fraction(0)
    for part in parts:
        constant += part.constant
        for i, q in part.terms.items():
            terms[i] = terms.get(i, Fraction(0)) + q
    return _Linear({i: q for i, q in terms.items() if q}, constant)


_SMALLEST = Fraction(1, 2**1000)
_SIGNS = {1: Fraction(1), -1: Fraction(-1)}
_EXPONENT = re.compile(r"\d[eE][+-]?\d")
_GRAMMAR = "check it against the standard's grammar"
_RELATIONS: dict[type, tuple[int, Relation]] = {
    vnnlib.LessEqual: (1, "<="),
    vnnlib.LessThan: (1, "<"),
    vnnlib.GreaterEqual: (-1, "<="),
    vnnlib.GreaterThan: (-1, "<"),
    vnnlib.Equal: (1, "=="),
    vnnlib.NotEqual: (1, "!="),
}


def _line(node: vnnlib.Node) -> int:
    """The line of the first leaf that knows its own."""
    own = getattr(node, "line", 0)
    return own or next((n for n in map(_line, node.children()) if n), 0)


def _short(text: str) -> str:
    text = re.sub(r"\s*\[\s*", "[", text)
    return text if len(text) <= 60 else text[:57] + "…"


# --- what the parser reports -------------------------------------------------------------------------


def _diagnosis(report: str, text: str) -> str:
    """The parser's report as one line: a syntax error with the text there, or its list of type errors."""
    try:
        errors = json.loads(report)["errors"]
        found = [f"{_place(e)}{e['message'].rstrip('.')}: {_hint(e['hint'])}" for e in errors]
        return listed(list(dict.fromkeys(found)))
    except (ValueError, KeyError, TypeError):
        return _syntax_error(report, text)


def _place(error: dict[str, object]) -> str:
    where = f"line {error['line']}: " if "line" in error else ""
    return f"{where}'{error['offendingSymbol']}': "


def _hint(hint: str) -> str:
    hint = hint.rstrip(".")
    return f"{hint}; write it with a decimal point" if "IntConstant" in hint and "'F" in hint else hint


def _syntax_error(report: str, text: str) -> str:
    match = re.search(r"line (\d+)", report)
    if match is None:
        return f"not readable as VNN-LIB 2.0 ({' '.join(report.split())}); {_GRAMMAR}"
    number = int(match[1])
    lines = text.split("\n")
    source = _short(" ".join(lines[number - 1].split())) if 0 < number <= len(lines) else ""
    advice = "write 1e-3 as 0.001, VNN-LIB 2.0 has no exponents" if _EXPONENT.search(source) else _GRAMMAR
    return f"line {number}: syntax error{f' in `{source}`' if source else ''}; {advice}"
