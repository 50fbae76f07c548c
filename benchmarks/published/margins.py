"""What each method adds on images that one backward pass leaves undecided, as markdown.

    python -m benchmarks.published.margins [--count N]

Of the published MNIST networks in ../shared/peers: the first N images whose margins one backward pass does
not prove; their least margin after every method, a mean over the images, and how many are proved. Clipping
shows that a margin is positive and not how large it is, so it has a count and no mean.
"""

from __future__ import annotations

import argparse
import time

import torch

from benchmarks.measure import begin, table
from benchmarks.paths import PEERS
from benchmarks.published.benchmarks import BENCHMARKS, Benchmark
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.settings import Settings

CASES = (
    ("starv_mnist_lstm15", 0.015),
    ("starv_mnist_gru15", 0.015),
    ("prover_mnist_04f_032h_1l", 0.014),
    ("prover_mnist_04f_064h_1l", 0.014),
    ("prover_mnist_04f_064h_1l", 0.020),
    ("prover_mnist_07f_032h_1l", 0.014),
    ("prover_mnist_04f_032h_2l", 0.014),
)
METHODS = (Method.crown, Method.crown_octagon, Method.alpha_crown, Method.clip)
COLUMNS = "network | ε | crown | crown-octagon | alpha-crown | clip: proved | CPU-s an image"


def row(benchmark: Benchmark, radius: float, count: int) -> tuple[str, ...]:
    samples, network = benchmark.samples(), benchmark.classifier(Settings())
    region = benchmark.region(samples, radius)
    first = network.margins(region, [s.label for s in samples], Budget(method=Method.crown)).bounds.lower
    some = torch.nonzero(first <= 0)[:count, 0]
    part, labels = region.select(some), [samples[k].label for k in some.tolist()]
    cells, spent = [], []
    for depth in METHODS:
        begin = time.process_time()
        lower = network.margins(part, labels, Budget(method=depth)).bounds.lower
        spent.append(f"{(time.process_time() - begin) / len(some):.2f}")
        proved = f"{int((lower > 0).sum())} of {len(some)}"
        cells.append(proved if depth == Method.clip else f"{float(lower.mean()):+.2f} ({proved})")
    return (benchmark.name, f"{radius:g}", *cells, ", ".join(spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=8)
    options = parser.parse_args()
    if not (PEERS / "benchmarks.json").exists():
        parser.error(f"the benchmarks are not there: {PEERS}")
    by_name = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    begin("Margins by method")
    print(table(COLUMNS, [row(by_name[name], radius, options.count) for name, radius in CASES]))


if __name__ == "__main__":
    main()
