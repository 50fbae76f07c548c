"""VNN-LIB queries about networks."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from parsers.assignment import assignment
from parsers.errors import BadQuery, Parameter
from parsers.onnx.file.dimensions import Bindings
from parsers.specification import Specification
from parsers.vnnlib import read_vnnlib
from verifier.api.arrays import Array, ArrayLike, array
from verifier.api.network import Network
from verifier.problem.budget import Budget
from verifier.problem.settings import Settings
from verifier.queries.answer import Answer
from verifier.queries.answer import answer as decide
from verifier.queries.binding import check_types
from verifier.queries.composed import ComposedNetwork
from verifier.robustness.outcome import Stats

Model = str | Path | Network


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class QueryOutcome:
    """`verdict`: `unsat`, no input satisfies the query; `sat`, the `counterexample` does, exactly, as
    onnxruntime runs the file: an array for each variable that the query declares; `unknown`, for the
    `reason`; `timed-out`. `method` decided, or was the last one tried."""

    verdict: Answer
    method: str
    finished: bool
    reason: str
    counterexample: Mapping[str, Array] | None
    stats: Stats

    def __repr__(self) -> str:
        """`QueryOutcome(unsat, by crown, 0.42 s)`"""
        method = "" if self.method == "none" else f", by {self.method}"
        return f"QueryOutcome({self.verdict.value}{method}, {self.stats.seconds:.2f} s)"


def answer(
    query: str | Path,
    networks: Model | Mapping[str, Model],
    *,
    shapes: Bindings | None = None,
    fixed: Mapping[str, ArrayLike] | None = None,
    timeout: float | None = None,
    settings: Settings | None = None,
) -> QueryOutcome:
    """Answer a VNN-LIB query, version 1.0 or 2.0: the path of a file.

    `networks` is the query's network, as `load` returns it or the path of its file, or a dict with one for
    each name that the query declares (but not for those that are `equal-to` another). `shapes` and `fixed`
    are as in `load`, where a path is given. `timeout` in seconds, for all of it; without one methods that
    have no end are left out.

    Raises `BadQuery` where the query cannot be read or is about another network, and what `load` raises.

    >>> query = "models/queries/vowels_gru_broken_v2.vnnlib"
    >>> recert.answer(query, "models/vowels_gru.onnx").verdict
    <Answer.sat: 'sat'>
    """
    begun = time.monotonic()
    spec = read_vnnlib(Path(query))
    check_types(spec)
    given = _by_name(spec, networks)
    paths = {name: n.path if isinstance(n, Network) else Path(n) for name, n in given.items()}
    sizes, values = dict(shapes or {}), {name: array(value) for name, value in (fixed or {}).items()}
    for network in given.values():
        if isinstance(network, Network):
            sizes |= network.shapes
            values |= network.replay.fixed
    composed = ComposedNetwork(spec, paths, lambda: settings or Settings(), sizes, values)
    deadline = math.inf if timeout is None else begun + timeout
    found = decide(composed.spec, composed, Budget(deadline))
    witness = None if found.witness is None else assignment(composed.spec, *found.witness)
    stats = Stats(time.monotonic() - begun)
    finished = found.verdict is not Answer.timed_out
    return QueryOutcome(found.verdict, found.method, finished, found.reason, witness, stats)


def _by_name(spec: Specification, networks: Model | Mapping[str, Model]) -> dict[str, Model]:
    """A model for each network of the query that needs one."""
    wanted = [network.name for network in spec.networks if not network.equal_to]
    if not isinstance(networks, Mapping):
        if len(wanted) == 1:
            return {wanted[0]: networks}
        raise BadQuery(f"the query declares {', '.join(wanted)}: give a dict with a model for each")
    given = dict(networks)
    if set(given) != set(wanted):
        raise BadQuery(
            Parameter("networks"),
            f" names {', '.join(given) or 'none'}; the query declares {', '.join(wanted)}",
        )
    return given
