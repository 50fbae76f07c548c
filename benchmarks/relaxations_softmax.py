"""Joint planes of softmax against planes of its parts.  `python -m benchmarks.relaxations_softmax`

The distance of the two planes of every output at the centre of the box, for `relaxations.softmax` and for
1/s with s = Σ exp(x_k − x_j) from planes of exp and of the reciprocal, least volume each; centres U(−2, 2),
every width U(0, w).
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.relaxations import seconds
from relaxations import planes
from relaxations.softmax import softmax

BOXES = 500


def parts(lower: Tensor, upper: Tensor) -> Tensor:
    """Distance at the centre [n, N] of planes by exp and the reciprocal."""
    found = []
    for j in range(len(lower)):
        others = [k for k in range(len(lower)) if k != j]
        low, high = lower[others] - upper[j], upper[others] - lower[j]
        middle = 0.5 * (lower + upper)
        middle = middle[others] - middle[j]
        single = planes("exp", low[None], high[None], lean=(0.0,))
        below = 1 + (single.lower_slope[0] * middle + single.lower_offset).sum(0)
        above = 1 + (single.upper_slope[0] * middle + single.upper_offset).sum(0)
        ends = (1 + torch.exp(side).sum(0)[None] for side in (low, high))
        turned = planes("reciprocal", *ends, lean=(0.0,))
        top = turned.upper_slope[0] * below + turned.upper_offset
        found.append(top - turned.lower_slope[0] * above - turned.lower_offset)
    return torch.stack(found)


def main() -> None:
    torch.set_num_threads(1)
    print("| outputs | w | joint : parts, mean | least | greatest | boxes /s |")
    print("|---|---|---|---|---|---|")
    for n in (2, 5, 10, 20):
        for width in (0.1, 1.0, 4.0):
            generator = torch.Generator().manual_seed(n)
            centre, share = torch.rand(2, n, BOXES, generator=generator, dtype=torch.float64)
            centre, half = 4 * centre - 2, 0.5 * width * share
            lower, upper = centre - half, centre + half
            found = softmax(lower, upper)
            ours = ((found.upper_slope - found.lower_slope) * centre[:, None]).sum(0)
            ratio = (ours + found.upper_offset - found.lower_offset) / parts(lower, upper)
            rate = BOXES / seconds(lambda lower=lower, upper=upper: softmax(lower, upper))
            print(
                f"| {n} | {width:g} | {float(ratio.mean()):.3f} | {float(ratio.min()):.3f} | "
                f"{float(ratio.max()):.3f} | {rate:,.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
