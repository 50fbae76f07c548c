"""What leaning planes gain: the same networks bounded with the target of the planes at different points.

    python -m benchmarks.lean

For each recurrent network of ../shared/peers/crown with T = 8: the mean over the classes of (our lower bound
of the margin − the recorded CROWN bound), in thousandths, with the least height of every plane wanted at the
centre of the box, a little off it, and where `relaxations.slopes.least_volume.LEAN` puts it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

import relaxations.slopes.least_volume
from parsers import read_onnx
from verifier.bounds.region_bounds import Bounds
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import ball_region

PEERS = Path(__file__).parents[2] / "shared" / "peers" / "crown"
TARGETS = {
    "centre": {1: (0.0,), 2: (0.0, 0.0), 3: (0.0, 0.0, 0.0)},
    "all operands alike": {1: (0.15,), 2: (0.1, 0.1), 3: (0.1, 0.1, 0.1)},
    "gate before value": {1: (0.15,), 2: (0.1, 0.02), 3: (0.1, 0.02, 0.02)},
    "default": dict(relaxations.slopes.least_volume.LEAN),
}


def main() -> None:
    if not PEERS.is_dir():
        sys.exit(f"{PEERS} is not here: this benchmark compares with the bounds recorded there")
    torch.set_num_threads(1)
    runs = json.loads((PEERS / "recorded.json").read_text())["runs"]
    chosen = {(r["model"], r["eps"]): r for r in runs if r["method"] == "CROWN" and "_T8_" in r["model"]}
    print("| network | ε | " + " | ".join(TARGETS) + " |")
    print("|---|---|" + "---|" * len(TARGETS))
    for (model, eps), run in sorted(chosen.items()):
        with np.load(PEERS / f"{model}.npz") as data:
            x, label = torch.as_tensor(data["inputs"][0]).reshape(1, -1), int(data["labels"][0])
        program = compile_program(read_onnx(PEERS / f"{model}.onnx"))
        eye = torch.eye(program.outputs[0].size, dtype=torch.float64)
        rows = torch.stack([eye[label] - eye[k] for k in range(len(eye)) if k != label]).unsqueeze(0)
        region = ball_region(x, eps, torch.inf)
        gains = []
        for lean in TARGETS.values():
            relaxations.slopes.least_volume.LEAN = lean
            found = Bounds(program, region, RoundingModel(deployed=False)).minimum(Objective(rows))
            gains.append(1000 * float((found - torch.tensor(run["lb"])).mean()))
        print(f"| {model} | {eps} | " + " | ".join(f"{gain:+.3f}" for gain in gains) + " |")


if __name__ == "__main__":
    main()
