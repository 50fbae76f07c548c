"""How wide the bounds of composite operators are, against the range they really have.

`python -m benchmarks.relaxations.compositions [--boxes B]`

Softmax, log-softmax, maxima, MaxPool, division, layer and RMS normalisation have no gate of their own:
verifier.network.lowering and the reader make them of gates. Each is bounded as the one operator of a file in
two places:

*alone*   the operator's entries are the inputs, and every output is bounded;
*inside*  the entries are W·u of the inputs u, and `ROWS` random sums of the outputs are bounded, as a layer
          before and a layer after would ask.

The ratio is the width that is proved divided by the width that search finds. The latter is never more than
the true one, so the ratio is never less than the true one either.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from benchmarks.measure import begin, table
from parsers import read_onnx
from verifier.bounds.region_bounds import bound_region
from verifier.network.evaluator import Evaluator
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import Region, box_region

WIDTHS = (0.1, 1.0, 4.0)
ROWS = 8
SAMPLES, STEPS = 1000, 60


@dataclass(frozen=True)
class Composition:
    """`nodes` compute "y" [1, m] from "x" [1, n], for every n of `sizes`; they may read `_constants(n)`.

    `divides`: the second half of the entries are denominators, which have to be above 0.
    """

    sizes: tuple[int, ...]
    nodes: tuple[onnx.NodeProto, ...]
    divides: bool = False
    opset: int = 17

    def first_positive(self, n: int) -> int:
        """From this entry on all have to be positive."""
        return n // 2 if self.divides else n


def _constants(n: int) -> dict[str, np.ndarray]:
    return {
        "channel": np.array([1, 1, n], np.int64),
        "halves": np.array([n // 2, n // 2], np.int64),
        "scale": np.ones(n, np.float32),
    }


_node = helper.make_node
_MAX_POOL = (
    _node("Reshape", ["x", "channel"], ["image"]),
    _node("MaxPool", ["image"], ["pooled"], kernel_shape=[3]),
    _node("Flatten", ["pooled"], ["y"]),
)
_DIVISION = (
    _node("Split", ["x", "halves"], ["over", "under"], axis=1),
    _node("Div", ["over", "under"], ["y"]),
)

COMPOSITIONS = {
    "softmax": Composition((2, 5, 10), (_node("Softmax", ["x"], ["y"], axis=1),)),
    "log-softmax": Composition((2, 5, 10), (_node("LogSoftmax", ["x"], ["y"], axis=1),)),
    "max of n": Composition((2, 5, 10), (_node("ReduceMax", ["x"], ["y"], axes=[1]),)),
    "MaxPool, windows of 3": Composition((4, 10), _MAX_POOL),
    "division": Composition((2, 4, 10), _DIVISION, divides=True),
    "layer normalisation": Composition((3, 5, 10), (_node("LayerNormalization", ["x", "scale"], ["y"]),)),
    "RMS normalisation": Composition((3, 10), (_node("RMSNormalization", ["x", "scale"], ["y"]),), opset=23),
}


def mixing(composition: Composition, n: int) -> np.ndarray:
    """W [n, n] of rows with Σ|W_ij| = 1, so that widths stay those of the inputs. Where entries have to be
    positive they are averages of inputs that are."""
    random = np.random.default_rng(n)
    W = random.normal(size=(n, n))
    first = composition.first_positive(n)
    W[first:] = np.abs(W[first:])
    W[first:, :first] = 0
    return (W / np.abs(W).sum(1, keepdims=True)).astype(np.float32)


def write(path: Path, composition: Composition, n: int, *, inside: bool = False) -> Path:
    """The composition over n entries as an ONNX file of one input [1, n], mixed where it is `inside`."""
    nodes = list(composition.nodes)
    if inside:
        nodes.insert(0, _node("MatMul", ["u", "W"], ["x"]))
    constants = _constants(n) | {"W": mixing(composition, n).T.copy()}
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "composition",
        [helper.make_tensor_value_info("u" if inside else "x", TensorProto.FLOAT, [1, n])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name in read],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", composition.opset)], ir_version=9)
    onnx.save(model, path)
    return path


def random_boxes(composition: Composition, n: int, width: float, count: int, seed: int = 0) -> Region:
    """Widths U(0, width) of every entry, centres U(−2, 2); least denominators U(½, 2)."""
    random = np.random.default_rng(seed)
    sides = width * random.random((count, n))
    lower = 4 * random.random((count, n)) - 2 - sides / 2
    first = composition.first_positive(n)
    lower[:, first:] = 0.5 + 1.5 * random.random((count, n - first))
    return box_region(torch.as_tensor(lower), torch.as_tensor(lower + sides))


def objectives(outputs: int, *, inside: bool) -> Tensor:
    """Rows [1, R, m] whose range is asked for."""
    if not inside:
        return torch.eye(outputs, dtype=torch.float64)[None]
    generator = torch.Generator().manual_seed(outputs)
    return torch.randn(1, ROWS, outputs, generator=generator, dtype=torch.float64)


def greatest_found(evaluator: Evaluator, region: Region, rows: Tensor) -> Tensor:
    """The greatest values [B, R] of rows [1, R, m] · outputs at every corner of every box, at random points,
    and on the way of steps along the gradient's signs from the best of them."""
    count, n = region.lower.shape
    generator = torch.Generator().manual_seed(1)
    corners = torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=torch.float64)
    share = torch.cat([corners, torch.rand(SAMPLES, n, generator=generator, dtype=torch.float64)])
    lower, span = region.lower[:, None], (region.upper - region.lower)[:, None]
    points = torch.minimum(lower + span * share, region.upper[:, None])  # [B, S, n]
    values = (evaluator.flat(points.flatten(0, 1)) @ rows[0].T).reshape(count, len(share), -1)
    best, at = values.max(1)
    x = points.gather(1, at[..., None].expand(-1, -1, n))  # [B, R, n]
    for step in range(STEPS):
        x.requires_grad_(True)
        value = (evaluator.flat(x.flatten(0, 1)).reshape(count, x.shape[1], -1) * rows).sum(-1)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        best = torch.maximum(best, value.detach())
        moved = x.detach() + 0.3 * 0.85**step * span * gradient.sign()
        x = torch.minimum(torch.maximum(moved, lower), region.upper[:, None])
    return best


@dataclass(frozen=True, eq=False)
class Measured:
    """Ranges [B, R] that are proved and found, and processor seconds of one box of the batch."""

    proved: tuple[Tensor, Tensor]
    found: tuple[Tensor, Tensor]
    seconds: float

    @property
    def ratio(self) -> Tensor:
        return (self.proved[1] - self.proved[0]) / (self.found[1] - self.found[0])


def measure(path: Path, region: Region, *, inside: bool = False) -> Measured:
    """Bounds over the reals by backward passes, from nothing, and what search finds in the same boxes."""
    graph = read_onnx(path)
    program = compile_program(graph)
    rows = objectives(sum(form.size for form in program.outputs), inside=inside)
    both = torch.cat([rows, -rows], 1).expand(len(region), -1, -1)
    start = time.process_time()
    with torch.no_grad():
        least = bound_region(program, region, RoundingModel(deployed=False)).minimum(Objective(both))
    spent = (time.process_time() - start) / len(region)
    lower, negated = least.chunk(2, -1)
    greatest, lowest = greatest_found(Evaluator(graph), region, torch.cat([rows, -rows], 1)).chunk(2, -1)
    return Measured((lower, -negated), (-lowest, greatest), spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, default=30, help="boxes for each width")
    count = parser.parse_args().boxes
    begin("Compositions")
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, composition in COMPOSITIONS.items():
            for n in composition.sizes:
                cells: list[str] = []
                spent = 0.0
                for inside in (False, True):
                    path = write(Path(folder) / "composition.onnx", composition, n, inside=inside)
                    for width in WIDTHS:
                        found = measure(path, random_boxes(composition, n, width, count), inside=inside)
                        cells.append(f"{float(found.ratio.mean()):.3g} / {float(found.ratio.max()):.3g}")
                        spent = max(spent, found.seconds)
                rows.append((name, str(n), *cells, f"{1e3 * spent:.2f}"))
    columns = [f"{place}, w = {w:g}" for place in ("alone", "inside") for w in WIDTHS]
    print(table(f"composition | n | {' | '.join(columns)} | ms a box, most", rows))


if __name__ == "__main__":
    main()
