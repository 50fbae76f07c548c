"""How tight and how fast the planes are.  `python -m benchmarks.relaxations [GATE ...]`

Tightness: the volume between plane and gate against the optimum over all planes (`optimum`).  Boxes
have widths 10^U(−3, log₁₀ 12) and centres U(−8, 8) in every operand; operands of gates with a smaller domain
are moved into it.  Speed: planes per second of processor time on one thread, a lower and an upper one
for each box.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.measure import begin, print_table, seconds
from benchmarks.relaxations.boxes import mean_value, random_boxes
from benchmarks.relaxations.optimum import optimal_planes
from relaxations import GATES, Gate, offsets, planes
from relaxations.bounding_planes import planes_over
from relaxations.gate_box import GateBox


def excess_volumes(gate: Gate, count: int, parameters: Mapping[str, Any]) -> np.ndarray:
    """Volume of both planes above the optimum, as a share of the optimal volume, per box.

    Volumes below 1e-6 of the gate's magnitude count as that: the programs are solved to 1e-10 of the range.
    """
    lower, upper = random_boxes(gate, count, parameters)
    found = planes_over(GateBox(gate, lower, upper, parameters), (0.0,) * gate.arity)
    centre = 0.5 * (lower + upper)
    mean = mean_value(gate, lower, upper, parameters)
    above = (found.upper_slope * centre).sum(0) + found.upper_offset - mean
    below = mean - (found.lower_slope * centre).sum(0) - found.lower_offset
    ours = torch.stack([above, below]).numpy()
    _, (lowest, highest) = optimal_planes(gate, lower, upper, parameters, mean)
    best = torch.stack([highest - mean, lowest + mean]).numpy()
    reach = gate.magnitude(lower, upper, **parameters).numpy()
    return (ours - best) / np.maximum(best, 1e-6 * reach + 1e-280)


def speed(gate: Gate, count: int, parameters: Mapping[str, Any]) -> tuple[float, float, float]:
    """Planes per second, and offsets alone, at `count` boxes; milliseconds of one call with 32."""
    lower, upper = random_boxes(gate, count, parameters)
    found = planes(gate, lower, upper, parameters)
    whole = seconds(lambda: planes(gate, lower, upper, parameters)).cpu
    slopes = found.lower_slope, found.upper_slope
    alone = seconds(lambda: offsets(gate, *slopes, lower, upper, parameters)).cpu
    small = lower[:, :32], upper[:, :32]
    call = seconds(lambda: [planes(gate, *small, parameters) for _ in range(10)]).cpu / 10
    return 2 * count / whole, 2 * count / alone, 1e3 * call


def row(gate: Gate, boxes: int, timed: int) -> tuple[str, ...]:
    parameters = gate.example[0]
    excess, rates = ("", "", ""), ("", "", "")
    if boxes:
        found = excess_volumes(gate, boxes, parameters)
        measures = np.median(found), np.quantile(found, 0.99), found.max()
        excess = tuple(f"{100 * share:.3f} %" for share in measures)
    if timed:
        whole, alone, call = speed(gate, timed, parameters)
        rates = f"{whole:,.0f}", f"{alone:,.0f}", f"{call:.2f}"
    return gate.name, *excess, *rates


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("gates", nargs="*", help="names in the table (all by default)")
    parser.add_argument("--boxes", type=int, default=2000)
    parser.add_argument("--speed", type=int, default=16384, help="boxes of the timed calls, 0 for none")
    options = parser.parse_args()
    chosen = [GATES[name] for name in options.gates or sorted(GATES)]
    begin("Planes of gates")
    print_table(
        "gate | excess volume: median | 99 % | worst | planes /s | offsets /s | 32 boxes, ms",
        (row(gate, options.boxes, options.speed) for gate in chosen),
    )


if __name__ == "__main__":
    main()
