"""What is decided about samples: the question, the network, and what may move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor

from verifier.attack.replay import Replay
from verifier.network.evaluator import join
from verifier.problem.method import Method
from verifier.problem.region import Region, ball_region
from verifier.problem.settings import Settings
from verifier.robustness.certify import certify
from verifier.robustness.classifier import Classifier
from verifier.robustness.dataset import Sample, stacked
from verifier.robustness.outcome import Distortion, Outcome
from verifier.robustness.perturbation import FrameChoice, movable_groups
from verifier.robustness.radius import radii

Found = TypeVar("Found", bound="Outcome | Distortion")
Answer = TypeVar("Answer", bound="Outcome | Distortion", covariant=True)


class Balls(Protocol):
    """Makes the regions of samples, of one radius or of one for each."""

    def __call__(self, some: Sequence[Sample], eps: float | Tensor, /) -> Region: ...


class Question(Protocol[Answer]):
    """Answers for samples of one shape, each as soon as it is found."""

    def __call__(self, network: Classifier, samples: Sequence[Sample], balls: Balls) -> Iterator[Answer]: ...


@dataclass(frozen=True, slots=True)
class Certify:
    """Is every point within `eps` of the same class? `timeout` in seconds a sample."""

    eps: float
    timeout: float | None
    method: Method

    def __call__(self, network: Classifier, samples: Sequence[Sample], balls: Balls) -> Iterator[Outcome]:
        return certify(
            network, samples, lambda some: balls(some, self.eps), timeout=self.timeout, method=self.method
        )


@dataclass(frozen=True, slots=True)
class Radius:
    """How far is the nearest point of another class? See `verifier.robustness.radius.radii`."""

    start: float
    tolerance: float
    timeout: float | None
    method: Method

    def __call__(self, network: Classifier, samples: Sequence[Sample], balls: Balls) -> Iterator[Distortion]:
        return radii(
            network,
            samples,
            balls,
            start=self.start,
            tolerance=self.tolerance,
            timeout=self.timeout,
            method=self.method,
        )


@dataclass(frozen=True, slots=True)
class Work(Generic[Found]):
    """A question about samples of a model whose input `perturbed` moves in the p-norm; it can be sent to
    another process."""

    question: Question[Found]
    model: Path
    fixed: Mapping[str, np.ndarray]
    settings: Settings
    output: str | None
    perturbed: str
    p: float
    clip: tuple[float, float] | None
    choice: FrameChoice | None


class Desk(Generic[Found]):
    """Does `work` here. The network is compiled for the shapes of the samples that come, and kept for the
    next ones of these shapes."""

    def __init__(self, work: Work[Found], replay: Replay | None = None) -> None:
        self._work = work
        self._given = replay
        self._shapes: object = None
        self._network: Classifier | None = None

    @cached_property
    def _replay(self) -> Replay:
        return self._given or Replay(self._work.model, self._work.fixed)

    def network(self, sample: Sample) -> Classifier:
        """For samples of this one's shapes."""
        if self._network is None or self._shapes != sample.shapes:
            self._network = Classifier(self._replay, sample.shapes, self._work.settings, self._work.output)
            self._shapes = sample.shapes
            self._moving = movable_groups(self._network.graph, self._work.perturbed, self._work.choice)
        return self._network

    def decide(self, samples: Sequence[Sample]) -> Iterator[Found]:
        """Answers for samples of one shape."""
        network, work = self.network(samples[0]), self._work
        moving = self._moving

        def balls(some: Sequence[Sample], eps: float | Tensor) -> Region:
            inputs = join(network.graph.inputs, stacked(some))
            return ball_region(inputs, eps, work.p, clip=work.clip, group=moving)

        return work.question(network, samples, balls)
