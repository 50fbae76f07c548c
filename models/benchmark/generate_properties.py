"""Draw the benchmark's instances from the shipped networks and test sets.

    python generate_properties.py SEED

Writes onnx/, vnnlib/, instances.csv (VNN-LIB 2.0) and instances_1.0.csv (the same properties in 1.0) beside
this file, and expected.csv with the verdicts that are known from the construction. Needs numpy, onnx and
onnxruntime. README.md says why each kind of instance is there.
"""

from __future__ import annotations

import csv
import gzip
import shutil
import sys
from pathlib import Path

import networks
import numpy as np
import onnx
import onnxruntime
from queries import Query, decimal, text

HERE = Path(__file__).resolve().parent
FRAMES = 12  # of the vowels: the shortest prefix that most utterances have
TIMEOUT = {"vowels": 100, "mnist": 200}
TIME_FIRST = {"vowels_gru", "vowels_bilstm2"}

# radii that are proved at once, proved with effort, open, and broken; from what an attack leaves standing
RADII = {
    "vowels_rnn": (0.05, 0.15, 0.25, 0.8),
    "vowels_gru": (0.02, 0.05, 0.1, 0.5),
    "vowels_lstm": (0.02, 0.1, 0.15, 0.5),
    "vowels_bilstm2": (0.01, 0.03, 0.08, 0.6),
    "mnist_rows_lstm": (0.004, 0.01, 0.02, 0.2),
}
RUNNING = ("vowels_rnn", "vowels_gru", "vowels_lstm")
LOCKED = ("vowels_rnn", "vowels_gru", "vowels_lstm", "vowels_lstm")


class Benchmark:
    """The instances made so far."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.instances: list[tuple[str, str, int]] = []
        self.expected: list[tuple[str, str, str]] = []
        for folder in ("onnx", "vnnlib"):
            shutil.rmtree(HERE / folder, ignore_errors=True)
            (HERE / folder).mkdir()
        self.data = {}
        for name in ("vowels", "mnist_rows"):
            with np.load(networks.SHIPPED / f"{name}_test.npz") as data:
                self.data[name.split("_")[0]] = {key: data[key] for key in data.files}

    def network(self, name: str, model: onnx.ModelProto) -> onnxruntime.InferenceSession:
        data = model.SerializeToString()
        (HERE / "onnx" / f"{name}.onnx").write_bytes(data)
        return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def sample(self, kind: str, session: onnxruntime.InferenceSession) -> tuple[np.ndarray, int]:
        """A test sample of full length that the network gets right, in the network's shape."""
        data = self.data[kind]
        shape = session.get_inputs()[0].shape
        frames = int(np.prod(shape)) // data["inputs"].shape[2]
        while True:
            k = int(self.rng.integers(len(data["labels"])))
            if "lengths" in data and data["lengths"][k] < frames:
                continue
            x = data["inputs"][k, :frames].astype(np.float32).reshape(shape)
            scores = session.run(None, {"x": x})[0]
            if int(scores[-1].argmax()) == int(data["labels"][k]):
                return x, int(data["labels"][k])

    def add(self, network: str, name: str, query: Query, timeout: int, verdict: str = "") -> None:
        for version in ("1.0", "2.0"):
            path = HERE / "vnnlib" / f"{name}_v{version[0]}.vnnlib.gz"
            path.write_bytes(gzip.compress(text(query, version).encode(), mtime=0))
        self.instances.append((f"onnx/{network}.onnx", f"vnnlib/{name}", timeout))
        if verdict:
            self.expected.append((f"onnx/{network}.onnx", f"vnnlib/{name}", verdict))

    def write(self) -> None:
        for file, version in (("instances.csv", 2), ("instances_1.0.csv", 1)):
            with (HERE / file).open("w", newline="") as out:
                csv.writer(out, lineterminator="\n").writerows(
                    (net, f"{query}_v{version}.vnnlib", timeout) for net, query, timeout in self.instances
                )
        with (HERE / "expected.csv").open("w", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows(self.expected)


def box(
    x: np.ndarray, radius: float, low: float = -np.inf, high: float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """The ball around x in float32, cut to the range of the data."""
    lower = np.maximum(x - np.float32(radius), np.float32(low))
    return lower, np.minimum(x + np.float32(radius), np.float32(high))


def robustness(bench: Benchmark) -> None:
    """Another class reaches the label."""
    for name, radii in RADII.items():
        kind = name.split("_")[0]
        session = bench.network(name, networks.classifier(name, 28 if kind == "mnist" else FRAMES))
        for radius in radii:
            x, label = bench.sample(kind, session)
            limits = (0.0, 1.0) if kind == "mnist" else (-np.inf, np.inf)
            classes = session.get_outputs()[0].shape[1]
            cases = [(">=", ((0, k), (0, label)), "0.0") for k in range(classes) if k != label]
            query = Query(*box(x, radius, *limits), (1, classes), cases, f"robustness, radius {radius}")
            bench.add(name, f"{name}_robust_{radius}", query, TIMEOUT[kind])


def streams(bench: Benchmark) -> None:
    """Scores after every frame: the label's never falls by much, and none grows beyond measure."""
    for name in RUNNING:
        session = bench.network(f"{name}_running", networks.running(name, FRAMES))
        for radius, slack in ((0.01, 3.0), (0.03, 2.0), (0.1, 1.05)):
            x, label = bench.sample("vowels", session)
            scores = session.run(None, {"x": x})[0]
            own = scores[:, label]
            fall = max(float((own[:-1] - own[1:])[2:].max()), 0.5) * slack
            cases = [
                (">=", ((t, label), (t + 1, label)), decimal(round(fall, 3))) for t in range(2, FRAMES - 1)
            ]
            query = Query(
                *box(x, radius), scores.shape, cases, f"monotonicity up to {fall:.3f}, radius {radius}"
            )
            bench.add(f"{name}_running", f"{name}_monotone_{radius}", query, TIMEOUT["vowels"])
            x, label = bench.sample("vowels", session)
            scores = session.run(None, {"x": x})[0]
            most = decimal(round(float(np.abs(scores).max()) * slack**0.5, 3))
            cases = [
                (relation, (index,), limit)
                for index in np.ndindex(*scores.shape)
                for relation, limit in ((">=", most), ("<=", f"-{most}"))
            ]
            query = Query(*box(x, radius), scores.shape, cases, f"scores within {most}, radius {radius}")
            bench.add(f"{name}_running", f"{name}_bounded_{radius}", query, TIMEOUT["vowels"])


def planted(bench: Benchmark) -> None:
    """Robust but for a trigger whose place is known here alone."""
    for k, name in enumerate(LOCKED):
        clean = bench.network("drawn", networks.running(name, FRAMES))
        x, label = bench.sample("vowels", clean)
        radius = 0.05
        key = x[:, 0, 0] + bench.rng.uniform(0.5, 0.9, FRAMES) * radius * bench.rng.choice((-1, 1), FRAMES)
        key = key.astype(np.float32)
        classes = clean.get_outputs()[0].shape[1]
        goal = (label + 1 + int(bench.rng.integers(classes - 1))) % classes
        session = bench.network(f"locked_{k}", networks.locked(name, key, 2.0**-8, goal, 100.0))
        trigger = x.copy()
        trigger[:, 0, 0] = key
        lower, upper = box(x, radius)
        scores = session.run(None, {"x": trigger})[0][0]
        assert ((lower <= trigger) & (trigger <= upper)).all()
        assert scores.argmax() == goal
        cases = [(">=", ((0, c), (0, label)), "0.0") for c in range(classes) if c != label]
        query = Query(lower, upper, (1, classes), cases, f"planted trigger, radius {radius}")
        bench.add(f"locked_{k}", f"locked_{k}", query, TIMEOUT["vowels"], "sat")
    (HERE / "onnx" / "drawn.onnx").unlink()


def main() -> None:
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit("usage: generate_properties.py SEED")
    bench = Benchmark(int(sys.argv[1]))
    robustness(bench)
    streams(bench)
    planted(bench)
    bench.write()
    total = sum(timeout for *_, timeout in bench.instances)
    print(f"{len(bench.instances)} instances, {total / 3600:.1f} h at most")


if __name__ == "__main__":
    main()
