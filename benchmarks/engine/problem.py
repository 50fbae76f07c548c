"""One bounding problem: a compiled network, regions around inputs, the margins of a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from parsers import read_onnx
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import bound_region
from verifier.network.program import Block, compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import Region, ball_region


@dataclass(frozen=True, eq=False)
class Problem:
    """Lower bounds of score[label] − score[j] for all j ≠ label, over the reals, in `dtype`."""

    program: Block
    region: Region
    objective: Objective
    dtype: torch.dtype

    def bounds(self, lookback: int | None = None) -> Tensor:
        """All intermediate bounds, all planes and the final backward pass, from nothing: [B, K − 1]."""
        found = bound_region(
            self.program,
            self.region,
            RoundingModel(self.dtype, deployed=False),
            BoundOptions(lookback=lookback),
        )
        with torch.no_grad():
            return found.minimum(self.objective)


def problem(
    path: Path, inputs: np.ndarray, labels: np.ndarray, eps: float, dtype: torch.dtype = torch.float64
) -> Problem:
    """L∞ balls of radius `eps` around `inputs` [B, ...]."""
    program = compile_program(read_onnx(path), dtype=dtype)
    classes = program.outputs[0].size
    eye = torch.eye(classes, dtype=dtype)
    rows = [torch.stack([eye[k] - eye[j] for j in range(classes) if j != k]) for k in labels.tolist()]
    centre = torch.as_tensor(inputs).reshape(len(inputs), -1)
    region = ball_region(centre, eps, torch.inf).to("cpu", dtype)
    return Problem(program, region, Objective(torch.stack(rows)), dtype)
