"""One GRU layer written in four forms has one set of bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper

from parsers import read_onnx
from verifier.bounds.region_bounds import bound_region
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import ball_region

STEPS, FEATURES, HIDDEN = 6, 3, 4


def _weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return {
        "W": draw(FEATURES, 3 * HIDDEN),
        "R": draw(HIDDEN, 3 * HIDDEN) / 2,
        "bW": draw(3 * HIDDEN) / 4,
        "bR": draw(3 * HIDDEN) / 4,
        "zero": np.zeros((1, HIDDEN), np.float32),
        "one": np.array(1, np.float32),
        "first": np.array([0], np.int64),
        "parts": np.array([HIDDEN] * 3, np.int64),
    }


def _cell(x: str, h: str, after: str, tag: str = "") -> list[NodeProto]:
    """z, r = σ(..), n = tanh(x·W_n + r ⊙ (h·R_n + b)), h' = (1 − z) ⊙ n + z ⊙ h."""

    def n(name: str) -> str:
        return name + tag

    make = helper.make_node
    return [
        make("MatMul", [x, "W"], [n("xW")]),
        make("Add", [n("xW"), "bW"], [n("gx")]),
        make("MatMul", [h, "R"], [n("hR")]),
        make("Add", [n("hR"), "bR"], [n("gh")]),
        make("Split", [n("gx"), "parts"], [n("xz"), n("xr"), n("xn")], axis=1),
        make("Split", [n("gh"), "parts"], [n("hz"), n("hr"), n("hn")], axis=1),
        make("Add", [n("xz"), n("hz")], [n("az")]),
        make("Sigmoid", [n("az")], [n("z")]),
        make("Add", [n("xr"), n("hr")], [n("ar")]),
        make("Sigmoid", [n("ar")], [n("r")]),
        make("Mul", [n("r"), n("hn")], [n("rh")]),
        make("Add", [n("xn"), n("rh")], [n("an")]),
        make("Tanh", [n("an")], [n("n")]),
        make("Sub", ["one", n("z")], [n("keep")]),
        make("Mul", [n("keep"), n("n")], [n("new")]),
        make("Mul", [n("z"), h], [n("old")]),
        make("Add", [n("new"), n("old")], [after]),
    ]


def _info(name: str, *shape: int, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _as_operator() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    w = _weights()
    arrays = {
        "w": w["W"].T[None].copy(),
        "r": w["R"].T[None].copy(),
        "b": np.concatenate([w["bW"], w["bR"]])[None],
        "flat": np.array([1, HIDDEN], np.int64),
    }
    nodes = [
        helper.make_node("GRU", ["x", "w", "r", "b"], ["", "y"], hidden_size=HIDDEN, linear_before_reset=1),
        helper.make_node("Reshape", ["y", "flat"], ["h"]),
    ]
    return nodes, arrays


def _as_scan() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    body = helper.make_graph(
        _cell("xt", "ht", "hn_out"),
        "cell",
        [_info("ht", 1, HIDDEN), _info("xt", 1, FEATURES)],
        [_info("hn_out", 1, HIDDEN)],
    )
    return [helper.make_node("Scan", ["zero", "x"], ["h"], body=body, num_scan_inputs=1)], _weights()


def _as_loop() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    nodes = [
        helper.make_node("Gather", ["x", "i"], ["xt"], axis=0),
        *_cell("xt", "ht", "hn_out"),
        helper.make_node("Identity", ["going"], ["still"]),
    ]
    body = helper.make_graph(
        nodes,
        "cell",
        [
            _info("i", kind=TensorProto.INT64),
            _info("going", kind=TensorProto.BOOL),
            _info("ht", 1, HIDDEN),
        ],
        [_info("still", kind=TensorProto.BOOL), _info("hn_out", 1, HIDDEN)],
    )
    arrays = _weights() | {"count": np.array(STEPS, np.int64), "yes": np.array(True)}
    return [helper.make_node("Loop", ["count", "yes", "zero"], ["h"], body=body)], arrays


def _unrolled() -> tuple[list[NodeProto], dict[str, np.ndarray]]:
    arrays = _weights()
    nodes: list[NodeProto] = []
    h = "zero"
    for t in range(STEPS):
        arrays[f"i{t}"] = np.array(t, np.int64)
        after = "h" if t == STEPS - 1 else f"h{t}"
        nodes += [
            helper.make_node("Gather", ["x", f"i{t}"], [f"x{t}"], axis=0),
            *_cell(f"x{t}", h, after, f"_{t}"),
        ]
        h = after
    return nodes, arrays


FORMS = {"operator": _as_operator, "Scan": _as_scan, "Loop": _as_loop, "unrolled": _unrolled}


def _bounds(form: str, folder: Path) -> torch.Tensor:
    nodes, arrays = FORMS[form]()
    graph = helper.make_graph(
        nodes,
        form,
        [_info("x", STEPS, 1, FEATURES)],
        [_info("h", 1, HIDDEN)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / f"{form}.onnx"
    onnx.save(model, path)
    read = read_onnx(path)
    assert [scan.length for scan in read.scans()] == [STEPS], f"{form} was not lifted to one scan"
    x = torch.randn(1, STEPS * FEATURES, generator=torch.Generator().manual_seed(2))
    eye = torch.eye(HIDDEN, dtype=torch.float64)
    objective = Objective(torch.cat([eye, -eye]).unsqueeze(0))
    return bound_region(
        compile_program(read), ball_region(x, 0.05, torch.inf), RoundingModel(deployed=False)
    ).minimum(objective)


@pytest.mark.parametrize("form", ["Scan", "Loop", "unrolled"])
def test_every_form_has_the_operators_bounds(form: str, tmp_path: Path) -> None:
    torch.testing.assert_close(_bounds(form, tmp_path), _bounds("operator", tmp_path), rtol=0, atol=1e-9)
