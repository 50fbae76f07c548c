"""A task: a question about samples of a model, with all that an answer needs; and the answers.

A `Task` is a plain record, so that it can be sent to another process. A `Solver` answers it for samples of
one shape and then of the next; `solve` for all of them, here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from verifier.attack.replay import Replay
from verifier.problem.method import Method
from verifier.problem.settings import Settings
from verifier.robustness.certify import certify
from verifier.robustness.classifier import Classifier
from verifier.robustness.dataset import Sample, grouped, stacked
from verifier.robustness.outcome import Outcome, Phase, RadiusBounds
from verifier.robustness.perturbation import Balls, Perturbation, movable_groups
from verifier.robustness.radius import Search, radii

Found = TypeVar("Found", bound=Outcome | RadiusBounds)
Answer = TypeVar("Answer", bound=Outcome | RadiusBounds, covariant=True)


class Question(Protocol[Answer]):
    """Answers for samples of one shape, each as soon as it is found, and between them what is being done."""

    def __call__(
        self, network: Classifier, samples: Sequence[Sample], balls: Balls
    ) -> Iterator[Answer | Phase]: ...


@dataclass(frozen=True, slots=True)
class Certify:
    """Is every point within `eps` of the same class? `timeout` in seconds a sample."""

    eps: float
    timeout: float | None = None
    method: Method = Method.bab

    def __call__(
        self, network: Classifier, samples: Sequence[Sample], balls: Balls
    ) -> Iterator[Outcome | Phase]:
        return certify(network, samples, balls.of(self.eps), timeout=self.timeout, method=self.method)


@dataclass(frozen=True, slots=True)
class Radius:
    """How far is the nearest point of another class? See `verifier.robustness.radius.radii`."""

    search: Search = field(default_factory=Search)

    def __call__(
        self, network: Classifier, samples: Sequence[Sample], balls: Balls
    ) -> Iterator[RadiusBounds | Phase]:
        return radii(network, samples, balls, self.search)


@dataclass(frozen=True, slots=True)
class Task(Generic[Found]):
    """`question` about the file `model`, of whose inputs one moves (`perturbation`) and others may be
    `fixed`; `output` names the classifier's scores where there are several outputs."""

    question: Question[Found]
    model: Path
    perturbation: Perturbation
    settings: Settings = field(default_factory=Settings)
    fixed: Mapping[str, np.ndarray] = field(default_factory=dict)
    output: str | None = None


class Solver(Generic[Found]):
    """Answers `task`. The network is compiled for the shapes of the samples that come, and kept for the next
    ones of these shapes. `replay` is the task's model, where it is open already."""

    def __init__(self, task: Task[Found], replay: Replay | None = None) -> None:
        self._task = task
        self._given = replay
        self._shapes: object = None
        self._network: Classifier | None = None

    @cached_property
    def _replay(self) -> Replay:
        return self._given or Replay(self._task.model, self._task.fixed)

    def network(self, sample: Sample) -> Classifier:
        """For samples of this one's shapes."""
        if self._network is None or self._shapes != sample.shapes:
            task = self._task
            self._network = Classifier(self._replay, sample.shapes, task.settings, task.output)
            self._shapes = sample.shapes
            moving = task.perturbation
            self._group = movable_groups(self._network.graph, moving.input, moving.choice)
        return self._network

    def solve(self, samples: Sequence[Sample]) -> Iterator[Found | Phase]:
        """Answers for samples of one shape."""
        network = self.network(samples[0])
        balls = self._task.perturbation.balls(network.graph, stacked(samples), self._group)
        return self._task.question(network, samples, balls)


def solve(task: Task[Found], samples: Sequence[Sample]) -> Iterator[Found | Phase]:
    """Answers for all `samples`, each as soon as it is known; those of one shape one after the other."""
    solver = Solver(task)
    for group in grouped(samples):
        yield from solver.solve(group)
