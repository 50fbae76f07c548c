"""Answer a VNN-LIB query (Demarchi et al. 2023).

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

QUICK = "crown"  # the method of the first look at every case
GLANCE_SHARE = 0.2  # of the time that is left, for that look
ATTACK_SHARE = 0.3  # and then for the attack on those that it leaves undecided


class Answer(StrEnum):
    """The verdict on a query: an input satisfies it, none does, nobody knows, or would with more time."""

    sat = "sat"
    unsat = "unsat"
    unknown = "unknown"
    timed_out = "timed-out"


@dataclass(frozen=True, slots=True)
class QueryResult:
    """`reason` says how the `verdict` came about; `witness` are the inputs and outputs of a `sat`. `method`
    is the one that decided, or the last that was tried."""

    verdict: Answer
    reason: str
    witness: tuple[Arrays, Arrays] | None = None
    method: str = "none"


class Network(Protocol):
    """What is needed of a network; `verifier.queries.composed.ComposedNetwork` is one."""

    @property
    def cases(self) -> tuple[Case, ...]: ...

    def run(self, inputs: Arrays) -> Arrays: ...

    def samples(self, cases: Sequence[Case]) -> Iterator[Arrays]: ...

    def candidates(self, cases: Sequence[Case], deadline: float) -> Iterator[Arrays]: ...

    def glance(self, case: Case, deadline: float) -> bool: ...

    def prove(self, case: Case, budget: Budget) -> ProofResult: ...


def answer(spec: Specification, network: Network, budget: Budget = Budget()) -> QueryResult:
    """Answer `spec`, which must be bound to the network."""
    if not spec.bound:
        raise BadQuery("the query is not bound to a network yet")
    if not spec.cases or not network.cases:
        return QueryResult(Answer.unsat, "the query contradicts itself, whatever the network is")
    sampled = _sampled(spec, network)
    if sampled is not None:
        return sampled
    try:
        return _decide(spec, network, budget)
    except UnsupportedModel as error:
        return QueryResult(Answer.unknown, "; ".join(error.problems))


def _decide(spec: Specification, network: Network, budget: Budget) -> QueryResult:
    """What is quick first: one backward pass for every case, the attack on what it leaves undecided, the
    thorough proof.

    Where there is no bound for some node, the attack alone can answer.
    """
    cases = network.cases
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
        return QueryResult(Answer.unsat, f"all of {len(cases)} cases are proved", method=QUICK)
    found = _attacked(spec, network, remaining, budget)
    return found or _prove(spec, network, remaining, len(cases), budget)


def _prove(
    spec: Specification, network: Network, remaining: Sequence[Case], total: int, budget: Budget
) -> QueryResult:
    """`unsat` where all cases are refuted, `sat` where a proof came upon a counterexample, else what is
    undecided. The rest of the `total` are refuted already."""
    worst: ProofResult | None = None
    method = QUICK
    for number, case in enumerate(remaining, total - len(remaining) + 1):
        if case.unbounded:
            reason = f"no counterexample was found, and {case.unbounded}"
            return QueryResult(Answer.unknown, reason, method="pgd")
        if budget.over:
            reason = f"{number - 1} of {total} cases are proved"
            return QueryResult(Answer.timed_out, reason, method=method)
        result = network.prove(case, budget)
        method = result.method
        if result.witness is not None:
            outputs = network.run(result.witness)
            if satisfies(spec, result.witness, outputs):
                reason = "onnxruntime confirms a counterexample that the proof led to"
                return QueryResult(Answer.sat, reason, (result.witness, outputs), "guided-pgd")
        if not result.proved and (worst is None or result.bound < worst.bound):
            worst = result
        if worst is not None and not worst.finished:
            reason = f"case {number} of {total} is undecided: {worst.why}"
            return QueryResult(Answer.timed_out, reason, method=worst.method)
    if worst is None:
        return QueryResult(Answer.unsat, f"all of {total} cases are proved", method=method)
    reason = f"no proof ({worst.method}) and no counterexample: {worst.why}"
    return QueryResult(Answer.unknown, reason, method=worst.method)


def _sampled(spec: Specification, network: Network) -> QueryResult | None:
    """`sat` where a few points of the regions hold a counterexample."""
    cases = network.cases
    for inputs in network.samples(cases):
        outputs = network.run(inputs)
        if _finite(outputs) and nearly(spec, cases, inputs, outputs) and spec.satisfied_by(inputs, outputs):
            reason = "onnxruntime confirms a sampled counterexample"
            return QueryResult(Answer.sat, reason, (inputs, outputs), "sampling")
    return None


def _attacked(
    spec: Specification, network: Network, cases: Sequence[Case], budget: Budget
) -> QueryResult | None:
    """`sat` where projected gradient descents find a counterexample."""
    for inputs in network.candidates(cases, budget.share(ATTACK_SHARE).deadline):
        outputs = network.run(inputs)
        if satisfies(spec, inputs, outputs):
            reason = "onnxruntime confirms the counterexample"
            return QueryResult(Answer.sat, reason, (inputs, outputs), "pgd")
        if budget.over:
            break
    return None


def satisfies(spec: Specification, inputs: Arrays, outputs: Arrays) -> bool:
    """Whether a point satisfies the query exactly; where the network answers NaN or infinity it does not."""
    return _finite(outputs) and spec.satisfied_by(inputs, outputs)


def _finite(outputs: Arrays) -> bool:
    return all(bool(np.all(np.isfinite(y))) for y in outputs.values())
