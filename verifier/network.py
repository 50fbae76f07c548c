"""One ONNX file at one input shape, with all that a decision needs: replay, attack, bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from parsers import read_onnx
from parsers.errors import BadInput
from parsers.ir import Graph, Value
from parsers.onnx.dimensions import Bindings
from parsers.specification import Case
from verifier.attack import Effort, attack_cases, attack_margins
from verifier.classifier import scores
from verifier.dataset import Sample
from verifier.evaluator import Evaluator
from verifier.region import Region
from verifier.replay import Replay
from verifier.verify import DTYPES, Depth, MarginBounds, ProofResult, Settings, Verifier

Arrays = Mapping[str, np.ndarray]

# Floating types whose own rounding the bounds cover: verifier.arithmetic models float32, float64 errs less.
COVERED_FLOATS = ("float32", "float64")

CLOSE = 1e-4  # what the file's own rounding may change in an attack's objective: the replay decides


@dataclass(frozen=True, slots=True, eq=False)
class Attacked:
    """What an attack on B instances found: `broken[k]` if onnxruntime confirms another class at
    `points[k]` [n], `margin[k]` the smallest margin seen, None where no point was tried."""

    broken: list[bool]
    margin: list[float | None]
    points: Tensor


class Classifier:
    """A network whose output `output` has one score for each class.

    `graph` is read at the input shapes `shapes`. Raises what `read_onnx` and `scores` raise.
    """

    def __init__(
        self, replay: Replay, shapes: Bindings, settings: Settings, output: str | None = None
    ) -> None:
        self.graph = read_onnx(replay.path, shapes)
        self._replay, self._settings = replay, settings
        self._scores = scores(self.graph, output)
        self._output = output or self.graph.outputs[0]
        self._evaluator = Evaluator(self._scores, settings.device, DTYPES[settings.dtype])

    @property
    def classes(self) -> int:
        return math.prod(self.graph.shape(self._output))

    @cached_property
    def _verifier(self) -> Verifier:
        return Verifier(self._scores, self._settings)

    def predict(self, samples: Sequence[Sample]) -> list[int]:
        """What onnxruntime makes of each sample. Raises `BadInput` where it answers with NaN."""
        predicted = []
        for sample in samples:
            answer = self._replay(sample.inputs)[self._output].reshape(-1)
            if not np.isfinite(answer).all():
                raise BadInput(
                    f"the network answers sample {sample.index} with NaN or infinity; leave the sample out"
                )
            predicted.append(int(answer.argmax()))
        return predicted

    def attack(self, region: Region, labels: Sequence[int], deadline: float | None = None) -> Attacked:
        """Look for points of other classes in the regions of B instances."""
        effort = _effort(self._settings, deadline)
        found = attack_margins(self._evaluator, region, torch.as_tensor(labels), effort)
        margins = [value if math.isfinite(value) else None for value in found.lowest.tolist()]
        broken = [
            margin is not None and self._confirmed(found.arrays(self.graph.inputs, k), labels[k])
            for k, margin in enumerate(margins)
        ]
        return Attacked(broken, margins, found.witness)

    def _confirmed(self, inputs: Arrays, label: int) -> bool:
        return self._replay.misclassified(inputs, label, self._output) is not None

    def margins(
        self,
        region: Region,
        labels: Sequence[int],
        deadline: float | None = None,
        progress: Callable[[], None] = lambda: None,
        depth: Depth = Depth.branching,
    ) -> MarginBounds:
        """Proved lower bounds of the margins; see `Verifier.margins`."""
        return self._verifier.margins(region, labels, deadline=deadline, progress=progress, depth=depth)


class QueryNetwork:
    """A network that a query is about, all its outputs."""

    def __init__(self, replay: Replay, shapes: Bindings, settings: Settings) -> None:
        self.graph = read_onnx(replay.path, shapes)
        self._replay, self._settings = replay, settings

    @property
    def inputs(self) -> tuple[Value, ...]:
        return self.graph.inputs

    @property
    def outputs(self) -> tuple[Value, ...]:
        return tuple(self.graph.values[name] for name in self.graph.outputs)

    @cached_property
    def _verifier(self) -> Verifier:
        return Verifier(self.graph, self._settings)

    def run(self, inputs: Arrays) -> Arrays:
        """All outputs in onnxruntime."""
        return self._replay(inputs)

    def candidates(self, cases: Sequence[Case], deadline: float | None = None) -> Iterator[Arrays]:
        """Inputs that may satisfy one of `cases`, the most promising first; none of them is checked."""
        for case in cases:
            if case.witnesses is not None and not case.constraints:  # any input will do
                yield {v.name: case.witnesses[v.name].lower.astype(v.dtype) for v in self.inputs}
        effort = _effort(self._settings, deadline)
        evaluator = Evaluator(self.graph, self._settings.device, DTYPES[self._settings.dtype])
        found = attack_cases(evaluator, cases, effort)
        for k in found.lowest.argsort().tolist():
            if float(found.lowest[k]) > CLOSE:
                return
            yield found.arrays(self.inputs, k)

    def prove(
        self, case: Case, deadline: float | None = None, progress: Callable[[], None] = lambda: None
    ) -> ProofResult:
        """Try to refute a case; see `Verifier.prove`."""
        return self._verifier.prove(case, deadline=deadline, progress=progress)


def _effort(settings: Settings, deadline: float | None) -> Effort:
    limit = math.inf if deadline is None else deadline
    return Effort(settings.attack_restarts, settings.attack_steps, settings.seed, deadline=limit)


def caveat(graph: Graph) -> str | None:
    """What has to be said about verdicts on `graph` because of the types it computes in, if anything."""
    values = [*graph.values.values(), *(v for scan in graph.scans() for v in scan.body.values.values())]
    odd = sorted({v.dtype for v in values if "float" in v.dtype} - set(COVERED_FLOATS))
    if not odd:
        return None
    return f"the file computes in {', '.join(odd)}; proofs hold over the reals and do not cover its rounding"
