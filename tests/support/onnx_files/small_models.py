"""Small ONNX models written for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None] | tuple[Sequence[int | str | None], int]],
    outputs: Sequence[str],
    weights: Mapping[str, np.ndarray] | None = None,
    opset: int = 17,
    domains: Sequence[tuple[str, int]] = (),
) -> Path:
    """Write a model; an input is its dimensions, or (dimensions, element type)."""
    values = []
    for name, spec in inputs.items():
        dims, kind = (
            spec if isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[0], list) else (spec, 1)
        )
        values.append(helper.make_tensor_value_info(name, kind, list(dims)))  # type: ignore[arg-type]
    graph = helper.make_graph(
        list(nodes),
        "test",
        values,
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def recurrent(
    path: Path,
    op: str,
    rng: np.random.Generator,
    *,
    T: int = 4,
    B: int = 2,
    I: int = 3,
    H: int = 3,
    directions: int = 1,
    bias: bool = True,
    peepholes: bool = False,
    initial: bool = False,
    lengths: Sequence[int] | None = None,
    dtype: type = np.float32,
    opset: int = 17,
    scale: float = 1.0,
    **attributes: Any,
) -> tuple[Path, dict[str, np.ndarray]]:
    """One LSTM, GRU or RNN with random weights; returns the path and every tensor that the node reads."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    batch_first = attributes.get("layout", 0) == 1

    def state() -> np.ndarray:
        array = rng.normal(size=(directions, B, H)).astype(dtype)
        return np.ascontiguousarray(array.transpose(1, 0, 2)) if batch_first else array

    weights: dict[str, np.ndarray] = {
        "W": rng.normal(size=(directions, gates * H, I)).astype(dtype),
        "R": (scale * rng.normal(size=(directions, gates * H, H))).astype(dtype),
    }
    if bias:
        weights["B"] = rng.normal(size=(directions, 2 * gates * H)).astype(dtype)
    if lengths is not None:
        weights["lens"] = np.asarray(lengths, dtype=np.int32)
    if initial:
        weights["h0"] = state()
        if op == "LSTM":
            weights["c0"] = state()
    if peepholes:
        weights["P"] = rng.normal(size=(directions, 3 * H)).astype(dtype)
    slots = ["x", "W", "R", "B", "lens", "h0", "c0", "P"]
    names = [n if n == "x" or n in weights else "" for n in slots]
    while not names[-1]:
        names.pop()
    outputs = ["Y", "Y_h", "Y_c"] if op == "LSTM" else ["Y", "Y_h"]
    node = helper.make_node(op, names, outputs, hidden_size=H, **attributes)
    shape = [B, T, I] if batch_first else [T, B, I]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    save(path, [node], {"x": (shape, kind)}, outputs, weights, opset)
    return path, weights
