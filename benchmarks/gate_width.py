"""Planes of an LSTM by this library and by a linear program each.  `python -m benchmarks.gate_width`

A random LSTM (8 inputs, 16 units, 4 steps, weights as torch initialises them and the same times 3) over
∞-balls around a random input: the mean width of its gates, that is the distance of both planes at the centre
of the box, and the processor time per plane.  The reference solves a program per plane to convergence
(`benchmarks.optimum`) and moves the plane with this library's offsets.  Boxes come from the same engine, with
the planes of the same kind at all earlier steps.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

import verifier.bounds.intermediate
from benchmarks.networks import write_classifier
from benchmarks.optimum import optimal_planes
from benchmarks.relaxations import mean_value
from parsers import read_onnx
from relaxations import Gate, Planes, offsets, planes
from verifier.bounds.region_bounds import Bounds
from verifier.network.program import compile_program
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


def main() -> None:
    torch.set_num_threads(1)
    x = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (1, 32)))
    print("| weights | ε | planes | mean width | ms a plane | programs: mean width | ms a plane |")
    print("|---|---|---|---|---|---|---|")
    for scale in SCALES:
        with tempfile.TemporaryDirectory() as folder:
            program = compile_program(read_onnx(network(scale, Path(folder))))
        rows = Objective(torch.eye(5, dtype=torch.float64)[None])
        for eps in EPSILONS:
            cells = []
            for maker in (planes, programmed):
                spent = []

                def timed(
                    gate: Gate,
                    lower: Tensor,
                    upper: Tensor,
                    parameters: Mapping[str, Any],
                    maker: Any = maker,
                    spent: list[float] = spent,
                ) -> Planes:
                    begin = time.process_time()
                    found = maker(gate, lower, upper, parameters)
                    spent.append(time.process_time() - begin)
                    return found

                with mock.patch.object(verifier.bounds.intermediate, "planes", timed):
                    for _ in range(2 if maker is planes else 1):  # the first run warms up
                        spent.clear()
                        bounds = Bounds(
                            program, ball_region(x, eps, torch.inf), RoundingModel(deployed=False)
                        )
                        bounds.minimum(rows)
                widths = torch.cat([site.gap().flatten() for site in bounds.sites.values()])
                cells += [f"{float(widths.mean()):.5f}", f"{1e3 * sum(spent) / (2 * len(widths)):.4f}"]
            print(f"| × {scale:g} | {eps} | {2 * len(widths)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
