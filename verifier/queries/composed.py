"""The networks that a query is about, as one graph; torch is imported when bounds or gradients are wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parsers import read_onnx
from parsers.compose import qualified, side_by_side, with_equal_inputs, with_products
from parsers.errors import BadInput, BadQuery
from parsers.ir import Graph, Value
from parsers.onnx.file.dimensions import Bindings, declared
from parsers.onnx.file.load import load
from parsers.onnx.file.structure import difference
from parsers.query.layout import PRODUCTS
from parsers.specification import Case, Network, Specification
from verifier.attack.replay import Replay
from verifier.attack.sampling import samples
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.queries.answer import satisfies
from verifier.queries.binding import bindings
from verifier.queries.equalities import Equalities

if TYPE_CHECKING:
    from torch import Tensor

    from verifier.network.evaluator import Evaluator
    from verifier.problem.settings import Settings
    from verifier.proof.prover import Prover
    from verifier.proof.results import ProofResult

Arrays = Mapping[str, np.ndarray]

CLOSE = 1e-4  # what the file's own rounding may change in an attack's objective: the replay decides


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One declared network: its file, and what the file was read as. `prefix` is empty for a single one."""

    declared: Network
    replay: Replay
    graph: Graph
    prefix: str

    def key(self, name: str) -> str:
        """The name of a value of this network beside those of the others."""
        return qualified(self.prefix, name) if self.prefix else name

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        outputs = self.replay({v.name: inputs[self.key(v.name)] for v in self.graph.inputs})
        return {self.key(name): outputs[name] for name in self.graph.outputs}


class ComposedNetwork:
    """All networks of a query; `spec` is the query bound to them, `graph` computes all that it speaks of.

    `models` gives the file of every declared network that is not `equal-to` another. `shapes` and `fixed`
    give free dimensions a size and inputs a value, in whichever network has them. Raises `BadQuery` where a
    network is not the one that the query declares, and what `read_onnx` raises.
    """

    def __init__(
        self,
        spec: Specification,
        models: Mapping[str, Path],
        settings: Callable[[], Settings],
        shapes: Bindings | None = None,
        fixed: Arrays | None = None,
    ) -> None:
        self._settings = settings
        self._members = _members(spec, models, shapes or {}, fixed or {})
        inputs = [_qualified(m, v) for m in self._members for v in m.graph.inputs]
        outputs, hidden = [], []
        for m in self._members:
            values = [_qualified(m, m.graph.values[name]) for name in m.graph.outputs]
            own = len(values) - len(m.declared.hidden)
            outputs += values[:own]
            hidden += values[own:]
        self.spec = spec.bind(inputs, outputs, hidden)
        if len(self._members) == 1:
            graph = self._members[0].graph
        else:
            graph = side_by_side({m.prefix: m.graph for m in self._members})
            graph = replace(graph, outputs=tuple(v.name for v in self.spec.network_outputs))
        self._ties = Equalities.of(self.spec)
        self.graph = with_products(with_equal_inputs(graph, self._ties.leader), spec.products, PRODUCTS)

    @property
    def inputs(self) -> tuple[Value, ...]:
        return self.graph.inputs

    @cached_property
    def _relevant(self) -> Graph:
        """The graph without outputs that the query does not speak of."""
        named = {name for case in self.spec.cases for c in case.constraints for name in c.coefficients}
        wanted = tuple(name for name in self.graph.outputs if name in named)
        return replace(self.graph, outputs=wanted or self.graph.outputs[:1])

    @cached_property
    def _verifier(self) -> Prover:
        from verifier.proof.prover import Prover

        return Prover(self._relevant, self._settings())

    @cached_property
    def _evaluator(self) -> Evaluator:
        from verifier.network.evaluator import Evaluator
        from verifier.problem.settings import DTYPES

        settings = self._settings()
        return Evaluator(self._relevant, settings.device, DTYPES[settings.dtype])

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """All outputs and hidden values in onnxruntime."""
        return {name: array for m in self._members for name, array in m.run(inputs).items()}

    def samples(self, cases: Sequence[Case]) -> Iterator[Arrays]:
        """A few points of the cases' regions; see `verifier.attack.sampling`."""
        tied = [case for case in map(self._ties.case, cases) if case is not None]
        return (self._ties.point(inputs) for inputs in samples(tied, self.inputs))

    def candidates(self, cases: Sequence[Case], deadline: float = math.inf) -> Iterator[Arrays]:
        """Inputs that may satisfy one of `cases`, the most promising first; none of them is checked."""
        from verifier.attack.effort import effort
        from verifier.attack.objectives import attack_cases

        tied = [case for case in map(self._ties.case, cases) if case is not None]
        if not tied:
            return
        found = attack_cases(self._evaluator, tied, effort(self._settings(), deadline))
        for k in found.lowest.argsort().tolist():
            if float(found.lowest[k]) > CLOSE:
                return
            yield self._ties.point(found.arrays(self.inputs, k))

    def glance(self, case: Case, deadline: float) -> bool:
        """Whether one backward sweep refutes the case before `deadline`; its bounds are kept for `prove`."""
        tied = self._ties.case(case)
        if tied is None:
            return True
        return self._verifier.prove(tied, Budget(deadline, Method.crown, strict=True)).proved

    def prove(self, case: Case, budget: Budget = Budget()) -> ProofResult:
        """Try to refute a case; see `Prover.prove`. What the proof leaves open is attacked from where it is
        lost; an input found there is told if it satisfies the query exactly."""
        from verifier.attack.effort import guided
        from verifier.attack.objectives import attack_cases
        from verifier.proof.results import ProofResult

        tied = self._ties.case(case)
        if tied is None:
            return ProofResult(True, math.inf, "equalities", True)
        witnesses: list[Arrays] = []

        def refute(instance: Tensor, _: Tensor, starts: Tensor) -> Tensor:
            allowed = guided(self._settings(), budget.deadline)
            found = attack_cases(self._evaluator, [tied], allowed, starts.cpu())
            if float(found.lowest) <= CLOSE:
                inputs = self._ties.point(found.arrays(self.inputs, 0))
                if satisfies(self.spec, inputs, self.run(inputs)):
                    witnesses.append(inputs)
            return (instance >= 0) & bool(witnesses)

        result = self._verifier.prove(tied, replace(budget, refute=refute))
        return replace(result, witness=witnesses[0]) if witnesses else result


def _qualified(member: Member, value: Value) -> Value:
    return replace(value, name=member.key(value.name))


def _members(
    spec: Specification, models: Mapping[str, Path], shapes: Bindings, fixed: Arrays
) -> list[Member]:
    """Every declared network with its file; files that several networks share are read once."""
    by_name = {network.name: network for network in spec.networks}
    known: set[str] = set()
    read: dict[tuple[Path, tuple[str, ...]], tuple[Replay, Graph]] = {}
    members: list[Member] = []
    for network in spec.networks:
        path = models[_source(network, by_name).name]
        hidden = tuple(v.node for v in network.hidden)
        if (path, hidden) not in read:
            names = _names(path)
            known |= names
            replay = Replay(path, {k: v for k, v in fixed.items() if k in names}, hidden)
            own = {k: v for k, v in shapes.items() if k in names}
            asked = {**bindings(spec.version, network.inputs, replay.inputs), **own}
            read[path, hidden] = replay, read_onnx(path, asked, replay.fixed, hidden)
        replay, graph = read[path, hidden]
        members.append(Member(network, replay, graph, network.name if len(spec.networks) > 1 else ""))
    unknown = sorted({*shapes, *fixed} - known)
    if unknown:
        raise BadInput(f"nothing in the model is called '{unknown[0]}'; it has {', '.join(sorted(known))}")
    for network in spec.networks:
        if network.isomorphic_to:
            other = by_name[network.isomorphic_to]
            files = [load(models[_source(n, by_name).name]) for n in (network, other)]
            if differs := difference(*files):
                raise BadQuery(
                    f"network {network.name} is declared isomorphic to {other.name}, but their files have"
                    f" different operators ({differs}); give the files that the query means"
                )
    return members


def _source(network: Network, by_name: Mapping[str, Network]) -> Network:
    """The network whose file this one uses."""
    while network.equal_to:
        network = by_name[network.equal_to]
    return network


def _names(path: Path) -> set[str]:
    """The names of a model's inputs and of their free dimensions."""
    specs = declared(load(path))
    return {s.name for s in specs} | {d for s in specs for d in s.dims if isinstance(d, str)}
