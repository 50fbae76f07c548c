"""The rules of the intermediate representation: a graph that breaks one is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from parsers import evaluate_numpy
from parsers.errors import BadInput, InvalidGraph
from parsers.ir import Graph, Node, Scan, Value, validate
from parsers.onnx.building.prune import prune


def graph(
    *nodes: Node | Scan, inputs: Mapping[str, tuple[int, ...]], outputs: tuple[str, ...], **more: Any
) -> Graph:
    shapes = {**inputs, **more.get("shapes", {})}
    constants: dict[str, np.ndarray] = more.get("constants", {})
    values = {n: Value(n, s) for n, s in shapes.items()} | {
        n: Value(n, a.shape) for n, a in constants.items()
    }
    return Graph("g", tuple(values[n] for n in inputs), constants, nodes, outputs, values)


def relu(source: str = "x", target: str = "y") -> Node:
    return Node("relu", (source,), target)


BODY = graph(
    Node("add", ("s", "f"), "n"), inputs={"s": (2,), "f": (2,)}, outputs=("n", "n"), shapes={"n": (2,)}
)
SCAN = Scan(BODY, ("h",), ("x",), ("last",), ("all",), 3)


def scan_graph(scan: Scan = SCAN, **shapes: tuple[int, ...]) -> Graph:
    known = {"last": (2,), "all": (3, 2), **shapes}
    return graph(scan, inputs={"h": (2,), "x": (3, 2)}, outputs=("last", "all"), shapes=known)


def test_valid_graphs_pass() -> None:
    validate(graph(relu(), inputs={"x": (2,)}, outputs=("y",), shapes={"y": (2,)}))
    validate(scan_graph())


@pytest.mark.parametrize(
    ("faulty", "match"),
    [
        (graph(relu("z"), inputs={"x": (2,)}, outputs=("y",), shapes={"y": (2,)}), "before it is defined"),
        (graph(relu(), relu(), inputs={"x": (2,)}, outputs=("y",), shapes={"y": (2,)}), "a second time"),
        (
            graph(relu(), inputs={"x": (2,)}, outputs=("z",), shapes={"y": (2,)}),
            "output 'z' is never defined",
        ),
        (
            graph(relu(), inputs={"x": (2,)}, outputs=("y",), shapes={"y": (3,)}),
            r"makes \(2,\), recorded as \(3,\)",
        ),
        (graph(relu(), inputs={"x": (2,)}, outputs=("y",)), "has no recorded shape"),
        (
            graph(Node("frobnicate", ("x",), "y"), inputs={"x": (2,)}, outputs=("y",), shapes={"y": (2,)}),
            "is not a primitive",
        ),
        (
            graph(Node("elu", ("x",), "y"), inputs={"x": (2,)}, outputs=("y",), shapes={"y": (2,)}),
            r"has attributes \[\], wants \['alpha'\]",
        ),
        (
            graph(
                Node("reshape", ("x",), "y", {"shape": (3,)}),
                inputs={"x": (2,)},
                outputs=("y",),
                shapes={"y": (3,)},
            ),
            "cannot take its inputs",
        ),
        (scan_graph(replace(SCAN, length=0)), "has length 0"),
        (scan_graph(replace(SCAN, length=4)), "its cell has"),
        (scan_graph(replace(SCAN, initial=(), finals=())), "disagree in the number of values"),
        (scan_graph(all=(3, 3)), "its cell has"),
        (
            scan_graph(replace(SCAN, body=replace(BODY, outputs=("n", "gone")))),
            "output 'gone' is never defined",
        ),
    ],
)
def test_each_fault_is_named(faulty: Graph, match: str) -> None:
    with pytest.raises(InvalidGraph, match=match):
        validate(faulty)


def test_a_scan_means_its_unrolling() -> None:
    rng = np.random.default_rng(0)
    h, x = rng.normal(size=2), rng.normal(size=(3, 2))
    forward = evaluate_numpy(scan_graph(), {"h": h, "x": x})
    np.testing.assert_allclose(forward["all"], h + np.cumsum(x, axis=0))
    np.testing.assert_allclose(forward["last"], h + x.sum(axis=0))
    backward = evaluate_numpy(scan_graph(replace(SCAN, reverse=True)), {"h": h, "x": x})
    np.testing.assert_allclose(backward["all"], h + np.cumsum(x[::-1], axis=0)[::-1])
    np.testing.assert_allclose(backward["last"], backward["all"][0])


def test_evaluation_refuses_wrong_data() -> None:
    with pytest.raises(BadInput, match="no data for input 'h'"):
        evaluate_numpy(scan_graph(), {"x": np.zeros((3, 2))})
    with pytest.raises(BadInput, match="the data are"):
        evaluate_numpy(scan_graph(), {"x": np.zeros((3, 2)), "h": np.zeros(3)})


def test_pruning_keeps_only_what_is_used() -> None:
    dead = Node("neg", ("x",), "dead")
    body = graph(
        Node("add", ("s", "f"), "n"),
        Node("add", ("counter", "one"), "m"),
        inputs={"s": (2,), "counter": (), "f": (2,)},
        outputs=("n", "m", "n"),
        shapes={"n": (2,), "m": ()},
        constants={"one": np.ones(())},
    )
    scan = Scan(body, ("h", "zero"), ("x",), ("last", "count"), ("all",), 3)
    whole = graph(
        dead,
        scan,
        inputs={"h": (2,), "x": (3, 2)},
        outputs=("last",),
        shapes={"dead": (3, 2), "last": (2,), "count": (), "all": (3, 2)},
        constants={"zero": np.zeros(())},
    )
    small = validate(prune(validate(whole)))
    assert set(small.values) == {"h", "x", "last"}
    (kept,) = small.scans()
    assert (kept.initial, kept.finals, kept.stacked) == (("h",), ("last",), ())
    assert set(kept.body.values) == {"s", "f", "n"}
    feed = {"h": np.ones(2), "x": np.ones((3, 2))}
    np.testing.assert_allclose(evaluate_numpy(small, feed)["last"], evaluate_numpy(whole, feed)["last"])
