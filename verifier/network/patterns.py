"""Find gate patterns in a graph by tracing the gates' own functions.

A gate of `relaxations.GATES` is an ordinary function. Where its name is a primitive's name the two are
the same function. Any other gate is traced once: its function runs on symbols, and the expression that
comes out is the pattern that is looked for, in any order of the operands of sums and products. So the
pattern, the semantics and the test oracle of a gate are one piece of code and cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from parsers.ir import Node
from parsers.primitives import PRIMITIVES
from relaxations import GATES


class NumberInside(Exception):
    """A gate's function computes with a number, which a file holds rounded: it is no pattern."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A node of a traced expression: operand number `operand`, or `op` applied to `children`."""

    op: str
    children: tuple[Symbol, ...] = ()
    operand: int = -1

    def __post_init__(self) -> None:
        if not all(isinstance(child, Symbol) for child in self.children):
            raise NumberInside

    def __add__(self, other: Symbol) -> Symbol:
        return Symbol("add", (self, other))

    def __radd__(self, other: float) -> Symbol:
        raise NumberInside

    def __sub__(self, other: Symbol) -> Symbol:
        return Symbol("sub", (self, other))

    def __mul__(self, other: Symbol) -> Symbol:
        return Symbol("mul", (self, other))

    __rsub__ = __rmul__ = __radd__

    def __truediv__(self, other: Symbol) -> Symbol:
        return Symbol("div", (self, other))

    def __neg__(self) -> Symbol:
        return Symbol("neg", (self,))

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., object],
        types: object,
        args: tuple[Symbol, ...] = (),
        kwargs: object = None,
    ) -> Symbol:
        name = getattr(function, "__name__", "")
        if name not in PRIMITIVES or kwargs:
            raise TypeError(f"a gate function may not call {name}: it is not a primitive")
        return Symbol(name, tuple(args))

    def size(self) -> int:
        return 1 + sum(child.size() for child in self.children)


@dataclass(frozen=True, slots=True)
class Match:
    """`gate` applied to the values named `operands`."""

    gate: str
    operands: tuple[str, ...]


@cache
def patterns() -> tuple[tuple[str, Symbol], ...]:
    """Every composite gate's traced expression, the largest first: one multivariate gate wins over its parts.

    Gates with numbers inside (gelu's 1/√2) are left out: a file holds such a number rounded to float32, and
    the gate would be a slightly different function. They are reached by their own primitive only.
    """
    traced = []
    for name, gate in GATES.items():
        if name in PRIMITIVES or gate.parameters:
            continue
        operands = [Symbol("operand", operand=k) for k in range(gate.arity)]
        try:
            traced.append((name, gate.function(*operands)))
        except NumberInside:
            continue
    return tuple(sorted(traced, key=lambda item: -item[1].size()))


def match(
    root: str, producer: Callable[[str], Node | None], is_constant: Callable[[str], bool]
) -> Match | None:
    """The largest composite gate whose expression computes the value `root`, or None.

    `producer(name)` is the primitive node that makes a value (None for inputs and constants). Operands
    that are constant are refused: a product with a constant is affine and needs no plane.
    """
    node = producer(root)
    if node is None:
        return None
    for gate, expression in patterns():
        if expression.op != node.op:
            continue
        for bound in _unify(expression, root, {}, producer):
            operands = tuple(bound[k] for k in range(len(bound)))
            if not any(is_constant(name) for name in operands):
                return Match(gate, operands)
    return None


def _unify(
    expression: Symbol, value: str, bound: dict[int, str], producer: Callable[[str], Node | None]
) -> Iterator[dict[int, str]]:
    """All ways to bind the operands so that `expression` computes `value`, extending `bound`."""
    if expression.operand >= 0:
        if bound.get(expression.operand, value) == value:
            yield {**bound, expression.operand: value}
        return
    node = producer(value)
    if node is None or node.op != expression.op or len(node.inputs) != len(expression.children):
        return
    orders = [node.inputs]
    if PRIMITIVES[node.op].commutative and node.inputs[0] != node.inputs[1]:
        orders.append(node.inputs[::-1])
    for order in orders:
        partial = [bound]
        for child, name in zip(expression.children, order, strict=True):
            partial = [extended for b in partial for extended in _unify(child, name, b, producer)]
        yield from partial
