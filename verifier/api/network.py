"""An ONNX file as it was loaded, and what is compiled of it."""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from parsers import read_onnx
from parsers.errors import BadInput
from parsers.ir import Graph
from parsers.onnx.file.dimensions import Bindings, InputSpec, bind
from verifier.api.arrays import Array, ArrayLike, Inputs, array, count_of, fed
from verifier.attack.replay import Replay
from verifier.inspection.summary import Inspection
from verifier.inspection.summary import inspect as describe
from verifier.network.coverage import caveat
from verifier.problem.settings import Settings
from verifier.proof.prover import Prover
from verifier.robustness.classifier import Classifier

Compiled = TypeVar("Compiled", Classifier, Prover)

KEPT = 8  # compiled networks: one for each shape of inputs and each settings


class Network:
    """What `load` returns.

    `path`, the file; `inputs`, name, type and dimensions of each input that is not fixed; `outputs`, their
    names; `output`, the classifier's, where one was chosen. What is compiled for some input shape is kept for
    the next question about that shape.
    """

    def __init__(
        self,
        model: Path | bytes,
        shapes: Bindings,
        fixed: Mapping[str, Array],
        output: str | None,
    ) -> None:
        if isinstance(model, bytes):  # onnxruntime and the reader want a file: it lives as long as this does
            folder = tempfile.mkdtemp(prefix="recert-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            data, model = model, Path(folder, "model.onnx")
            model.write_bytes(data)
        self.path = model
        self.replay = Replay(model, fixed)
        self.inputs = tuple(_with_sizes(self.replay.inputs, shapes))
        self.outputs = self.replay.outputs
        if output is not None and output not in self.outputs:
            raise BadInput(f"the network has no output '{output}'; its outputs are {', '.join(self.outputs)}")
        self.output = output
        self.shapes = dict(shapes)
        self._compiled: dict[object, Classifier | Prover] = {}

    def __repr__(self) -> str:
        """`Network('vowels_lstm.onnx', x [batch, time, 12] float32 → logits)`"""
        inputs = ", ".join(f"{str(spec).replace(chr(39), '')} {spec.dtype}" for spec in self.inputs)
        return f"Network({self.path.name!r}, {inputs} → {', '.join(self.outputs)})"

    def graph(self, shapes: Bindings | None = None) -> Graph:
        """What the file computes at input `shapes`; by default those that `load` was given."""
        return read_onnx(self.path, self.shapes if shapes is None else shapes, self.replay.fixed)

    def classifier(self, shapes: Mapping[str, tuple[int, ...]], settings: Settings) -> Classifier:
        """Compiled for inputs of `shapes`, for questions about a class."""

        def made() -> Classifier:
            found = Classifier(self.replay, shapes, settings, self.output)
            _warn(found.graph)
            return found

        return self._kept(("classifier", tuple(sorted(shapes.items())), settings), made)

    def prover(self, shapes: Mapping[str, tuple[int, ...]], settings: Settings) -> Prover:
        """Compiled for inputs of `shapes`, for questions about the outputs as they are."""

        def made() -> Prover:
            graph = self.graph(shapes)
            _warn(graph)
            return Prover(replace(graph, outputs=(self.output,)) if self.output else graph, settings)

        return self._kept(("prover", tuple(sorted(shapes.items())), settings), made)

    def _kept(self, key: object, made: Callable[[], Compiled]) -> Compiled:
        if key not in self._compiled:
            if len(self._compiled) == KEPT:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[key] = made()
        return cast("Compiled", self._compiled[key])


def _warn(graph: Graph) -> None:
    note = caveat(graph)
    if note is not None:
        warnings.warn(note, stacklevel=2)


def load(
    model: str | Path | bytes,
    *,
    shapes: Bindings | None = None,
    fixed: Mapping[str, ArrayLike] | None = None,
    output: str | None = None,
) -> Network:
    """Open an ONNX model: the path of a file (also gzipped), or its bytes.

    `shapes` gives free dimensions a size by name (`{"time": 20}`), or an input its whole shape (`{"x": (1,
    20, 12)}`); what is left free takes the size of the data. `fixed` gives inputs a value that are no part of
    the question (`{"lengths": [20]}`). `output` names the classifier's scores where the model has several
    outputs.

    Raises `UnreadableModel` if it is not a model that onnxruntime loads, `BadInput` for a name or a shape
    that the model does not have. What cannot be bounded is told by `inspect` and by the first question.

    >>> recert.load("models/vowels_lstm.onnx")
    Network('vowels_lstm.onnx', x [batch, time, 12] float32 → logits)
    """
    source = model if isinstance(model, bytes) else Path(model)
    values = {name: array(value) for name, value in (fixed or {}).items()}
    return Network(source, shapes or {}, values, output)


def evaluate(network: Network, inputs: Inputs) -> dict[str, Array]:
    """What the model answers, as onnxruntime computes it: the outputs by name.

    `inputs` is the array of the single input, or a dict with one for each; each in the network's own shape,
    with or without its batch axis of size 1. Or it is several samples along one more axis in front, as in
    `ball`, and so are the outputs. Raises `BadInput` for arrays that do not fit.

    >>> network, data = recert.load("models/vowels_gru.onnx"), np.load("models/vowels_test.npz")
    >>> int(recert.evaluate(network, data["inputs"][3])["logits"].argmax())
    3
    """
    count = count_of(network.inputs, inputs)
    answers = [network.replay(sample) for sample in fed(network.inputs, inputs, count)]
    if count is None:
        return answers[0]
    return {name: np.stack([answer[name] for answer in answers]) for name in network.outputs}


def inspect(network: Network) -> Inspection:
    """What the file was read as: its recurrent cells as equations, states, gates, parameters; nothing is
    bounded. `refusals` is empty if all of it can be.

    Raises `UnboundDimension` where the length of sequences is free: give `load` the `shapes` to look at, and
    `UnsupportedModel` for operators that are not read.

    >>> recert.inspect(recert.load("models/vowels_lstm_15.onnx"))
    Inspection(1 LSTM of 15 time steps, 6,089 parameters, can be certified)
    """
    return describe(network.graph())


def _with_sizes(specs: tuple[InputSpec, ...], shapes: Bindings) -> list[InputSpec]:
    """The inputs with the sizes that `shapes` gives to their free dimensions."""
    known = {name for spec in specs for name in (spec.name, *spec.dims) if isinstance(name, str)}
    unknown = sorted(set(shapes) - known)
    if unknown:
        raise BadInput(f"nothing in the model is called '{unknown[0]}'; it has {', '.join(map(str, specs))}")
    found: list[InputSpec] = []
    for spec in specs:
        if spec.name in shapes:
            whole = bind([spec], {spec.name: shapes[spec.name]}).shapes[spec.name]
            found.append(replace(spec, dims=whole))
            continue
        dims = [shapes.get(d, d) if isinstance(d, str) else d for d in spec.dims]
        found.append(replace(spec, dims=tuple(_size(spec, d) for d in dims)))
    return found


def _size(spec: InputSpec, dim: object) -> int | str | None:
    if dim is None or isinstance(dim, str) or (isinstance(dim, int) and dim > 0):
        return dim
    raise BadInput(f"{dim} is no size for a dimension of input {spec}")
