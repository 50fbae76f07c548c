"""The parser's syntax tree to a formula: declarations get their elements numbered, assertions are conjoined.

Of the `vnnlib` package only the parser is used: its own reduction to boxes and polytopes (`vnnlib.compat`)
does not keep conjunctions of disjunctions apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import vnnlib

from parsers.errors import BadQuery
from parsers.query.formula import And, Comparison, Formula, Or, Relation
from parsers.query.polynomial import Monomial, Polynomial, total
from parsers.query.variables import ELEMENT_TYPES, Network, Variable
from parsers.vnnlib.text import listed

_Definition = vnnlib.InputDefinition | vnnlib.HiddenDefinition | vnnlib.OutputDefinition
MAX_DIGITS = 1000
MAX_ELEMENTS = 1 << 24  # of one variable: a hundred times the largest image
NAMES = {"Real": "real", "F16": "float16", "F32": "float32", "F64": "float64"}
NAMES |= {
    f"{s}{bits}": f"{name}{bits}" for s, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
}


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """Declarations and the conjunction of all assertions.

    Elements are numbered through the inputs of all networks, then all outputs, then all hidden variables;
    after them come the `products`, each a monomial of at least two elements.
    """

    networks: tuple[Network, ...]
    formula: Formula
    products: tuple[Monomial, ...]


def parse(text: str) -> Query:
    """The query of version 2.0 text. Raises `BadQuery` with all that is wrong with it or not supported."""
    try:
        tree = vnnlib.parse_query_string(text)
    except vnnlib.VNNLibException as error:
        raise BadQuery(_diagnosis(str(error), text)) from None
    except (IndexError, ValueError, RuntimeError) as error:  # the parser's own conversions of numbers
        raise BadQuery(f"a number is out of range ({error}); write it within float64's") from None
    return _Translation(tree).query()


class _Translation:
    def __init__(self, tree: vnnlib.Query) -> None:
        self.problems: list[str] = []
        self.networks = tuple(self._network(network) for network in tree.networks)
        self.starts: dict[str, tuple[int, tuple[int, ...]]] = {}
        start = 0
        for kind in ("inputs", "outputs", "hidden"):
            for variable in (v for network in self.networks for v in getattr(network, kind)):
                self.starts[variable.name] = (start, variable.shape)
                start += variable.size
        self.elements = start
        self.products: dict[Monomial, int] = {}
        self.formula = And(tuple(self._formula(assertion.expr) for assertion in tree.assertions))

    def _network(self, network: vnnlib.Network) -> Network:
        def variables(nodes: Sequence[_Definition]) -> tuple[Variable, ...]:
            return tuple(self._variable(node, network.name) for node in nodes)

        return Network(
            network.name,
            variables(network.inputs),
            variables(network.hidden),
            variables(network.outputs),
            network.equal_to or "",
            network.isometric_to or "",
        )

    def _variable(self, node: _Definition, network: str) -> Variable:
        dtype = NAMES.get(node.dtype.name, "")
        if not dtype:
            known = ", ".join(ELEMENT_TYPES)
            self._refuse(f"the element type of {node.name} is not supported; use one of {known}")
        onnx_name = str(getattr(node, "onnx_name", "")).removeprefix('"').removesuffix('"')
        variable = Variable(node.name, dtype or "real", tuple(node.shape), network, onnx_name)
        if variable.size > MAX_ELEMENTS:
            raise BadQuery(f"{node.name} is declared with {variable.size:,} elements; correct its shape")
        return variable

    def _refuse(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def query(self) -> Query:
        if self.problems:
            raise BadQuery(listed(self.problems))
        return Query(self.networks, self.formula, tuple(self.products))

    # --- formulas ------------------------------------------------------------------------------------

    def _formula(self, node: vnnlib.BoolExpr) -> Formula:
        if isinstance(node, vnnlib.Comparison):
            return self._comparison(node)
        if isinstance(node, vnnlib.And):
            return And(tuple(self._formula(part) for part in node.args))
        if isinstance(node, vnnlib.Or):
            return Or(tuple(self._formula(part) for part in node.args))
        raise BadQuery(f"{type(node).__name__} is not supported; use and, or and comparisons")

    def _comparison(self, node: vnnlib.Comparison) -> Comparison:
        """left ⋈ right as left − right ⋈ 0; > and ≥ become < and ≤ of the negated difference."""
        sign, relation = _RELATIONS[type(node)]
        if isinstance(node.lhs, vnnlib.Var) and isinstance(node.rhs, vnnlib.Literal):  # nearly all there are
            number = self._number(node.rhs)
            return Comparison(
                {self._element(node.lhs): _SIGNS[sign]}, number if sign < 0 else -number, relation
            )
        difference = total([self._polynomial(node.lhs).times(sign), self._polynomial(node.rhs).times(-sign)])
        if not all(_SMALLEST <= abs(q) <= 1 / _SMALLEST for m, q in difference.terms.items() if m):
            raise BadQuery(
                f"line {_line(node)}: a coefficient is out of float64's range; rescale the comparison"
            )
        terms = {self._place(m): q for m, q in difference.terms.items() if m}
        return Comparison(terms, difference.terms.get((), Fraction(0)), relation)

    def _place(self, monomial: Monomial) -> int:
        """The number of the element, or of the product, that a monomial is."""
        if len(monomial) == 1:
            return monomial[0]
        return self.products.setdefault(monomial, self.elements + len(self.products))

    def _polynomial(self, node: vnnlib.ArithExpr) -> Polynomial:
        if isinstance(node, vnnlib.Var):
            return Polynomial.of(self._element(node))
        if isinstance(node, vnnlib.Literal):
            return Polynomial.number(self._number(node))
        if isinstance(node, vnnlib.Negate):
            return self._polynomial(node.expr).times(-1)
        if isinstance(node, vnnlib.Plus):
            return total(self._polynomial(part) for part in node.args)
        if isinstance(node, vnnlib.Minus):
            rest = total(self._polynomial(part) for part in node.rest)
            return total([self._polynomial(node.head), rest.times(-1)])
        if isinstance(node, vnnlib.Multiply):
            product = Polynomial.number(Fraction(1))
            for part in node.args:
                factor = self._polynomial(part)
                try:
                    product = product * factor
                except BadQuery as error:
                    raise BadQuery(f"line {_line(node)}: {error}") from None
            return product
        raise BadQuery(f"{type(node).__name__} is not supported; use +, - and * of elements and numbers")

    def _element(self, node: vnnlib.Var) -> int:
        start, shape = self.starts[node.name]
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
