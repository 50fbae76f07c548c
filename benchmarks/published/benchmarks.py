"""The published benchmarks of ../shared/peers: networks, images, radii, and the counts to beat."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from benchmarks.paths import PEERS
from verifier.attack.replay import Replay
from verifier.problem.region import Region, ball_region
from verifier.problem.settings import Settings
from verifier.robustness.classifier import Classifier
from verifier.robustness.dataset import Sample

SHORT, LONG = (0.005, 0.010, 0.015, 0.020, 0.025), (0.0025, 0.005, 0.0075, 0.010, 0.0125)
PROVER = (0.008, 0.011, 0.014, 0.020)
Counts = tuple[int, ...]  # of images, at each radius


@dataclass(frozen=True)
class Benchmark:
    """A network with 100 images. `published` counts of certified ones at the `radii`; StarV's authors ran
    auto_LiRPA too; of DeepPrism's variants the best one counts. `unbroken` by the attack of the record."""

    name: str
    radii: tuple[float, ...]
    published: dict[str, Counts]
    unbroken: Counts | None

    @cached_property
    def entry(self) -> dict:  # type: ignore[type-arg]
        return json.loads((PEERS / "benchmarks.json").read_text())[f"{self.name}.onnx"]

    def samples(self) -> list[Sample]:
        data = np.load(PEERS / "mnist_t10k_subset.npz")
        position = {index: k for k, index in enumerate(data["index"].tolist())}
        rows = [position[index] for index in self.entry["images"]]
        images = data["image"][rows].astype(np.float32) / np.float32(255)
        shape = tuple(self.entry["shape"])
        return [
            Sample(k, int(label), {self.entry["input"]: image.reshape(shape)})
            for k, (image, label) in enumerate(zip(images, data["label"][rows], strict=True))
        ]

    def classifier(self, settings: Settings) -> Classifier:
        shapes = {self.entry["input"]: tuple(self.entry["shape"])}
        return Classifier(Replay(PEERS / f"{self.name}.onnx"), shapes, settings)

    def region(self, samples: Sequence[Sample], radius: float) -> Region:
        clip = None if self.entry["clip"] is None else tuple(self.entry["clip"])
        images = np.stack([s.inputs[self.entry["input"]].reshape(-1) for s in samples])
        return ball_region(torch.as_tensor(images), radius, math.inf, clip=clip)


def _starv(cell: str, radii: tuple[float, ...], starv: Counts, peer: Counts, unbroken: Counts) -> Benchmark:
    return Benchmark(f"starv_mnist_{cell}", radii, {"StarV": starv, "auto_LiRPA": peer}, unbroken)


BENCHMARKS = (
    _starv("lstm15", SHORT, (94, 72, 26, 10, 3), (94, 66, 19, 4, 1), (98, 93, 88, 75, 53)),
    _starv("gru15", SHORT, (92, 73, 31, 8, 0), (93, 71, 22, 3, 0), (96, 93, 89, 81, 65)),
    _starv("lstm30", LONG, (100, 94, 88, 73, 44), (100, 95, 89, 73, 43), (100, 100, 95, 95, 93)),
    _starv("gru30", LONG, (98, 95, 87, 65, 42), (100, 96, 87, 67, 41), (100, 98, 97, 97, 93)),
    Benchmark("prover_mnist_04f_032h_1l", PROVER, {"DeepPrism": (98, 89, 72, 23)}, (98, 98, 98, 91)),
    Benchmark("prover_mnist_04f_064h_1l", PROVER, {"DeepPrism": (98, 92, 81, 38)}, (99, 99, 99, 95)),
    Benchmark("prover_mnist_04f_128h_1l", PROVER, {"DeepPrism": (99, 95, 88, 38)}, (100, 100, 100, 97)),
    Benchmark("prover_mnist_07f_032h_1l", PROVER, {"DeepPrism": (92, 71, 32, 3)}, (98, 98, 94, 93)),
    Benchmark("prover_mnist_04f_032h_2l", PROVER, {}, None),
    Benchmark("prover_mnist_04f_032h_3l", PROVER, {}, None),
)
