"""Certified counts on published benchmarks, beside the published numbers, as markdown.

`python -m benchmarks.peers [--method planes|slopes|branching] [--timeout S] [NETWORK ...]`

The networks and images are those of StarV (MNIST in two frames) and of Prover and DeepPrism (MNIST in four or
seven), read from ../shared/peers. An image counts as certified when every margin is proved positive, the
file's own float32 rounding in onnxruntime included. Seconds are of the processor, a mean over the images.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.measure import SHARED, header, table
from parsers import read_onnx
from verifier.classifier import scores
from verifier.region import ball_region
from verifier.verify import Depth, Settings, Verifier

METHODS = {"planes": Depth.backward, "slopes": Depth.slopes, "branching": Depth.branching}
TOGETHER = 16

# Counts of 100 by radius. StarV's authors ran auto_LiRPA too; of DeepPrism's variants the best one counts.
Published = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """`published` counts at the `radii`; `attackable` the images that an attack leaves unbroken."""

    radii: tuple[float, ...]
    published: Published
    unbroken: tuple[int, ...] | None


SHORT, LONG = (0.005, 0.010, 0.015, 0.020, 0.025), (0.0025, 0.005, 0.0075, 0.010, 0.0125)
PROVER = (0.008, 0.011, 0.014, 0.020)
BENCHMARKS = {
    "starv_mnist_lstm15": Benchmark(
        SHORT, {"StarV": (94, 72, 26, 10, 3), "auto_LiRPA": (94, 66, 19, 4, 1)}, (98, 93, 88, 75, 53)
    ),
    "starv_mnist_gru15": Benchmark(
        SHORT, {"StarV": (92, 73, 31, 8, 0), "auto_LiRPA": (93, 71, 22, 3, 0)}, (96, 93, 89, 81, 65)
    ),
    "starv_mnist_lstm30": Benchmark(
        LONG, {"StarV": (100, 94, 88, 73, 44), "auto_LiRPA": (100, 95, 89, 73, 43)}, (100, 100, 95, 95, 93)
    ),
    "starv_mnist_gru30": Benchmark(
        LONG, {"StarV": (98, 95, 87, 65, 42), "auto_LiRPA": (100, 96, 87, 67, 41)}, (100, 98, 97, 97, 93)
    ),
    "prover_mnist_04f_032h_1l": Benchmark(PROVER, {"DeepPrism": (98, 89, 72, 23)}, (98, 98, 98, 91)),
    "prover_mnist_04f_064h_1l": Benchmark(PROVER, {"DeepPrism": (98, 92, 81, 38)}, (99, 99, 99, 95)),
    "prover_mnist_04f_128h_1l": Benchmark(PROVER, {"DeepPrism": (99, 95, 88, 38)}, (100, 100, 100, 97)),
    "prover_mnist_07f_032h_1l": Benchmark(PROVER, {"DeepPrism": (92, 71, 32, 3)}, (98, 98, 94, 93)),
    "prover_mnist_04f_032h_2l": Benchmark(PROVER, {}, None),
    "prover_mnist_04f_032h_3l": Benchmark(PROVER, {}, None),
}


def certified(name: str, radius: float, depth: Depth, timeout: float | None) -> tuple[int, float]:
    """(certified of the network's 100 images, seconds of the processor an image)."""
    entry = json.loads((SHARED / "benchmarks.json").read_text())[f"{name}.onnx"]
    data = np.load(SHARED / "mnist_t10k_subset.npz")
    position = {index: k for k, index in enumerate(data["index"].tolist())}
    rows = [position[index] for index in entry["images"]]
    images = torch.as_tensor(data["image"][rows].reshape(len(rows), -1).astype(np.float32) / np.float32(255))
    labels = torch.as_tensor(data["label"][rows].astype(np.int64))
    graph = read_onnx(SHARED / f"{name}.onnx", {entry["input"]: tuple(entry["shape"])})
    verifier = Verifier(scores(graph), Settings())
    clip = None if entry["clip"] is None else tuple(entry["clip"])
    proved, spent = 0, 0.0
    for part in torch.arange(len(rows)).split(TOGETHER):
        region = ball_region(images[part], radius, math.inf, clip=clip)
        deadline = None if timeout is None else time.monotonic() + timeout * len(part)
        begin = time.process_time()
        found = verifier.margins(region, labels[part], deadline=deadline, depth=depth)
        spent += time.process_time() - begin
        proved += int((found.lower > 0).sum())
    return proved, spent / len(rows)


def report(name: str, methods: list[str], timeout: float | None) -> str:
    benchmark = BENCHMARKS[name]
    rows = [(source, *(f"{count}" for count in counts), "") for source, counts in benchmark.published.items()]
    for method in methods:
        found = [certified(name, r, METHODS[method], timeout) for r in benchmark.radii]
        seconds = ", ".join(f"{s:.2f}" for _, s in found)
        rows.append((f"recert, {method}", *(f"{count}" for count, _ in found), seconds))
    if benchmark.unbroken is not None:
        rows.append(("unbroken by attack", *(f"{count}" for count in benchmark.unbroken), ""))
    columns = " | ".join(["certified of 100", *(f"ε = {r:g}" for r in benchmark.radii), "CPU-s an image"])
    return f"## {name}\n\n{table(columns, rows)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", help="parts of names (all by default)")
    parser.add_argument("--method", action="append", choices=list(METHODS), help="planes, slopes by default")
    parser.add_argument("--timeout", type=float, help="seconds an image; branching needs it")
    options = parser.parse_args()
    methods = options.method or ["planes", "slopes"]
    if "branching" in methods and options.timeout is None:
        parser.error("branching goes on until its --timeout: set one")
    if not (SHARED / "benchmarks.json").exists():
        parser.error(f"the benchmarks are not there: {SHARED}")
    torch.set_num_threads(1)
    print(header("Published benchmarks"), flush=True)
    for name in BENCHMARKS:
        if not options.networks or any(part in name for part in options.networks):
            print(report(name, methods, options.timeout), flush=True)


if __name__ == "__main__":
    main()
