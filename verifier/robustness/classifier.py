"""One ONNX file at one input shape, with all that a decision needs: replay, attack, bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from parsers import read_onnx
from parsers.errors import BadInput, UnsoundBound
from parsers.onnx.file.dimensions import Bindings
from verifier.attack.effort import effort, guided
from verifier.attack.objectives import attack_margins, attack_margins_from
from verifier.attack.pgd import AttackResult, Jobs
from verifier.attack.replay import Replay
from verifier.network.evaluator import Evaluator
from verifier.problem.budget import Budget
from verifier.problem.region import Region
from verifier.problem.settings import DTYPES, Settings
from verifier.proof.prover import Prover
from verifier.proof.results import MarginBounds
from verifier.reductions.reduction import Chain, Problem
from verifier.reductions.scores import Scores
from verifier.robustness.dataset import Sample

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Counterexample:
    """`inputs` by name that onnxruntime, running the original file, gives another class; `margin` < 0."""

    inputs: Arrays
    margin: float


@dataclass(frozen=True, slots=True, eq=False)
class Attacked:
    """What an attack on B instances found: `margin[k]` the smallest seen, None where no point was tried, at
    `points[k]` [n]; `broken` has the instances of which it is confirmed."""

    margin: list[float | None]
    points: Tensor
    broken: Mapping[int, Counterexample]


@dataclass(frozen=True, slots=True, eq=False)
class Proved:
    """Bounds of the margins of B instances, and the counterexamples that came up on the way, by instance."""

    bounds: MarginBounds
    broken: Mapping[int, Counterexample] = field(default_factory=dict)


class Classifier:
    """A network whose output `output` has one score for each class.

    `graph` is read at the input shapes `shapes`. Raises what `read_onnx` and `scores` raise.
    """

    def __init__(
        self, replay: Replay, shapes: Bindings, settings: Settings, output: str | None = None
    ) -> None:
        self.graph = read_onnx(replay.path, shapes, replay.fixed)
        self._replay, self._settings = replay, settings
        self._reductions = Chain((Scores(output),))
        self._scores = self._reductions.apply(Problem({"": self.graph})).graph
        self._output = output or self.graph.outputs[0]
        self._evaluator = Evaluator(self._scores, settings.device, DTYPES[settings.dtype])

    @property
    def classes(self) -> int:
        return math.prod(self.graph.shape(self._output))

    @cached_property
    def _prover(self) -> Prover:
        return Prover(self._scores, self._settings)

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

    def attack(self, region: Region, labels: Sequence[int], deadline: float = math.inf) -> Attacked:
        """Look for points of other classes in the regions of B instances."""
        allowed = effort(self._settings, deadline)
        found = attack_margins(self._evaluator, region, torch.as_tensor(labels), allowed)
        margins = [value if math.isfinite(value) else None for value in found.lowest.tolist()]
        broken = {
            k: point
            for k, margin in enumerate(margins)
            if margin is not None and (point := self._confirmed(found, k, labels[k], margin))
        }
        return Attacked(margins, found.witness, broken)

    def _confirmed(self, found: AttackResult, k: int, label: int, margin: float) -> Counterexample | None:
        """The point that was found for instance k, if onnxruntime agrees."""
        inputs = self._reductions.back(found.arrays(self.graph.inputs, k))
        wrong = self._replay.misclassified(inputs, label, self._output)
        return None if wrong is None else Counterexample(inputs, margin)

    def margins(self, region: Region, labels: Sequence[int], budget: Budget = Budget()) -> Proved:
        """Proved lower bounds of the margins; see `Prover.margins`. What the proof leaves undecided is
        attacked from where it is lost, and instances that this breaks are told.

        Raises `UnsoundBound` where an instance is both proved and broken."""
        broken: dict[int, Counterexample] = {}

        def refute(instance: Tensor, wanted: Tensor, starts: Tensor) -> Tensor:
            places, here = instance.cpu().unique(return_inverse=True)
            own = torch.as_tensor(labels)[places]
            jobs = Jobs.at(starts.cpu(), here, wanted.cpu())
            allowed = guided(self._settings, budget.deadline)
            found = attack_margins_from(self._evaluator, region.select(places), own, jobs, allowed)
            for k, (place, margin) in enumerate(zip(places.tolist(), found.lowest.tolist(), strict=True)):
                point = self._confirmed(found, k, int(own[k]), margin) if margin < 0 else None
                if point is not None:
                    broken[place] = point
            return torch.isin(instance.cpu(), torch.tensor([*broken], dtype=torch.int64))

        bounds = self._prover.margins(region, labels, replace(budget, refute=refute))
        wrong = [k for k in broken if float(bounds.lower[k]) > 0]
        if wrong:
            raise UnsoundBound(f"instance {wrong[0]} has another class in a region that was proved")
        return Proved(bounds, broken)
