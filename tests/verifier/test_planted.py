"""Combination locks: the class flips only where every frame is within δ of its key, and gradients are flat
elsewhere. An attack from the data sees nothing; whoever certifies a region with the plant inside is wrong."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from parsers import read_onnx
from verifier.region import ball_region
from verifier.verify import Settings, Verifier

KEY = 0.7


def _lock(frames: int, features: int, delta: float, direction: str, path: Path) -> Path:
    """s ← relu(s + Σ_i relu(δ − |x_i − key|)/δ − features): 1 while all match, 0 for good after a miss.

    |x − key| = relu(x − key) + relu(key − x); the recurrence is an RNN op with ReLU and weights of 1.
    """
    one = np.ones((features, features), np.float32)
    eye = np.eye(features, dtype=np.float32)
    arrays = {
        "eye": eye,
        "key": np.full(features, KEY, np.float32),
        "delta": np.array(delta, np.float32),
        "features": np.array(features, np.float32),
        "column": one[:, :1],
        "W": np.ones((1, 1, 1), np.float32),
        "R": np.ones((1, 1, 1), np.float32),
        "h0": np.ones((1, 1, 1), np.float32),
        "head": np.array([[0.0, 1.0]], np.float32),
        "offset": np.array([0.5, 0.0], np.float32),
        "flat": np.array([1, 1], np.int64),
    }
    nodes = [
        helper.make_node("Sub", ["x", "key"], ["up"]),
        helper.make_node("Sub", ["key", "x"], ["down"]),
        helper.make_node("Relu", ["up"], ["above"]),
        helper.make_node("Relu", ["down"], ["below"]),
        helper.make_node("Add", ["above", "below"], ["distance"]),
        helper.make_node("Sub", ["delta", "distance"], ["room"]),
        helper.make_node("Relu", ["room"], ["near"]),
        helper.make_node("Div", ["near", "delta"], ["match"]),
        helper.make_node("MatMul", ["match", "column"], ["matches"]),
        helper.make_node("Sub", ["matches", "features"], ["missing"]),
        helper.make_node(
            "RNN", ["missing", "W", "R", "", "", "h0"], ["", "last"],
            hidden_size=1, activations=["Relu"], direction=direction,
        ),
        helper.make_node("Reshape", ["last", "flat"], ["state"]),
        helper.make_node("MatMul", ["state", "head"], ["raw"]),
        helper.make_node("Add", ["raw", "offset"], ["scores"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "lock",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [frames, 1, features])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("delta", [0.3, 0.02])
@pytest.mark.parametrize(("frames", "features"), [(2, 1), (4, 2), (12, 1)])
def test_a_planted_counterexample_is_never_certified_away(
    frames: int, features: int, delta: float, direction: str, tmp_path: Path
) -> None:
    path = _lock(frames, features, delta, direction, tmp_path / "lock.onnx")
    plant = np.full((frames, 1, features), KEY, np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": plant})[0].argmax() == 1  # the plant opens the lock

    rng = np.random.default_rng(frames)
    x = torch.as_tensor(
        plant.reshape(1, -1) - rng.uniform(0.1, 0.4, (6, frames * features)).astype(np.float32)
    )
    distance = (x - KEY).abs().amax(1).double()
    radius = distance * torch.tensor([1.0, 1.001, 1.1, 1.5, 0.2, 0.1])
    verifier = Verifier(read_onnx(path), Settings(slope_steps=4))
    found = verifier.margins(
        ball_region(x, radius, torch.inf), torch.zeros(6, dtype=torch.int64), deadline=time.monotonic() + 2
    )
    assert bool((found.lower[:4] <= 0).all())
    if delta == 0.02:  # far from the key nothing opens, and intervals know
        assert bool((found.lower[4:] > 0).all())
