"""Networks side by side and products of elements compute what they say."""

from __future__ import annotations

import numpy as np
import pytest

from parsers import evaluate_numpy
from parsers.compose import qualified, side_by_side, with_products
from parsers.ir import Graph
from tests.support.networks.handmade import Builder, lstm_cell

PRODUCTS = "·products"


def small(seed: int) -> Graph:
    """x [2, 2], k [] → tanh(x W) + k, and the cell's last state."""
    rng = np.random.default_rng(seed)
    net = Builder("small", {"x": (2, 2), "k": ()})
    weights = net.constant("W", rng.normal(size=(2, 2)))
    first = net.node("add", net.node("tanh", net.node("matmul", "x", weights)), "k")
    steps = net.node("reshape", "x", shape=(2, 1, 2))
    zero = net.constant("zero", np.zeros((1, 3)))
    scan = net.scan(lstm_cell(2, 3, seed), (zero, zero), (steps,))
    net_outputs = [first, scan.finals[0]]
    return net.graph(*net_outputs)


def fed(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(2, 2)), "k": np.array(rng.normal())}


def test_side_by_side() -> None:
    graphs = {"f": small(1), "g": small(2), "h": small(1)}
    both = side_by_side(graphs)
    assert [v.name for v in both.inputs] == [qualified(n, i) for n in graphs for i in ("x", "k")]
    inputs = {n: fed(k) for k, n in enumerate(graphs)}
    got = evaluate_numpy(both, {qualified(n, i): a for n, own in inputs.items() for i, a in own.items()})
    for n, graph in graphs.items():
        for name, array in evaluate_numpy(graph, inputs[n]).items():
            np.testing.assert_array_equal(got[qualified(n, name)], array)


@pytest.mark.parametrize(
    "products",
    [
        [(0, 1)],
        [(2, 2)],
        [(0, 5, 11), (1, 1, 1), (4, 4, 7), (3, 9), (3, 3, 8, 8, 8), (0, 1)],
    ],
)
def test_products(products: list[tuple[int, ...]]) -> None:
    """Elements are numbered through x (0–3), k (4), the first output (5–8), the last state (9–11)."""
    graph = small(3)
    more = with_products(graph, products, PRODUCTS)
    assert more.outputs == (*graph.outputs, PRODUCTS)
    inputs = fed(4)
    outputs = evaluate_numpy(graph, inputs)
    flat = np.concatenate([np.ravel(a) for a in (*inputs.values(), *(outputs[n] for n in graph.outputs))])
    expected = [np.prod(flat[list(m)]) for m in products]
    np.testing.assert_allclose(evaluate_numpy(more, inputs)[PRODUCTS], expected, rtol=1e-13)


def test_without_products_nothing_changes() -> None:
    graph = small(5)
    assert with_products(graph, [], PRODUCTS) is graph
