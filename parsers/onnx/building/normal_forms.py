"""Rewrites that bring cells of all frameworks to one form, the one whose bounds are tightest.

Gates keep their products: bounds are taken of σ(x)·tanh(y), σ(x)·y and the GRU blend σ(−a)·n + σ(a)·h
as wholes, so every spelling of these must come out alike.
"""

from __future__ import annotations

import numpy as np

from parsers.ir import Node
from parsers.onnx.building.algebra import is_all
from parsers.onnx.building.builder import Attributes, Builder
from parsers.onnx.building.rules import RuleTable
from parsers.onnx.building.values import Const, Sym, Val, constant

NORMAL_FORMS = RuleTable()
rule = NORMAL_FORMS.rule
Operands = tuple[Val, ...]


def made_by(b: Builder, value: Val, op: str) -> tuple[Node, list[Val]] | None:
    """The node and its operands, where `value` is made by primitive `op` in this graph."""
    node = b.producer(value)
    return (node, b.operands(node)) if node is not None and node.op == op else None


def same(x: Val, y: Val) -> bool:
    return isinstance(x, Sym) and isinstance(y, Sym) and x.owner is y.owner and x.name == y.name


def sigmoid_of(b: Builder, value: Val) -> Val | None:
    """a, where `value` is σ(a)."""
    made = made_by(b, value, "sigmoid")
    return made[1][0] if made else None


@rule("sub")
def one_minus_sigmoid(b: Builder, inputs: Operands, _attributes: Attributes) -> Val | None:
    """1 − σ(a) = σ(−a)"""
    a = sigmoid_of(b, inputs[1])
    if a is None or not is_all(inputs[0], 1) or inputs[0].shape not in ((), (1,), a.shape):
        return None
    return b.emit("sigmoid", b.neg(a))


@rule("mul")
def sigmoid_first(b: Builder, inputs: Operands, _attributes: Attributes) -> Val | None:
    """y · σ(a) = σ(a) · y"""
    x, y = inputs
    if sigmoid_of(b, y) is not None and sigmoid_of(b, x) is None:
        return b.mul(y, x)
    return None


def _blend(b: Builder, base: Val, step: Val, sign: int) -> Val | None:
    """base ± σ(a)·(p − q), where that is a blend of `base` and the other of p and q."""
    product = made_by(b, step, "mul")
    a = sigmoid_of(b, product[1][0]) if product else None
    if product is None or a is None:
        return None
    z = product[1][0]
    difference = made_by(b, product[1][1], "sub")
    if difference is None:
        return None
    p, q = difference[1] if sign > 0 else reversed(difference[1])
    if not same(q, base) or not (z.shape == p.shape == q.shape):
        return None
    return b.add(b.mul(b.emit("sigmoid", b.neg(a)), base), b.mul(z, p))


@rule("add")
def blend_by_adding(b: Builder, inputs: Operands, _attributes: Attributes) -> Val | None:
    """n + σ(a)·(h − n) = σ(−a)·n + σ(a)·h"""
    x, y = inputs
    return _blend(b, x, y, 1) or _blend(b, y, x, 1)


@rule("sub")
def blend_by_subtracting(b: Builder, inputs: Operands, _attributes: Attributes) -> Val | None:
    """h − σ(a)·(h − n) = σ(−a)·h + σ(a)·n"""
    return _blend(b, inputs[0], inputs[1], -1)


@rule("add")
def constants_together(b: Builder, inputs: Operands, _attributes: Attributes) -> Val | None:
    """(x + c) + d = x + (c + d): the forget gate's +1 joins the bias."""
    for x, d in (inputs, inputs[::-1]):
        inner = made_by(b, x, "add") if isinstance(d, Const) else None
        if inner is None:
            continue
        for y, c in (inner[1], inner[1][::-1]):
            if isinstance(c, Const) and isinstance(y, Sym) and y.shape == x.shape:
                return b.add(y, b.add(c, d))
    return None


@rule("add")
def constants_through_a_slice(b: Builder, inputs: Operands, _attributes: Attributes) -> Val | None:
    """slice(x + c) + d = slice(x) + (slice(c) + d), along the last axis: likewise, for stacked gates."""
    for x, d in (inputs, inputs[::-1]):
        cut = made_by(b, x, "slice") if isinstance(d, Const) else None
        inner = made_by(b, cut[1][0], "add") if cut else None
        if cut is None or inner is None or cut[0].attributes["axis"] != len(x.shape) - 1:
            continue
        for y, c in (inner[1], inner[1][::-1]):
            if isinstance(c, Const) and isinstance(y, Sym) and y.shape[-1:] == c.shape[-1:]:
                part = b.emit("slice", c, **{**cut[0].attributes, "axis": len(c.shape) - 1})
                return b.add(b.emit("slice", y, **cut[0].attributes), b.add(part, d))
    return None


# --- selection -----------------------------------------------------------------------------------------


def is_truth(b: Builder, value: Val) -> bool:
    """Is every entry of `value` 0 or 1 by construction: a comparison, or its negation?"""
    return isinstance(value, Sym) and value.owner is b and b.values[value.name].dtype == "bool"


@rule("add")
def selection(b: Builder, inputs: Operands, _attributes: Attributes) -> Val | None:
    """m·x + (1 − m)·y = where(m, x, y) for a truth value m"""
    for first, second in (inputs, inputs[::-1]):
        one, other = made_by(b, first, "mul"), made_by(b, second, "mul")
        if one is None or other is None:
            continue
        for m, x in (one[1], one[1][::-1]):
            if not is_truth(b, m):
                continue
            for n, y in (other[1], other[1][::-1]):
                negated = made_by(b, n, "sub")
                if (
                    negated
                    and is_all(negated[1][0], 1)
                    and same(negated[1][1], m)
                    and first.shape == second.shape
                ):
                    return b.emit("where", m, x, y)
    return None


@rule("where")
def known_selection(b: Builder, inputs: Operands, _attributes: Attributes) -> Val | None:
    """where(m, x, y) with known m is x, or y, or m·x + (1 − m)·y: no selection is left to bound."""
    m, x, y = inputs
    if not isinstance(m, Const):
        return None
    shape = np.broadcast_shapes(m.shape, x.shape, y.shape)
    chosen = (m.array != 0).astype(np.float64)
    if chosen.all() or not chosen.any():
        return b.expand(x if chosen.all() else y, shape)
    first = b.mul(constant(chosen, x.dtype), x)
    return b.add(first, b.mul(constant(1.0 - chosen, y.dtype), y))
