"""Torch against numpy, primitive by primitive; scans against explicit loops; the instance axis; gradients."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch

import verifier
from parsers.errors import BadInput
from parsers.ir import Graph
from parsers.primitives import PRIMITIVES, apply
from tests.support.networks.handmade import Builder, lstm_cell, lstm_classifier
from verifier.network.evaluator import Evaluator, evaluate
from verifier.network.operators import TORCH_OPS

RNG = np.random.default_rng(7)
X = RNG.normal(size=(2, 3, 4)) * 3
POINTS = np.concatenate([[-1e4, -60.0, -30.0, -1.0, -1e-9, -0.0, 0.0, 0.2, 1.0, 21.0, 60.0, 1e4], X.ravel()])
POSITIVE = np.abs(POINTS) + 1e-3
MODERATE = np.clip(POINTS, -60, 60)

# Arguments for each primitive: (inputs, attributes), several where there is a corner to cut.
EXAMPLES: dict[str, list[tuple[list[np.ndarray], dict[str, Any]]]] = {
    "reshape": [([X], {"shape": (4, 6)})],
    "transpose": [([X], {"perm": (2, 0, 1)})],
    "slice": [
        ([X], {"axis": 2, "start": 1, "stop": 4, "step": 2}),
        ([X], {"axis": 0, "start": 0, "stop": 1, "step": 1}),
    ],
    "take": [
        ([X], {"indices": np.array([2, 0, 0]), "axis": 1}),
        ([X], {"indices": np.array(1), "axis": 2}),
        ([X], {"indices": np.array([[1, 0], [1, 1]]), "axis": 0}),
    ],
    "concat": [([X, X[:, :1], X], {"axis": 1})],
    "expand": [([X[:, :1]], {"shape": (5, 2, 3, 4)})],
    "pad": [([X], {"pads": ((0, 0), (1, 2), (3, 0))})],
    "sum": [([X], {"axes": (0, 2)}), ([X], {"axes": ()})],
    "add": [([X, X[0, :1]], {})],
    "sub": [([X, X[:, :, :1]], {})],
    "neg": [([X], {})],
    "mul": [([X, X[0]], {})],
    "matmul": [
        ([X, X.swapaxes(1, 2)], {}),
        ([X, X[0].T], {}),
        ([X[0, 0], X[0].T], {}),
        ([X, X[0, 0]], {}),
        ([X[0, 0], X[0, 1]], {}),
    ],
    "div": [([X, np.abs(X[0]) + 0.1], {})],
    "max": [([X, X[::-1]], {})],
    "min": [([X, X[0, :1]], {})],
    "leaky_relu": [([POINTS], {"alpha": 0.1}), ([POINTS], {"alpha": -0.5})],
    "thresholded_relu": [([POINTS], {"alpha": 0.2})],
    "elu": [([POINTS], {"alpha": 1.3})],
    "selu": [([POINTS], {"alpha": 1.67, "gamma": 1.05})],
    "celu": [([POINTS], {"alpha": 0.7})],
    "hard_sigmoid": [([POINTS], {"alpha": 0.2, "beta": 0.5})],
    "exp": [([MODERATE], {})],
    "log": [([POSITIVE], {})],
    "sqrt": [([POSITIVE], {})],
    "reciprocal": [([POSITIVE], {})],
    "pow": [([POSITIVE], {"exponent": 1.5}), ([POINTS], {"exponent": 2.0})],
    "clip": [([POINTS], {"low": -0.5, "high": 2.0}), ([POINTS], {"low": -np.inf, "high": 0.0})],
    "softmax": [([X], {"axis": 1}), ([X * 300], {"axis": 2})],
    "log_softmax": [([X], {"axis": 2}), ([X * 300], {"axis": 0})],
    "reduce_max": [([X], {"axes": (0, 2)}), ([X], {"axes": ()})],
    "lookup": [([X[0], np.array([[1.0, 0.0]])], {"axis": 0}), ([X[0], np.array(2.0)], {"axis": 1})],
    "where": [([(X > 0).astype(float), X, X[0]], {})],
    "step": [([np.round(POINTS)], {})],
    "is_zero": [([np.round(POINTS)], {})],
    "trunc": [([POINTS], {"limit": 2.0**31})],
    "less": [([X, X[::-1]], {})],
    "equal": [([np.round(X), np.round(X[::-1])], {})],
} | {
    name: [([POINTS], {})]
    for name in [
        "sigmoid",
        "tanh",
        "relu",
        "softplus",
        "softsign",
        "hard_swish",
        "mish",
        "erf",
        "abs",
        "sin",
        "cos",
    ]
}


def test_tables_agree() -> None:
    assert set(TORCH_OPS) == set(PRIMITIVES)


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_primitive_matches_numpy(name: str) -> None:
    for inputs, attributes in EXAMPLES[name]:
        wanted = apply(name, inputs, attributes)
        got = TORCH_OPS[name](*[torch.as_tensor(x.copy()) for x in inputs], **attributes)
        assert tuple(got.shape) == wanted.shape
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_primitive_over_instances_matches_one_by_one(name: str) -> None:
    for inputs, attributes in EXAMPLES[name]:
        net = Builder(name, {f"x{i}": x.shape for i, x in enumerate(inputs)})
        graph = net.graph(net.node(name, *[v.name for v in net.inputs], **attributes))
        fed = {f"x{i}": x.copy() for i, x in enumerate(inputs)}
        scaled = {k: np.stack([x, x * 0.5, x * 0.25]) for k, x in fed.items()}
        if name == "lookup":
            scaled["x1"] = np.stack([fed["x1"], fed["x1"] * 0, fed["x1"]])
        (together,) = evaluate(graph, scaled).values()
        for i in range(3):
            (alone,) = evaluate(graph, {k: x[i] for k, x in scaled.items()}).values()
            torch.testing.assert_close(together[i], alone, rtol=1e-12, atol=1e-14)


def reference_lstm(graph: Graph, x: np.ndarray, cell: Graph, reverse: bool) -> tuple[np.ndarray, np.ndarray]:
    k, hidden = cell.constants, graph.constants["h0"].shape[1]
    h = c = np.zeros((1, hidden))
    stacked = np.zeros((x.shape[1], 1, hidden))
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        i, o, f, z = np.split(x[:, t] @ k["W"] + h @ k["R"] + k["b"], 4, axis=1)
        i, o, f = (1 / (1 + np.exp(-v)) for v in (i, o, f))
        c = f * c + i * np.tanh(z)
        h = o * np.tanh(c)
        stacked[t] = h
    return h @ graph.constants["Wo"] + graph.constants["bo"], stacked


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_matches_explicit_loop(reverse: bool) -> None:
    graph = lstm_classifier(5, 3, 4, 2, seed=3, reverse=reverse)
    x = RNG.normal(size=(1, 5, 3))
    logits, stacked = evaluate(graph, {"x": x}).values()
    wanted_logits, wanted_stacked = reference_lstm(graph, x, lstm_cell(3, 4, 3), reverse)
    np.testing.assert_allclose(logits, wanted_logits, rtol=1e-12)
    np.testing.assert_allclose(stacked, wanted_stacked, rtol=1e-12)


def test_gradient_matches_finite_differences() -> None:
    graph = lstm_classifier(4, 2, 3, 2)
    x = torch.tensor(RNG.normal(size=(2, 1, 4, 2)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: tuple(Evaluator(graph)({"x": v}).values()), (x,))


def test_shared_and_batched_inputs_mix() -> None:
    net = Builder("sum", {"a": (2,), "b": (2,)})
    graph = net.graph(net.node("sub", "a", "b"), net.node("neg", "b"))
    a, b = RNG.normal(size=(3, 2)), RNG.normal(size=2)
    difference, negative = evaluate(graph, {"a": a, "b": b}).values()
    np.testing.assert_allclose(difference, a - b)
    np.testing.assert_allclose(negative, np.broadcast_to(-b, (3, 2)))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": np.zeros(2)}, "no value for the network's input 'b'"),
        ({"a": np.zeros(2), "b": np.zeros(2), "c": np.zeros(2)}, "no input 'c'"),
        ({"a": np.zeros(3), "b": np.zeros(2)}, r"'a' is \[3\]; the network takes \[2\]"),
        ({"a": np.zeros((4, 2)), "b": np.zeros((5, 2))}, "different numbers of instances"),
        ({"a": np.array([1, 2**60]), "b": np.zeros(2)}, "integers above"),
    ],
)
def test_bad_inputs_are_named(inputs: dict[str, np.ndarray], message: str) -> None:
    net = Builder("sum", {"a": (2,), "b": (2,)})
    graph = net.graph(net.node("add", "a", "b"))
    with pytest.raises(BadInput, match=message):
        evaluate(graph, inputs)


def test_half_precision_is_refused() -> None:
    with pytest.raises(BadInput, match="float16"):
        Evaluator(lstm_classifier(2, 2, 2, 2), dtype=torch.float16)


def test_hundred_instances_are_fast() -> None:
    run = Evaluator(lstm_classifier(28, 28, 64, 10), dtype=torch.float32)
    x = torch.randn(100, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        run({"x": x})
        seconds = []
        for _ in range(5):
            start = time.process_time()
            run({"x": x})
            seconds.append(time.process_time() - start)
    assert min(seconds) < 0.25  # measured 0.013; a lost instance axis costs far more than any slow machine


def test_the_package_offers_evaluate() -> None:
    assert verifier.evaluate is evaluate
    with pytest.raises(AttributeError, match="no attribute 'evaluation'"):
        verifier.evaluation  # noqa: B018
