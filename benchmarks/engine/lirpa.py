"""auto_LiRPA and this engine on identical problems in one run, where auto_LiRPA can be imported.

It is not a dependency. To take part, it has to be importable in the environment that runs the benchmarks:
`pip install git+https://github.com/Verified-Intelligence/auto_LiRPA` into a copy of that environment, or its
checkout and requirements on PYTHONPATH.
"""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from benchmarks.engine.case import EPS
from benchmarks.engine.problem import problem
from benchmarks.measure import seconds, table
from benchmarks.networks import write_classifier

SIZES = (
    *((cell, 32, length) for length in (8, 16) for cell in ("RNN", "GRU", "LSTM")),
    ("GRU", 128, 16),
    ("LSTM", 128, 16),
)
FEATURES = 8


class Unrolled(nn.Module):
    """A file of `benchmarks.networks` as torch operations, one time step after the other; x [B, T, d]."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        self.kind = graph.node[0].op_type
        arrays = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        W, R, B = (torch.tensor(arrays[name]).squeeze(0) for name in ("W", "R", "B"))
        Wb, Rb = B.chunk(2)
        H = self.hidden = R.shape[1]
        # one product a gate: slices of a stacked one would cost the peer extra nodes
        self.from_input = list(zip(W.split(H), Wb.split(H), strict=True))
        self.from_state = list(zip(R.split(H), Rb.split(H), strict=True))
        self.C, self.b = torch.tensor(arrays["C"]), torch.tensor(arrays["b"])

    def forward(self, x: Tensor) -> Tensor:
        step = getattr(self, self.kind.lower())
        h = c = torch.zeros(self.hidden)
        for t in range(x.shape[1]):
            h, c = step(*self._products(x[:, t], h), h, c)
        return nn.functional.linear(h, self.C, self.b)

    def _products(self, x: Tensor, h: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        linear = nn.functional.linear
        return [linear(x, *gate) for gate in self.from_input], [linear(h, *gate) for gate in self.from_state]

    def rnn(self, x: list[Tensor], r: list[Tensor], h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        del h
        return torch.tanh(x[0] + r[0]), c

    def gru(self, x: list[Tensor], r: list[Tensor], h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        z, reset = torch.sigmoid(x[0] + r[0]), torch.sigmoid(x[1] + r[1])
        n = torch.tanh(x[2] + reset * r[2])
        return n + z * (h - n), c

    def lstm(self, x: list[Tensor], r: list[Tensor], h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        del h
        i, o, f, g = (a + b for a, b in zip(x, r, strict=True))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def crown(path: Path, inputs: np.ndarray, label: int) -> tuple[np.ndarray, float]:
    """auto_LiRPA's CROWN bounds of the margins of one sample [T, d], and its processor seconds."""
    from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm  # pyright: ignore

    x = torch.tensor(inputs)[None]
    network = Unrolled(path)
    classes = len(network.b)
    eye = torch.eye(classes)
    C = torch.stack([eye[label] - eye[j] for j in range(classes) if j != label])[None]
    model = BoundedModule(network, torch.zeros_like(x), device="cpu")
    ball = BoundedTensor(x, PerturbationLpNorm(norm=np.inf, eps=EPS))

    def run() -> Tensor:
        return model.compute_bounds(x=(ball,), C=C, method="CROWN", bound_upper=False)[0]

    spent = seconds(run, 2).cpu
    return run()[0].detach().numpy(), spent


def rows() -> list[tuple[str, ...]]:
    found = []
    for kind, hidden, length in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            path = write_classifier(kind, hidden, length, FEATURES, Path(folder))
            inputs = np.random.default_rng(1).normal(size=(length, FEATURES)).astype(np.float32)
            theirs, their_seconds = crown(path, inputs, 0)
            row = [kind, f"{hidden}", f"{length}", f"{their_seconds:.2f}"]
            for dtype in (torch.float64, torch.float32):
                posed = problem(path, inputs[None], np.array([0]), EPS, dtype)
                ours = seconds(posed.bounds).cpu
                difference = posed.bounds()[0].double().numpy() - theirs
                row += [f"{ours:.3f}", f"{their_seconds / ours:.1f}", f"{difference.min():+.1e}"]
        found.append(tuple(row))
    return found


COLUMNS = (
    "cell | H | T | auto_LiRPA, s | float64, s | ratio | least difference | float32, s | ratio "
    "| least difference"
)


def section() -> str:
    title = (
        "## Against auto_LiRPA\n\nCROWN (float32) and this engine in one run: random networks, d = 8, "
        f"ε = {EPS:g}; processor seconds of the bounds alone.\n\n"
    )
    if importlib.util.find_spec("auto_LiRPA") is None:
        return title + "Left out: auto_LiRPA cannot be imported; benchmarks/engine/lirpa.py says how.\n"
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return title + table(COLUMNS, rows())
