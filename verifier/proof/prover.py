"""Prove things about one network: margins of a classifier, absence of a violation.

Methods are tried from the cheapest on and stop as soon as the question is decided (`verifier.proof.methods`);
the result names the last one tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from parsers.errors import BadInput
from parsers.ir import Graph
from parsers.specification import Case
from verifier.bounds.on_demand import BoundsOnDemand
from verifier.bounds.options import BoundOptions
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.budget import Budget
from verifier.problem.question import Objective, Question
from verifier.problem.region import Region, box_region, check_products
from verifier.problem.settings import DTYPES, Settings
from verifier.proof.attempt import Means
from verifier.proof.memory import Recent, capacity
from verifier.proof.methods import minimise
from verifier.proof.results import MarginBounds, Minimum, ProofResult
from verifier.propagation.backward import Prepared

LONG, NEAR = 200, 16  # time grows as T² up to LONG time steps, from there on as T
MANY, FEW = 64, 8  # beyond MANY time steps passes of FEW, which take a third of the time, are tried first


class Prover:
    """A graph compiled for bounding. Raises `UnsupportedModel` where a node has no relaxation."""

    def __init__(self, graph: Graph, settings: Settings = Settings()) -> None:
        self.graph = graph
        self.settings = settings
        self._dtype = DTYPES[settings.dtype]
        self._device = torch.device(settings.device)
        check_products(self._device, self._dtype)
        self._program = compile_program(graph, dtype=self._dtype, device=self._device)
        self._rounding = RoundingModel(self._dtype, settings.deployed)
        longest = max((scan.length for scan in graph.scans()), default=0)
        self._lookback = settings.lookback or (NEAR if longest > LONG else None)
        self._means = Means(
            capacity(self._program, self._dtype, settings.memory), settings.slope_steps, longest > MANY
        )
        self._prepared = Prepared()
        self.cache: Recent[BoundsOnDemand] = Recent(1)

    def margins(
        self,
        region: Region,
        labels: Tensor | Sequence[int],
        budget: Budget = Budget(),
    ) -> MarginBounds:
        """Bounds of a classifier's margins over `region` (B instances), `labels` [B].

        The graph must have one output with K scores (`verifier.reductions.scores.scores`). Instances share
        the time. `budget.refute` is given an instance and the class that may win there. Whoever gives it
        knows what it found."""
        labels = torch.as_tensor(labels, dtype=torch.int64, device=self._device)
        classes = sum(form.size for form in self._program.outputs)
        if int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise BadInput(f"a label is outside of 0 … {classes - 1}, the network's classes")
        eye = torch.eye(classes, dtype=self._dtype, device=self._device)
        others = torch.stack(
            [torch.arange(classes, device=self._device)[torch.arange(classes) != k] for k in range(classes)]
        )
        rows = eye[labels].unsqueeze(1) - eye[others[labels]]  # [B, K−1, K]
        found, methods, finished, why = [], [], True, ()
        for part in torch.arange(len(labels)).split(self._means.capacity.together):
            share = budget.share(len(part) / (len(labels) - int(part[0])))
            here = part.to(self._device)
            share = share.renumbered(lambda k, row, here=here: (here[k], others[labels[here[k]], row]))
            over = self._over(region.select(part.to(region.lower.device)))
            result = self._minimise(over, Objective(rows[here]), share)
            found.append(result.lower)
            methods.append(result.method)
            finished = finished and result.finished
            why += result.why
        per_class = torch.full((len(labels), classes), math.inf, dtype=self._dtype, device=self._device)
        per_class = per_class.scatter(1, others[labels], torch.cat(found))
        return MarginBounds(per_class, max(methods).value, finished, why)

    def least(self, region: Region, rows: Tensor, budget: Budget = Budget()) -> Minimum:
        """Lower bounds [B, R] of `rows` [R, m] of the outputs over `region`, by each method of the budget."""
        objective = Objective(rows.to(self._device, self._dtype).unsqueeze(0))
        return self._minimise(self._over(region), objective, budget, math.inf)

    def prove(self, case: Case, budget: Budget = Budget()) -> ProofResult:
        """Try to show that no input in the case's boxes satisfies all of its constraints.

        It is enough that one of them is violated everywhere: min of its left side > 0 (≥ 0 if it is strict).
        """
        if not case.constraints:
            return ProofResult(False, -math.inf, "none", True)
        inputs = [v.name for v in self.graph.inputs]
        outputs = list(self.graph.outputs)
        rows_in = self._rows(case, inputs, {v.name: v.shape for v in self.graph.inputs})
        rows_out = self._rows(case, outputs, {name: self.graph.shape(name) for name in outputs})
        constants = torch.tensor(
            [c.constant for c in case.constraints], dtype=self._dtype, device=self._device
        )
        digits = torch.tensor(
            [c.coefficient_error for c in case.constraints], dtype=self._dtype, device=self._device
        )
        objective = Objective(
            rows_out, rows_in if bool(rows_in.any()) else None, digits if bool(digits.any()) else None
        )
        result = self._minimise(self._over_boxes(case), objective, budget, -constants, any_row=True)
        found = result.lower
        # the sum rounds once, the constants may have on their way to `dtype`
        left = (found + constants - 4 * torch.finfo(self._dtype).eps * (found.abs() + constants.abs()))[0]
        best = float(left.max())
        return ProofResult(best > 0, best, result.method.value, result.finished, result.why[0])

    def _over_boxes(self, case: Case) -> BoundsOnDemand:
        """The case's boxes, bounded; kept for the next case, which mostly has the same ones."""
        boxes = [case.boxes[v.name] for v in self.graph.inputs]
        lower, upper = [box.lower for box in boxes], [box.upper for box in boxes]

        def made() -> BoundsOnDemand:
            return self._over(box_region(_joined(lower), _joined(upper)))

        return self.cache.get((*lower, *upper), made)

    def _over(self, region: Region) -> BoundsOnDemand:
        region = region.to(self._device, self._dtype)
        few = FEW if self._lookback is None else None
        options = BoundOptions(lookback=self._lookback)
        return BoundsOnDemand(self._program, region, self._rounding, options, few, self._prepared)

    def _rows(self, case: Case, names: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> Tensor:
        rows = [
            np.concatenate(
                [
                    np.asarray(c.coefficients.get(n, np.zeros(shapes[n])), dtype=np.float64).reshape(-1)
                    for n in names
                ]
            )
            for c in case.constraints
        ]
        return torch.as_tensor(np.stack(rows)).to(self._device, self._dtype).unsqueeze(0)

    def _minimise(
        self,
        over: BoundsOnDemand,
        objective: Objective,
        budget: Budget,
        target: Tensor | float = 0.0,
        any_row: bool = False,
    ) -> Minimum:
        """Lower bounds of the objective's rows.

        Stops when all rows are above `target`, or, with `any_row`, when one of each instance is; branching
        then gives all rows of an instance one value, the bound of the best row.
        """
        goal = torch.as_tensor(target, dtype=self._dtype, device=self._device)
        goal = goal.expand(len(over.region), objective.outputs.shape[1])
        ask = Question(objective, goal, any_row)
        return minimise(over, ask, budget, self._means)


def _joined(arrays: Sequence[np.ndarray]) -> Tensor:
    """All entries, input by input."""
    return torch.cat([torch.as_tensor(array.reshape(-1)) for array in arrays])
