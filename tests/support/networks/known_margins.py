"""A network whose true margins are known, for the orchestration of decisions."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import torch

from verifier.problem.budget import Budget
from verifier.problem.region import Region
from verifier.proof.results import MarginBounds
from verifier.robustness.classifier import Attacked, Counterexample, Proved
from verifier.robustness.dataset import Sample
from verifier.robustness.perturbation import Balls


class Line:
    """Two classes with scores (x, −x) for one number x: the margin of class 0 over a ball is 2·(x − ε).

    The proof loses `loss` of it; the attack finds the end of the ball only if it is `able`.
    """

    def __init__(self, loss: float = 0.0, able: bool = True, seconds: float = 0.0) -> None:
        self.loss, self.able, self.seconds = loss, able, seconds
        self.deadlines: list[float] = []

    def predict(self, samples: Sequence[Sample]) -> list[int]:
        return [0 if s.inputs["x"][0] > 0 else 1 for s in samples]

    def attack(self, region: Region, labels: Sequence[int], deadline: float) -> Attacked:
        self.deadlines.append(deadline)
        sign = 1.0 - 2.0 * torch.tensor(labels, dtype=torch.float64).unsqueeze(1)
        ends = torch.where(sign > 0, region.lower, region.upper)
        ends = ends if self.able else region.middle
        margin = (2 * sign * ends).squeeze(1)
        broken = {k: Counterexample({"x": ends[k].numpy()}, float(m)) for k, m in enumerate(margin) if m < 0}
        return Attacked(margin.tolist(), ends, broken)

    def margins(self, region: Region, labels: Sequence[int], budget: Budget) -> Proved:
        self.deadlines.append(budget.deadline)
        time.sleep(self.seconds)
        sign = 1.0 - 2.0 * torch.tensor(labels, dtype=torch.float64).unsqueeze(1)
        worst = torch.where(sign > 0, region.lower, -region.upper)
        per_class = torch.full((len(labels), 2), math.inf, dtype=torch.float64)
        others = 1 - torch.tensor(labels).unsqueeze(1)
        margins = per_class.scatter(1, others, 2 * worst - self.loss)
        return Proved(MarginBounds(margins, "exact", True, ("",) * len(margins)))


def samples(*values: float, label: int = 0) -> list[Sample]:
    return [Sample(i, label, {"x": np.array([v])}) for i, v in enumerate(values)]


def balls(some: Sequence[Sample]) -> Balls:
    center = torch.tensor(np.stack([s.inputs["x"] for s in some]))
    return Balls(center, math.inf, None, torch.zeros(center.shape[1], dtype=torch.int64))
