"""One ONNX file at one input shape, with all that a decision needs: replay, attack, bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from parsers import read_onnx
from parsers.errors import BadInput, UnsoundBound
from parsers.onnx.file.dimensions import Bindings
from verifier.attack.effort import effort, guided
from verifier.attack.objectives import attack_margins, attack_margins_from
from verifier.attack.pgd import Jobs
from verifier.attack.replay import Replay
from verifier.network.evaluator import Evaluator
from verifier.problem.budget import Budget
from verifier.problem.region import Region
from verifier.problem.settings import DTYPES, Settings
from verifier.proof.prover import Prover
from verifier.proof.results import MarginBounds
from verifier.robustness.dataset import Sample
from verifier.robustness.scores import scores

Arrays = Mapping[str, np.ndarray]


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
        self.graph = read_onnx(replay.path, shapes, replay.fixed)
        self._replay, self._settings = replay, settings
        self._scores = scores(self.graph, output)
        self._output = output or self.graph.outputs[0]
        self._evaluator = Evaluator(self._scores, settings.device, DTYPES[settings.dtype])

    @property
    def classes(self) -> int:
        return math.prod(self.graph.shape(self._output))

    @cached_property
    def _verifier(self) -> Prover:
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
        broken = [
            margin is not None and self._confirmed(found.arrays(self.graph.inputs, k), labels[k])
            for k, margin in enumerate(margins)
        ]
        return Attacked(broken, margins, found.witness)

    def _confirmed(self, inputs: Arrays, label: int) -> bool:
        return self._replay.misclassified(inputs, label, self._output) is not None

    def margins(self, region: Region, labels: Sequence[int], budget: Budget = Budget()) -> MarginBounds:
        """Proved lower bounds of the margins; see `Prover.margins`. What the proof leaves open is attacked
        from where it is lost, and instances that this breaks are told.

        Raises `UnsoundBound` where an instance is both proved and broken."""
        if budget.refute is not None:
            return self._verifier.margins(region, labels, budget)
        broken: dict[int, float] = {}

        def refute(instance: Tensor, wanted: Tensor, starts: Tensor) -> Tensor:
            places, here = instance.cpu().unique(return_inverse=True)
            own = torch.as_tensor(labels)[places]
            jobs = Jobs.at(starts.cpu(), here, wanted.cpu())
            allowed = guided(self._settings, budget.deadline)
            found = attack_margins_from(self._evaluator, region.select(places), own, jobs, allowed)
            for k, (place, margin) in enumerate(zip(places.tolist(), found.lowest.tolist(), strict=True)):
                if margin < 0 and self._confirmed(found.arrays(self.graph.inputs, k), int(own[k])):
                    broken[place] = margin
            return torch.isin(instance.cpu(), torch.tensor([*broken], dtype=torch.int64))

        bounds = self._verifier.margins(region, labels, replace(budget, refute=refute))
        wrong = [k for k in broken if float(bounds.lower[k]) > 0]
        if wrong:
            raise UnsoundBound(f"instance {wrong[0]} has another class in a region that was proved")
        return replace(bounds, broken=broken)
