"""What is found out about one sample, and over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

import numpy as np

from relaxations.kernels.status import kernel_status

Arrays = Mapping[str, np.ndarray]


class Verdict(StrEnum):
    """`certified`: proved for every point of the region. `broken`: onnxruntime confirms a point of another
    class. `misclassified`: wrong before anything moved, so that nothing else was tried."""

    certified = "certified"
    broken = "broken"
    unknown = "unknown"
    misclassified = "misclassified"


@dataclass(frozen=True, slots=True)
class Phase:
    """Not a result but a sign of life: work on the samples `indices` goes on with `name`, which is `attack`,
    `prove` or `radius`, until `deadline` (time.monotonic) at the latest."""

    name: str
    indices: tuple[int, ...]
    deadline: float = math.inf


@dataclass(frozen=True, slots=True)
class Stats:
    """`seconds` that were spent on a sample; those decided together share the time evenly. `kernels`:
    whether the compiled kernels ran, or their reference in torch, which is slower."""

    seconds: float = 0.0
    kernels: bool = field(default_factory=lambda: kernel_status().in_use)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Result:
    """One sample, and a number of it between `lower` and `upper`: see `Outcome` and `RadiusBounds`.

    `index` in the data, its `label`, the class `predicted` for the sample itself. `lower` is proved, by the
    `method`; `upper` is what an attack came down to; None where nothing was tried or found. `finished` says
    whether more time would not have helped, `reason` what keeps an unknown one undecided. `counterexample`
    is a point of another class that onnxruntime, running the original file, has confirmed: arrays by input
    name, in the network's own shapes and types.
    """

    quantity: ClassVar[str] = ""

    index: int
    label: int
    predicted: int
    verdict: Verdict = Verdict.unknown
    lower: float | None = None
    upper: float | None = None
    method: str = "none"
    finished: bool = True
    reason: str = ""
    counterexample: Arrays | None = None
    stats: Stats = field(default_factory=Stats)

    @property
    def misclassified(self) -> bool:
        return self.verdict is Verdict.misclassified

    @property
    def seconds(self) -> float:
        return self.stats.seconds

    def as_json(self) -> dict[str, object]:
        return {
            "index": self.index,
            "label": self.label,
            "predicted": self.predicted,
            "verdict": self.verdict.value,
            f"{self.quantity}_lower": finite(self.lower),
            f"{self.quantity}_upper": finite(self.upper),
            "seconds": round(self.seconds, 4),
            "method": self.method,
            "finished": self.finished,
            "reason": self.reason,
        }

    def __repr__(self) -> str:
        """`Outcome(certified, margin 0.8311 to 1.204, by crown-octagon, 0.31 s)`"""
        parts: list[str] = [self.verdict.value]
        if self.misclassified:
            parts.append(f"label {self.label}, predicted {self.predicted}")
        low = "?" if finite(self.lower) is None else f"{self.lower:.4g}"
        high = "?" if finite(self.upper) is None else f"{self.upper:.4g}"
        if (low, high) != ("?", "?"):
            parts.append(f"{self.quantity} {low} to {high}")
        if self.method != "none":
            parts.append(f"by {self.method}")
        if not self.finished:
            parts.append("not finished")
        return f"{type(self).__name__}({', '.join(parts)}, {self.seconds:.2f} s)"


class Outcome(Result):
    """Is the class of a sample constant over a region?

    `lower` ≤ the margin ≤ `upper`: the margin is the label's score minus the greatest other score, at its
    least over the region. `lower` is proved there, > 0 iff certified; `upper` is the smallest that was seen,
    < 0 iff broken.
    """

    __slots__ = ()
    quantity = "margin"


class RadiusBounds(Result):
    """The least perturbation that changes a sample's class: at least `lower`, the certified radius, and at
    most `upper`, the distance of the counterexample.

    `certified` where a radius above 0 is, else `broken` where a counterexample was found.
    """

    __slots__ = ()
    quantity = "radius"


@dataclass(frozen=True, slots=True)
class Accuracies:
    """Counts over the samples decided so far; `robust` is what the attack left standing."""

    total: int
    correct: int
    robust: int
    certified: int
    seconds: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Accuracies:
        def count(*verdicts: Verdict) -> int:
            return sum(outcome.verdict in verdicts for outcome in outcomes)

        return cls(
            total=len(outcomes),
            correct=len(outcomes) - count(Verdict.misclassified),
            robust=count(Verdict.certified, Verdict.unknown),
            certified=count(Verdict.certified),
            seconds=math.fsum(outcome.seconds for outcome in outcomes),
        )


def finite(number: float | None) -> float | None:
    """JSON has no infinity: a bound that says nothing is no bound."""
    return number if number is not None and math.isfinite(number) else None


def median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
