"""The limits that normalisations carry: no evaluation exceeds them, and they change no value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx.parser import parse_model

from parsers import evaluate_numpy, read_onnx
from parsers.ir import Graph, Node

Array = np.ndarray
EPSILON = np.float32(1e-5)
OPERATORS = {
    "LayerNormalization": ("float[{rows},{n}] x, float[{n}] s", "y = LayerNormalization(x, s)"),
    "InstanceNormalization": (
        "float[{rows},1,{n}] x, float[1] s, float[1] k",
        "y = InstanceNormalization(x, s, k)",
    ),
    "RMSNormalization": ("float[{rows},{n}] x, float[{n}] s", "y = RMSNormalization(x, s)"),
    "GroupNormalization": (
        "float[{rows},1,{n}] x, float[1] s, float[1] k",
        "y = GroupNormalization<num_groups = 1>(x, s, k)",
    ),
}
LIMITED = [name for name in OPERATORS if name != "GroupNormalization"]


def write(path: Path, name: str, rows: int, n: int) -> Path:
    """The operator with scale 1 and bias 0, as a file."""
    inputs, body = (part.format(rows=rows, n=n) for part in OPERATORS[name])
    x, *rest = inputs.split(", ")
    weights = ", ".join(
        f"{value} = {{{', '.join(['1' if value.endswith('s') else '0'] * (n if f'[{n}]' in value else 1))}}}"
        for value in rest
    )
    model = parse_model(
        f'<ir_version: 10, opset_import: ["" : 23]> g ({x}) => (float[{rows},{n}] y) <{weights}> {{ {body} }}'
    )
    if "1,{n}" in OPERATORS[name][0]:
        model.graph.output[0].type.CopyFrom(model.graph.input[0].type)
    path.write_bytes(model.SerializeToString())
    return path


def hard_rows(rows: int, n: int, size: float, seed: int) -> Array:
    """Float32 rows around `size`: entries that differ by a few last digits, and single outliers of every
    distance, so that quotients come near their limit and means are rounded badly."""
    random = np.random.default_rng(seed)
    base = np.float32(size) * (1 + random.random((rows, 1)))
    digit = np.spacing(np.float32(size))
    few = digit * random.integers(0, 4, (rows, n))
    outlier = np.arange(n) == random.integers(0, n, (rows, 1))
    far = digit * 10 ** (6 * random.random((rows, 1)))
    kind = random.integers(0, 3, (rows, 1))
    return np.select(
        [kind == 0, kind == 1], [base + few, base + far * outlier], base + few + far * outlier
    ).astype(np.float32)


def centred_first(x: Array) -> Array:
    """(x − m) / √(mean((x − m)²) + ε) in float32, sums one entry after the other."""
    n = np.float32(x.shape[1])
    centred = x - (np.cumsum(x, 1, dtype=np.float32)[:, -1:] / n)
    variance = np.cumsum(centred * centred, 1, dtype=np.float32)[:, -1:] / n
    return centred / np.sqrt(variance + EPSILON)


def squares_first(x: Array) -> Array:
    """The same with the variance as mean(x²) − m²."""
    n = np.float32(x.shape[1])
    mean = np.cumsum(x, 1, dtype=np.float32)[:, -1:] / n
    variance = np.cumsum(x * x, 1, dtype=np.float32)[:, -1:] / n - mean * mean
    return (x - mean) / np.sqrt(np.maximum(variance, 0) + EPSILON)


def limits(graph: Graph, x: Array) -> Array:
    """The limit of the quotients of every row of float32 `x` [rows, n], in double precision: [rows, 1]."""
    rows = x.shape[0]
    for node in graph.nodes:
        if isinstance(node, Node) and node.op == "min":  # of quotient and limit
            limited = replace(graph, outputs=(node.inputs[1],))
            found = evaluate_numpy(limited, {"x": x.astype(np.float64).reshape(graph.inputs[0].shape)})
            return found[node.inputs[1]].reshape(rows, 1)
    (clip,) = [c for c in clips(graph) if c["low"] == -c["high"]]
    return np.full((rows, 1), clip["high"])


def clips(graph: Graph) -> list[dict[str, float]]:
    return [dict(n.attributes) for n in graph.nodes if isinstance(n, Node) and n.op == "clip"]  # type: ignore[arg-type]


SIZES = [1e-3, 1.0, 30.0, 1e3, 1e5, 1e7]


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 10, 33, 100])
def test_no_evaluation_exceeds_the_limits(name: str, n: int, tmp_path: Path) -> None:
    rows = 4000
    path = write(tmp_path / "norm.onnx", name, rows, n)
    graph = read_onnx(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in SIZES:
        x = hard_rows(rows, n, size, seed=n)
        limit = limits(graph, x)
        found = np.asarray(session.run(None, {"x": x.reshape(graph.inputs[0].shape)})[0]).reshape(x.shape)
        assert (np.abs(found) <= limit).all(), size
        if name != "RMSNormalization":
            assert (np.abs(centred_first(x)) <= limit).all(), size


def test_limits_are_close_where_no_digits_are_lost(tmp_path: Path) -> None:
    for n in (2, 10, 100):
        x = np.random.default_rng(0).normal(size=(50, n)).astype(np.float32)
        layer, rms = (
            limits(read_onnx(write(tmp_path / "norm.onnx", name, 50, n)), x)
            for name in ("LayerNormalization", "RMSNormalization")
        )
        assert (layer < 1.05 * np.sqrt(n - 1)).all()
        assert (rms < 1.0001 * np.sqrt(n)).all()


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_search_finds_what_exceeds_smaller_limits(n: int) -> None:
    """Rounded means are why √(n − 1) alone is too small, and variances from mean(x²) − m² keep to no limit,
    hence GroupNormalization has none."""
    x = hard_rows(4000, n, 1e6, seed=n)
    assert np.abs(centred_first(x)).max() > np.sqrt(n - 1) * 1.001
    assert np.abs(squares_first(x)).max() > 2 * np.sqrt(n)


def test_group_normalisation_has_no_limit(tmp_path: Path) -> None:
    graph = read_onnx(write(tmp_path / "norm.onnx", "GroupNormalization", 2, 4))
    assert not [n for n in graph.nodes if isinstance(n, Node) and n.op in ("clip", "min", "max")]


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("n", [1, 2, 5, 64])
def test_the_limits_change_no_value(name: str, n: int, tmp_path: Path) -> None:
    """Bit for bit the formula without them, in double precision."""
    rows = 2000
    graph = read_onnx(write(tmp_path / "norm.onnx", name, rows, n))
    for size in (0.0, 1e-3, 1.0, 1e3):
        x = hard_rows(rows, n, size, seed=n).astype(np.float64)
        found = evaluate_numpy(graph, {"x": x.reshape(graph.inputs[0].shape)})[graph.outputs[0]].reshape(
            x.shape
        )
        c = x if name == "RMSNormalization" else x - (x.sum(1) / n)[:, None]
        plain = c / np.sqrt(((c * c).sum(1) / n)[:, None] + float(EPSILON))
        np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize("name", LIMITED)
def test_the_least_deviation_sits_below_the_root_of_epsilon(name: str, tmp_path: Path) -> None:
    (least, *_) = [
        c["low"]
        for c in clips(read_onnx(write(tmp_path / "norm.onnx", name, 2, 4)))
        if c["low"] != -c["high"]
    ]
    assert 0.999999 * np.sqrt(EPSILON) < least < np.sqrt(EPSILON)
