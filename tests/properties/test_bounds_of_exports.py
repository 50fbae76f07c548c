"""Bounds of every real export that is read contain what a search finds, or the refusal names a node."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from parsers import read_onnx
from parsers.errors import RecertError, UnsupportedModel
from parsers.ir import Graph
from tests.support.bound_search import smallest_found
from tests.support.paths import EXPORTS
from verifier.bounds.region_bounds import bound_region
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import ball_region

NAMES = sorted(path.stem for path in EXPORTS.glob("*.onnx"))
EPS, MOST_OUTPUTS = 0.01, 12

pytestmark = pytest.mark.skipif(not NAMES, reason="../shared/exports is not here")


def _read(name: str) -> tuple[Graph, dict[str, np.ndarray]]:
    with np.load(EXPORTS / f"{name}.npz") as arrays:
        inputs = {key[3:]: arrays[key] for key in arrays.files if key.startswith("in_")}
    floats = {key: array for key, array in inputs.items() if array.dtype.kind == "f"}
    fixed = {key: array for key, array in inputs.items() if array.dtype.kind != "f"}
    shapes = {key: array.shape for key, array in floats.items()}
    return read_onnx(EXPORTS / f"{name}.onnx", shapes, fixed=fixed), floats


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_bounds_of_real_exports_hold(name: str) -> None:
    try:
        graph, inputs = _read(name)
    except RecertError as refusal:
        pytest.skip(f"not read: {refusal}")
    try:
        program = compile_program(graph)
    except UnsupportedModel as refusal:
        pytest.skip(f"not bounded: {refusal}")
    if not graph.inputs:
        pytest.skip("every input is an integer, and fixed")
    x = torch.cat([torch.as_tensor(inputs[v.name]).double().reshape(-1) for v in graph.inputs])
    region = ball_region(x.unsqueeze(0), EPS, torch.inf)
    size = sum(form.size for form in program.outputs)
    eye = torch.eye(size, dtype=torch.float64)[: MOST_OUTPUTS // 2]
    rows = torch.cat([eye, -eye]).unsqueeze(0)
    lower = bound_region(program, region, RoundingModel(deployed=False)).minimum(Objective(rows))
    found = smallest_found(graph, region, rows, samples=1000)
    assert bool((lower <= found + 1e-9 * (1 + found.abs())).all()), float((lower - found).max())
    assert bool(torch.isfinite(lower).all()), "no bound at all"
