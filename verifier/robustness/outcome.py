"""What is found out about one sample, and over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`certified`: proved for every point of the region. `broken`: onnxruntime confirms a point of another
    class. `misclassified`: wrong before anything moved, so that nothing else was tried."""

    certified = "certified"
    broken = "broken"
    unknown = "unknown"
    misclassified = "misclassified"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A sample under `recert certify`.

    The margin is the label's score minus the greatest other score. `margin_lower` is proved for the whole
    region, `margin_upper` is the smallest that the attack found; None where not tried, or without a bound.
    `why` says what keeps an unknown one open.
    """

    index: int
    label: int
    predicted: int
    verdict: Verdict
    margin_lower: float | None
    margin_upper: float | None
    seconds: float
    method: str
    why: str = ""

    def as_json(self) -> dict[str, object]:
        return {
            "index": self.index,
            "label": self.label,
            "predicted": self.predicted,
            "verdict": self.verdict.value,
            "margin_lower": finite(self.margin_lower),
            "margin_upper": finite(self.margin_upper),
            "seconds": round(self.seconds, 4),
            "method": self.method,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Distortion:
    """A sample under `recert radius`: the least distortion that changes the class is ≥ `radius_lower`,
    proved, and ≤ `radius_upper`, the distance of a confirmed point; None if no point was found."""

    index: int
    label: int
    predicted: int
    radius_lower: float | None
    radius_upper: float | None
    seconds: float
    method: str

    @property
    def misclassified(self) -> bool:
        return self.predicted != self.label

    def as_json(self) -> dict[str, object]:
        return {
            "index": self.index,
            "label": self.label,
            "predicted": self.predicted,
            "radius_lower": finite(self.radius_lower),
            "radius_upper": finite(self.radius_upper),
            "seconds": round(self.seconds, 4),
            "method": self.method,
        }


@dataclass(frozen=True, slots=True)
class Accuracies:
    """Counts over the samples decided so far; `attacked` is what the attack left standing."""

    total: int
    correct: int
    attacked: int
    certified: int
    seconds: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Accuracies:
        def count(*verdicts: Verdict) -> int:
            return sum(outcome.verdict in verdicts for outcome in outcomes)

        return cls(
            total=len(outcomes),
            correct=len(outcomes) - count(Verdict.misclassified),
            attacked=count(Verdict.certified, Verdict.unknown),
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
