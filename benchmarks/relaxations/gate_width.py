"""Planes of an LSTM by this library and by a linear program each.

    python -m benchmarks.relaxations.gate_width

A random LSTM (8 inputs, 16 units, 4 steps, weights as torch initialises them and the same times 3) over
∞-balls around a random input: the mean width of its gates, that is the distance of both planes at the centre
of the box, and the processor time per plane.  The reference solves a program per plane to convergence
(`optimum`) and moves the plane with this library's offsets.  Boxes come from the same engine, with the planes
of the same kind at all earlier steps.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

import verifier.bounds.intermediate
from benchmarks.measure import begin, print_table
from benchmarks.networks import write_classifier
from benchmarks.relaxations.boxes import mean_value
from benchmarks.relaxations.optimum import optimal_planes
from parsers import read_onnx
from relaxations import Gate, Planes, offsets, planes
from verifier.bounds.region_bounds import bound_region
from verifier.network.program import Block, compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import ball_region

EPSILONS = (0.05, 0.1)
SCALES = (1.0, 3.0)


def programmed(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> Planes:
    low, high = (side.reshape(gate.arity, -1) for side in (lower, upper))
    slopes, _ = optimal_planes(gate, low, high, parameters, mean_value(gate, low, high, parameters))
    slopes = slopes.nan_to_num(0.0, 0.0, 0.0)  # boxes without width
    below, above = (s.reshape(lower.shape) for s in (-slopes[:, 0], slopes[:, 1]))
    low, high = offsets(gate, below, above, lower, upper, parameters)
    return Planes(below, low, above, high)


def network(scale: float, folder: Path) -> Path:
    path = write_classifier("LSTM", 16, 4, 8, folder)
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name in "WRB":
            array = numpy_helper.to_array(tensor) * np.float32(scale)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, path)
    return path


def measured(program: Block, eps: float, maker: Callable[..., Planes]) -> tuple[Tensor, float]:
    """(widths of all gates with the planes of `maker`, seconds that it spent)."""
    spent: list[float] = []

    def timed(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> Planes:
        begin = time.process_time()
        found = maker(gate, lower, upper, parameters)
        spent.append(time.process_time() - begin)
        return found

    x = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (1, 32)))
    rows = Objective(torch.eye(5, dtype=torch.float64)[None])
    region = ball_region(x, eps, torch.inf)
    with mock.patch.object(verifier.bounds.intermediate, "planes", timed):
        bounds = bound_region(program, region, RoundingModel(deployed=False))
        bounds.minimum(rows)
    return torch.cat([site.gap().flatten() for site in bounds.sites.values()]), sum(spent)


def lines() -> Iterator[tuple[str, ...]]:
    for scale in SCALES:
        with tempfile.TemporaryDirectory() as folder:
            program = compile_program(read_onnx(network(scale, Path(folder))))
        for eps in EPSILONS:
            measured(program, eps, planes)  # warms up
            cells: list[str] = []
            count = 0
            for maker in (planes, programmed):
                widths, spent = measured(program, eps, maker)
                count = 2 * len(widths)
                cells += [f"{float(widths.mean()):.5f}", f"{1e3 * spent / count:.4f}"]
            yield f"× {scale:g}", f"{eps}", f"{count}", *cells


def main() -> None:
    begin("Width of gates: this library, and a linear program each")
    print_table("weights | ε | planes | mean width | ms a plane | programs: mean width | ms a plane", lines())


if __name__ == "__main__":
    main()
