"""What a shift of the tangent points gains: the same networks bounded with planes of least height elsewhere.

    python -m benchmarks.relaxations.tangent_points

For each recurrent network of ../shared/peers/crown with T = 8: the mean over the classes of (our lower bound
of the margin − the recorded CROWN bound), in thousandths, with the least height of every plane wanted at the
centre of the box, a little off it, and where `relaxations.slopes.least_volume.TANGENT` puts it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch

import relaxations.slopes.least_volume
from benchmarks.engine.crown import FOLDER, Recorded, recorded
from benchmarks.measure import begin, print_table

TARGETS = {
    "centre": {1: (0.0,), 2: (0.0, 0.0), 3: (0.0, 0.0, 0.0)},
    "all operands alike": {1: (0.15,), 2: (0.1, 0.1), 3: (0.1, 0.1, 0.1)},
    "gate before value": {1: (0.15,), 2: (0.1, 0.02), 3: (0.1, 0.02, 0.02)},
    "default": dict(relaxations.slopes.least_volume.TANGENT),
}


def gains(run: Recorded) -> Iterator[str]:
    """The mean of ours − theirs for every target, in thousandths."""
    posed = run.problem(torch.float64)
    for target in TARGETS.values():
        relaxations.slopes.least_volume.TANGENT = target
        yield f"{1000 * float((posed.bounds()[0] - torch.tensor(run.bounds)).mean()):+.3f}"


def main() -> None:
    if not FOLDER.is_dir():
        sys.exit(f"{FOLDER} is not here: this benchmark compares with the bounds recorded there")
    chosen = sorted((run.model, run.eps, run) for run in recorded() if "_T8_" in run.model)
    begin("Gain over CROWN by the target of the planes, thousandths")
    print_table(
        "network | ε | " + " | ".join(TARGETS),
        ((model, f"{eps}", *gains(run)) for model, eps, run in chosen),
    )


if __name__ == "__main__":
    main()
