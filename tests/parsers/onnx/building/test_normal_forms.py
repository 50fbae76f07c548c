"""Every rewrite keeps the function; every spelling of a gate pattern comes out in one form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers import evaluate_numpy
from parsers.ir import Graph, Node, validate
from parsers.onnx.building.builder import Builder
from parsers.onnx.building.prune import prune
from parsers.onnx.building.simplifications import SIMPLIFICATIONS
from parsers.onnx.building.values import Val, constant
from parsers.primitives import apply

Expression = Callable[..., Val]
SHAPE = (2, 6)


def built(expression: Expression, count: int = 3) -> Graph:
    b = Builder(rules=SIMPLIFICATIONS)
    inputs = [b.input(f"x{k}", SHAPE) for k in range(count)]
    return validate(prune(b.finish("g", [expression(b, *inputs)], ["y"])))


def result(graph: Graph) -> Node:
    (node,) = [n for n in graph.nodes if "y" in n.outputs]
    assert isinstance(node, Node)
    return node


def tree(graph: Graph, name: str = "y") -> object:
    """The expression below a value as nested tuples."""
    for node in graph.nodes:
        if name in node.outputs:
            assert isinstance(node, Node)
            return (node.op, *(tree(graph, n) for n in node.inputs))
    return float(graph.constants[name].reshape(-1)[0]) if name in graph.constants else name


def s(b: Builder, x: Val) -> Val:
    return b.emit("sigmoid", x)


def one(b: Builder, x: Val) -> Val:
    return b.number(1.0, x)


BLEND = ("add", ("mul", ("sigmoid", ("neg", "x0")), "x1"), ("mul", ("sigmoid", "x0"), "x2"))
SPELLINGS: dict[str, Expression] = {
    "(1 − z) n + z h": lambda b, a, n, h: b.add(b.mul(b.sub(one(b, a), s(b, a)), n), b.mul(s(b, a), h)),
    "n + z (h − n)": lambda b, a, n, h: b.add(n, b.mul(s(b, a), b.sub(h, n))),
    "z (h − n) + n": lambda b, a, n, h: b.add(b.mul(s(b, a), b.sub(h, n)), n),
    "n + (h − n) z": lambda b, a, n, h: b.add(n, b.mul(b.sub(h, n), s(b, a))),
    "n − z (n − h)": lambda b, a, n, h: b.sub(n, b.mul(s(b, a), b.sub(n, h))),
    "n (1 − z) + h z": lambda b, a, n, h: b.add(b.mul(n, b.sub(one(b, a), s(b, a))), b.mul(h, s(b, a))),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_the_blend(spelling: str) -> None:
    graph = built(SPELLINGS[spelling])
    assert tree(graph) == BLEND
    x = dict(zip(("x0", "x1", "x2"), np.random.default_rng(0).normal(size=(3, *SHAPE)), strict=True))
    z = 1 / (1 + np.exp(-x["x0"]))
    np.testing.assert_allclose(evaluate_numpy(graph, x)["y"], (1 - z) * x["x1"] + z * x["x2"], rtol=1e-12)


NOT_BLENDS: dict[str, Expression] = {
    "n + z (n − h)": lambda b, a, n, h: b.add(n, b.mul(s(b, a), b.sub(n, h))),
    "n − z (h − n)": lambda b, a, n, h: b.sub(n, b.mul(s(b, a), b.sub(h, n))),
    "a + z (h − n)": lambda b, a, n, h: b.add(a, b.mul(s(b, a), b.sub(h, n))),
    "2 − σ(a)": lambda b, a, _n, _h: b.sub(b.number(2.0, a), s(b, a)),
}


@pytest.mark.parametrize("spelling", NOT_BLENDS)
def test_what_only_resembles_it_is_left_alone(spelling: str) -> None:
    assert "neg" not in str(tree(built(NOT_BLENDS[spelling])))


def test_forget_bias_joins_the_bias() -> None:
    c = constant(np.arange(6.0), "float32")

    def gates(b: Builder, x: Val, _y: Val, _z: Val) -> Val:
        return b.add(b.slice(b.add(x, c), 1, 2, 4), b.number(1.0, x))

    graph = built(gates)
    assert tree(graph)[:2] == ("add", ("slice", "x0"))  # type: ignore[index]
    (bias,) = graph.constants.values()
    np.testing.assert_array_equal(bias, [3.0, 4.0])


def test_a_masked_sum_is_a_selection() -> None:
    def select(b: Builder, x: Val, y: Val, z: Val) -> Val:
        m = b.emit("less", x, b.number(0.0, x), dtype="bool")
        other = b.emit("sub", constant(np.asarray(1.0), "float64"), m, dtype="bool")
        return b.add(b.mul(other, z), b.mul(y, m))

    assert tree(built(select)) == ("where", ("less", "x0", 0.0), "x1", "x2")


def test_equal_computations_are_made_once() -> None:
    def twice(b: Builder, x: Val, y: Val, _z: Val) -> Val:
        return b.mul(b.emit("tanh", b.add(x, y)), b.emit("tanh", b.add(x, y)))

    graph = built(twice)
    assert [n.op for n in graph.nodes if isinstance(n, Node)] == ["add", "tanh", "mul"]


def test_steps_joined_again_are_the_sequence() -> None:
    def join(b: Builder, x: Val, _y: Val, _z: Val) -> Val:
        steps = [b.reshape(b.take(x, k, 1), (2, 1)) for k in range(6)]
        return b.emit("tanh", b.concat(steps, 1))

    assert tree(built(join)) == ("tanh", "x0")


# --- random expressions: the builder's graph against the primitives applied one by one ---------------------

Program = list[tuple[str, list[int], dict[str, Any]]]
OPS = ("add", "sub", "mul", "neg", "sigmoid", "tanh", "move", "join", "stack", "cut")
CONSTANTS = (0.0, 1.0, -1.0, 0.5)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Steps (op, operand numbers, attributes); numbers below 0 are constants. Shapes stay (2, 6)."""
    steps: Program = []
    for k in range(draw(st.integers(1, 12))):
        one_of = st.integers(-len(CONSTANTS), 2 + k)
        kind = draw(st.sampled_from(OPS))
        if kind in ("add", "sub", "mul"):
            steps.append((kind, [draw(one_of), draw(one_of)], {}))
        elif kind == "move":
            steps.append(("move", [draw(one_of)], {"order": draw(st.permutations(range(6)))}))
        elif kind in ("join", "stack", "cut"):
            steps.append((kind, [draw(one_of)], {"at": draw(st.integers(1, 5))}))
        else:
            steps.append((kind, [draw(one_of)], {}))
    return steps


Emit = Callable[..., Any]


def run(steps: Program, values: list[object], emit: Emit) -> object:
    """Interpret a program with `emit(op, *operands, **attributes)`, whatever the operands are."""
    for op, operands, extra in steps:
        x = [values[n + len(CONSTANTS)] for n in operands]
        if op == "move":
            order = np.asarray(extra["order"])
            half = emit("take", x[0], indices=order, axis=1)
            values.append(emit("take", half, indices=order[::-1].copy(), axis=1))
        elif op == "join":
            at = extra["at"]
            left = emit("slice", x[0], axis=1, start=0, stop=at, step=1)
            right = emit("slice", x[0], axis=1, start=at, stop=6, step=1)
            values.append(emit("concat", right, left, axis=1))
        elif op == "stack":
            steps = [
                emit("reshape", emit("take", x[0], indices=np.asarray(k), axis=1), shape=(2, 1))
                for k in range(6)
            ]
            values.append(emit("concat", *steps, axis=1))
        elif op == "cut":
            flat = emit("reshape", emit("transpose", x[0], perm=(1, 0)), shape=(3, 4))
            values.append(emit("transpose", emit("reshape", flat, shape=(6, 2)), perm=(1, 0)))
        else:
            values.append(emit(op, *x))
    return values[-1]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(programs())
def test_random_expressions_keep_their_function(steps: Program) -> None:
    data = np.random.default_rng(0).normal(size=(3, *SHAPE))
    numbers: list[object] = [np.full(SHAPE, c) for c in reversed(CONSTANTS)]
    expected = run(steps, [*numbers, *data], lambda op, *x, **a: apply(op, x, a))
    b = Builder(rules=SIMPLIFICATIONS)
    inputs = [b.input(f"x{k}", SHAPE, "float64") for k in range(3)]
    known: list[object] = [constant(np.full(SHAPE, c), "float64") for c in reversed(CONSTANTS)]
    value = run(steps, [*known, *inputs], lambda op, *x, **a: b.emit(op, *x, **a))
    graph = validate(prune(b.finish("g", [value], ["y"])))  # type: ignore[list-item]
    got = evaluate_numpy(graph, {f"x{k}": x for k, x in enumerate(data)})["y"]
    np.testing.assert_allclose(got, np.asarray(expected), rtol=1e-9, atol=1e-9)
