"""Run the original file in onnxruntime: a counterexample counts only if the network itself agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parsers.errors import BadInput, UnreadableModel
from parsers.onnx.dimensions import InputSpec, declared
from parsers.onnx.load import load
from parsers.onnx.runtime import Refused, Runtime

Array = np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Misclassification:
    """What onnxruntime answered: `predicted` scores higher than the label; `margin` < 0 is the difference."""

    outputs: Mapping[str, Array]
    predicted: int
    margin: float


class Replay:
    """The file at `path` as a user runs it: onnxruntime on the CPU, one thread, its default optimisations.

    `inputs` are the inputs it declares. Raises `UnreadableModel` where onnxruntime does not load it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.inputs: tuple[InputSpec, ...] = tuple(declared(load(self.path)))
        try:
            self._runtime = Runtime(self.path)
        except Refused as refused:
            raise UnreadableModel(f"{path}: onnxruntime does not run it: {refused}") from refused

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name for one input, given in the network's own shapes; values are fed unchanged.

        Raises `BadInput` if an input is missing, its type cannot hold a value, or onnxruntime refuses it.
        """
        fed = {}
        for spec in self.inputs:
            if spec.name not in inputs:
                raise BadInput(f"no value for the network's input '{spec.name}'")
            given = np.asarray(inputs[spec.name])
            with np.errstate(over="ignore", invalid="ignore"):
                fed[spec.name] = given.astype(spec.dtype)
            if not np.array_equal(fed[spec.name].astype(given.dtype), given):
                raise BadInput(f"input '{spec.name}' has values that {spec.dtype} does not hold exactly")
        try:
            return self._runtime.run(fed)
        except Refused as refused:
            raise BadInput(f"{self.path}: onnxruntime refuses the input: {refused}") from refused

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
