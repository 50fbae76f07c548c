"""Run the original file in onnxruntime: a counterexample counts only if the network itself agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from parsers.errors import BadInput, UnreadableModel
from parsers.onnx.file.dimensions import InputSpec, declared
from parsers.onnx.file.expose import exposed
from parsers.onnx.file.load import load
from parsers.onnx.file.runtime import Refused, Runtime

Array = np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Misclassification:
    """What onnxruntime answered: `predicted` scores higher than the label; `margin` < 0 is the difference."""

    outputs: Mapping[str, Array]
    predicted: int
    margin: float


class Replay:
    """The file at `path` as a user runs it: onnxruntime on the CPU, one thread, its default optimisations.

    `inputs` are the inputs it declares, without those that `fixed` gives a value; `outputs` the names of its
    outputs; `hidden` are values inside it that come with them. Raises `UnreadableModel` where onnxruntime
    does not load it, `BadInput` where it has no input of a name in `fixed`."""

    def __init__(
        self, path: str | Path, fixed: Mapping[str, Array] | None = None, hidden: Sequence[str] = ()
    ) -> None:
        self.path = Path(path)
        model = load(self.path)
        every = tuple(declared(model))
        self.fixed = fixed_values(every, fixed or {})
        self.inputs: tuple[InputSpec, ...] = tuple(v for v in every if v.name not in self.fixed)
        self.outputs: tuple[str, ...] = tuple(value.name for value in model.graph.output)
        try:
            self._runtime = Runtime(self.path)
            self._inside = Runtime(exposed(model, hidden)) if hidden else None
        except Refused as refused:
            raise UnreadableModel(f"{path}: onnxruntime does not run it: {refused}") from refused

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name for one input, given in the network's own shapes; values are fed unchanged.

        Raises `BadInput` if an input is missing, its type cannot hold a value, or onnxruntime refuses it.
        Hidden values come from a copy of the file with more outputs. Where the copy, which onnxruntime may
        optimise differently, does not give the file's own outputs to the last bit, hidden values are NaN.
        """
        fed = dict(self.fixed)
        for spec in self.inputs:
            if spec.name not in inputs:
                raise BadInput(f"no value for the network's input '{spec.name}'")
            given = np.asarray(inputs[spec.name])
            with np.errstate(over="ignore", invalid="ignore"):
                fed[spec.name] = given.astype(spec.dtype)
            if not np.array_equal(fed[spec.name].astype(given.dtype), given):
                raise BadInput(f"input '{spec.name}' has values that {spec.dtype} does not hold exactly")
        try:
            outputs = self._runtime.run(fed)
            more = {} if self._inside is None else self._inside.run(fed)
        except Refused as refused:
            raise BadInput(f"{self.path}: onnxruntime refuses the input: {refused}") from refused
        same = all(np.array_equal(more[name], array) for name, array in outputs.items() if more)
        hidden = {name: array for name, array in more.items() if name not in outputs}
        return outputs | (hidden if same else {n: np.full(a.shape, np.nan) for n, a in hidden.items()})

    def misclassified(self, inputs: Mapping[str, Array], label: int, output: str) -> Misclassification | None:
        """The network's answer if it prefers another class to `label` on this input, else None.

        A tie is no misclassification, and neither is an answer with NaN. `output` holds the scores, of
        any shape with one entry a class.
        """
        outputs = self(inputs)
        if output not in outputs:
            raise BadInput(f"the network has no output '{output}'; its outputs are {', '.join(outputs)}")
        scores = outputs[output].astype(np.float64).reshape(-1)
        if not 0 <= label < len(scores):
            raise BadInput(f"label {label} is not one of the network's {len(scores)} classes")
        if not np.isfinite(scores).all():
            return None
        others = np.delete(np.arange(len(scores)), label)
        predicted = int(others[scores[others].argmax()])
        margin = float(scores[label] - scores[predicted])
        return Misclassification(outputs, predicted, margin) if margin < 0 else None


def fixed_values(inputs: Sequence[InputSpec], values: Mapping[str, Array]) -> dict[str, Array]:
    """`values` in the types and, where they are single numbers, in the shapes of the inputs they are for."""
    specs = {spec.name: spec for spec in inputs}
    found: dict[str, Array] = {}
    for name, value in values.items():
        if name not in specs:
            known = ", ".join(map(str, inputs)) or "none"
            raise BadInput(f"no input is called '{name}'; the model has {known}")
        spec = specs[name]
        dims = tuple(n for n in spec.dims if isinstance(n, int))
        array = np.asarray(value)
        if len(dims) == len(spec.dims) and prod(dims) == array.size:
            array = array.reshape(dims)
        found[name] = array.astype(spec.dtype)
        if not np.array_equal(found[name].astype(np.float64), array.astype(np.float64)):
            raise BadInput(f"input '{name}' is {spec.dtype}, which does not hold {value} exactly")
    return found
