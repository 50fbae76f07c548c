"""How tight and how fast the planes are.  `python -m benchmarks.relaxations [GATE ...]`

Tightness: the volume between plane and gate against the optimum over all planes (`benchmarks.optimum`).
Boxes have widths 10^U(−3, log₁₀ 12) and centres U(−8, 8) in every operand; operands of gates with a smaller
domain are moved into it.  Speed: planes per second of processor time on one thread, a lower and an upper one
for each box.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.optimum import optimal_planes
from relaxations import GATES, Gate, offsets, planes

QUADRATURE = {1: 200, 2: 48, 3: 24}


def random_boxes(
    gate: Gate, count: int, parameters: Mapping[str, Any], seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Boxes [k, count]; the hidden state of the blend lies in [−1, 1], where a GRU's always is."""
    generator = torch.Generator().manual_seed(seed)
    size = (gate.arity, count)
    centre = 16 * torch.rand(size, generator=generator, dtype=torch.float64) - 8
    width = 10 ** (-3 + (np.log10(12) + 3) * torch.rand(size, generator=generator, dtype=torch.float64))
    lower, upper = centre - width / 2, centre + width / 2
    if gate.arity == 3:
        lower[2], upper[2] = (lower[2] / 14).clamp(-1, 1), (upper[2] / 14).clamp(-1, 1)
    if gate.inside is not None:
        outside = ~gate.inside(lower, upper, **parameters)
        shift = torch.where(outside, (0.05 - lower).clamp(min=0), 0.0)
        lower, upper = lower + shift, upper + shift
    return lower, upper


def mean_value(gate: Gate, lower: Tensor, upper: Tensor, parameters: Mapping[str, Any]) -> Tensor:
    """The gate's mean over boxes [k, n], by Gauss-Legendre quadrature."""
    k = gate.arity
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(QUADRATURE[k]))
    share = torch.cartesian_prod(*[0.5 * (nodes + 1)] * k).reshape(-1, k).T[..., None]
    weight = torch.cartesian_prod(*[0.5 * weights] * k).reshape(-1, k).prod(1)
    return weight @ gate.function(*(lower[:, None] + (upper - lower)[:, None] * share), **parameters)


def excess_volumes(gate: Gate, count: int, parameters: Mapping[str, Any]) -> np.ndarray:
    """Volume of both planes above the optimum, as a share of the optimal volume, per box.

    Volumes below 1e-6 of the gate's magnitude count as that: the programs are solved to 1e-10 of the range.
    """
    lower, upper = random_boxes(gate, count, parameters)
    found = planes(gate, lower, upper, parameters, lean=(0.0,) * gate.arity)
    centre = 0.5 * (lower + upper)
    mean = mean_value(gate, lower, upper, parameters)
    above = (found.upper_slope * centre).sum(0) + found.upper_offset - mean
    below = mean - (found.lower_slope * centre).sum(0) - found.lower_offset
    ours = torch.stack([above, below]).numpy()
    _, (lowest, highest) = optimal_planes(gate, lower, upper, parameters, mean)
    best = torch.stack([highest - mean, lowest + mean]).numpy()
    reach = gate.magnitude(lower, upper, **parameters).numpy()
    return (ours - best) / np.maximum(best, 1e-6 * reach + 1e-280)


def seconds(run: Callable[[], Any], repeats: int = 5) -> float:
    run()
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return min(times)


def speed(gate: Gate, count: int, parameters: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Planes per second, tight, fast and offsets alone, at `count` boxes; milliseconds of one call with
    32."""
    lower, upper = random_boxes(gate, count, parameters)
    found = planes(gate, lower, upper, parameters)
    tight = seconds(lambda: planes(gate, lower, upper, parameters))
    fast = seconds(lambda: planes(gate, lower, upper, parameters, "fast"))
    slopes = found.lower_slope, found.upper_slope
    alone = seconds(lambda: offsets(gate, *slopes, lower, upper, parameters))
    small = lower[:, :32], upper[:, :32]
    call = seconds(lambda: [planes(gate, *small, parameters) for _ in range(10)]) / 10
    return 2 * count / tight, 2 * count / fast, 2 * count / alone, 1e3 * call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gates", nargs="*", help="names in the table (all by default)")
    parser.add_argument("--boxes", type=int, default=2000)
    parser.add_argument("--speed", type=int, default=16384, help="boxes of the timed calls, 0 for none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| gate | excess volume: median | 99 % | worst | tight /s | fast /s | offsets /s | 32 boxes, ms |")
    print("|---|---|---|---|---|---|---|---|")
    for gate in (GATES[name] for name in options.gates or sorted(GATES)):
        parameters = gate.example[0]
        row = ["", "", ""]
        if options.boxes:
            excess = excess_volumes(gate, options.boxes, parameters)
            row = [f"{100 * q:.3f} %" for q in (np.median(excess), np.quantile(excess, 0.99), excess.max())]
        if options.speed:
            *rates, call = speed(gate, options.speed, parameters)
            row += [*(f"{rate:,.0f}" for rate in rates), f"{call:.2f}"]
        print(f"| {gate.name} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
