"""Answer a VNN-LIB query.

`sat` needs a witness that onnxruntime, running the original file, confirms in exact arithmetic; `unsat` needs
a proof for every case of the disjunction. Everything else is `unknown`, or `timed-out`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from parsers.errors import BadQuery, UnsupportedModel
from parsers.specification import Case, Specification
from verifier.attack.sampling import nearly
from verifier.problem.budget import Budget

if TYPE_CHECKING:
    from verifier.proof.results import ProofResult

Arrays = Mapping[str, np.ndarray]

GLANCE_SHARE = 0.2  # of the time that is left, for one sweep over every case
ATTACK_SHARE = 0.3  # and then for the attack on those that it leaves open


class Answer(StrEnum):
    sat = "sat"
    unsat = "unsat"
    unknown = "unknown"
    timed_out = "timed-out"


@dataclass(frozen=True, slots=True)
class QueryResult:
    """`reason` says how the answer came about; `witness` are the inputs and outputs of a `sat`."""

    answer: Answer
    reason: str
    witness: tuple[Arrays, Arrays] | None = None


class Network(Protocol):
    """What is needed of a network; `verifier.queries.composed.ComposedNetwork` is one."""

    def run(self, inputs: Arrays) -> Arrays: ...

    def samples(self, cases: Sequence[Case]) -> Iterator[Arrays]: ...

    def candidates(self, cases: Sequence[Case], deadline: float) -> Iterator[Arrays]: ...

    def glance(self, case: Case, deadline: float) -> bool: ...

    def prove(self, case: Case, budget: Budget) -> ProofResult: ...


def answer(spec: Specification, network: Network, budget: Budget = Budget()) -> QueryResult:
    """Answer `spec`, which must be bound to the network."""
    if not spec.bound:
        raise BadQuery("the query is not bound to a network yet")
    cases = spec.cases
    if not cases:
        return QueryResult(Answer.unsat, "the query contradicts itself, whatever the network is")
    sampled = _sampled(spec, network, cases)
    if sampled is not None:
        return sampled
    try:
        return _decide(spec, network, cases, budget)
    except UnsupportedModel as error:
        return QueryResult(Answer.unknown, "; ".join(error.problems))


def _decide(spec: Specification, network: Network, cases: Sequence[Case], budget: Budget) -> QueryResult:
    """What is quick first: one sweep for every case, the attack on what it leaves open, the thorough proof.

    Where there is no bound for some node, the attack alone can answer.
    """
    try:
        glances = budget.share(GLANCE_SHARE)
        remaining = [
            c for c in cases if c.unbounded or glances.over or not network.glance(c, glances.deadline)
        ]
    except UnsupportedModel:
        found = _attacked(spec, network, cases, budget)
        if found is None:
            raise
        return found
    if not remaining:
        return QueryResult(Answer.unsat, f"all of {len(cases)} cases are proved")
    found = _attacked(spec, network, remaining, budget)
    return found or _prove(spec, network, remaining, len(cases), budget)


def _prove(
    spec: Specification, network: Network, remaining: Sequence[Case], total: int, budget: Budget
) -> QueryResult:
    """`unsat` where all cases are refuted, `sat` where a proof came upon a counterexample, else what is open.
    The rest of the `total` are refuted already."""
    worst: ProofResult | None = None
    for number, case in enumerate(remaining, total - len(remaining) + 1):
        if case.unbounded:
            return QueryResult(Answer.unknown, f"no counterexample was found, and {case.unbounded}")
        if budget.over:
            return QueryResult(Answer.timed_out, f"{number - 1} of {total} cases are proved")
        result = network.prove(case, budget)
        if result.witness is not None:
            outputs = network.run(result.witness)
            if satisfies(spec, result.witness, outputs):
                reason = "onnxruntime confirms a counterexample that the proof led to"
                return QueryResult(Answer.sat, reason, (result.witness, outputs))
        if not result.proved and (worst is None or result.bound < worst.bound):
            worst = result
        if worst is not None and not worst.finished:
            return QueryResult(Answer.timed_out, f"case {number} of {total} is open: {worst.why}")
    if worst is None:
        return QueryResult(Answer.unsat, f"all of {total} cases are proved")
    return QueryResult(
        Answer.unknown,
        f"no proof ({worst.method}) and no counterexample: {worst.why}",
    )


def _sampled(spec: Specification, network: Network, cases: Sequence[Case]) -> QueryResult | None:
    """`sat` where a few points of the regions hold a counterexample."""
    for inputs in network.samples(cases):
        outputs = network.run(inputs)
        if _finite(outputs) and nearly(spec, cases, inputs, outputs) and spec.satisfied_by(inputs, outputs):
            return QueryResult(Answer.sat, "onnxruntime confirms a sampled counterexample", (inputs, outputs))
    return None


def _attacked(
    spec: Specification, network: Network, cases: Sequence[Case], budget: Budget
) -> QueryResult | None:
    """`sat` where descents along gradients find a counterexample."""
    for inputs in network.candidates(cases, budget.share(ATTACK_SHARE).deadline):
        outputs = network.run(inputs)
        if satisfies(spec, inputs, outputs):
            return QueryResult(Answer.sat, "onnxruntime confirms the counterexample", (inputs, outputs))
        if budget.over:
            break
    return None


def satisfies(spec: Specification, inputs: Arrays, outputs: Arrays) -> bool:
    """Whether a point satisfies the query exactly; where the network answers NaN or infinity it does not."""
    return _finite(outputs) and spec.satisfied_by(inputs, outputs)


def _finite(outputs: Arrays) -> bool:
    return all(bool(np.all(np.isfinite(y))) for y in outputs.values())
