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
from parsers.compose import qualified
from parsers.errors import BadInput, BadQuery
from parsers.ir import Graph, Value
from parsers.onnx.file.dimensions import Bindings, declared
from parsers.onnx.file.load import load
from parsers.onnx.file.structure import difference
from parsers.specification import Case, Network, Specification
from verifier.attack.replay import Replay
from verifier.attack.sampling import samples
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.queries.answer import satisfies
from verifier.queries.binding import bindings
from verifier.reductions.equalities import Equalities
from verifier.reductions.outputs import Mentioned, Products, SideBySide
from verifier.reductions.reduction import Chain, Problem

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
    """All networks of a query; `spec` is the query bound to them, `graph` computes all that its `cases` speak
    of.

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

    @cached_property
    def _reductions(self) -> Chain:
        """From the declared networks and the query to one graph that is bounded and attacked."""
        outputs = tuple(v.name for v in self.spec.network_outputs)
        return Chain(
            (
                SideBySide(outputs),
                Equalities.of(self.spec),
                Products(self.spec.products),
                Mentioned.by(self.spec.cases),
            )
        )

    @cached_property
    def _problem(self) -> Problem:
        return self._reductions.apply(Problem({m.prefix: m.graph for m in self._members}, self.spec.cases))

    @property
    def graph(self) -> Graph:
        """What is bounded and attacked."""
        return self._problem.graph

    @property
    def cases(self) -> tuple[Case, ...]:
        """What the query's own cases became; those that contradict themselves are gone."""
        return self._problem.cases

    @cached_property
    def _prover(self) -> Prover:
        from verifier.proof.prover import Prover

        return Prover(self.graph, self._settings())

    @cached_property
    def _evaluator(self) -> Evaluator:
        from verifier.network.evaluator import Evaluator
        from verifier.problem.settings import DTYPES

        settings = self._settings()
        return Evaluator(self.graph, settings.device, DTYPES[settings.dtype])

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """All outputs and hidden values in onnxruntime."""
        return {name: array for m in self._members for name, array in m.run(inputs).items()}

    def samples(self, cases: Sequence[Case]) -> Iterator[Arrays]:
        """A few points of the cases' regions; see `verifier.attack.sampling`."""
        return (self._reductions.back(inputs) for inputs in samples(cases, self.graph.inputs))

    def candidates(self, cases: Sequence[Case], deadline: float = math.inf) -> Iterator[Arrays]:
        """Inputs that may satisfy one of `cases`, the most promising first; none of them is checked."""
        from verifier.attack.effort import effort
        from verifier.attack.objectives import attack_cases

        found = attack_cases(self._evaluator, cases, effort(self._settings(), deadline))
        for k in found.lowest.argsort().tolist():
            if float(found.lowest[k]) > CLOSE:
                return
            yield self._reductions.back(found.arrays(self.graph.inputs, k))

    def glance(self, case: Case, deadline: float) -> bool:
        """Whether one backward pass refutes the case before `deadline`; its bounds are kept for `prove`."""
        return self._prover.prove(case, Budget(deadline, Method.crown, strict=True)).proved

    def prove(self, case: Case, budget: Budget = Budget()) -> ProofResult:
        """Try to refute a case; see `Prover.prove`. What the proof leaves undecided is attacked from where it
        is lost; an input found there is told if it satisfies the query exactly."""
        from verifier.attack.effort import guided
        from verifier.attack.objectives import attack_cases

        witnesses: list[Arrays] = []

        def refute(instance: Tensor, _: Tensor, starts: Tensor) -> Tensor:
            allowed = guided(self._settings(), budget.deadline)
            found = attack_cases(self._evaluator, [case], allowed, starts.cpu())
            if float(found.lowest) <= CLOSE:
                inputs = self._reductions.back(found.arrays(self.graph.inputs, 0))
                if satisfies(self.spec, inputs, self.run(inputs)):
                    witnesses.append(inputs)
            return (instance >= 0) & bool(witnesses)

        result = self._prover.prove(case, replace(budget, refute=refute))
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
