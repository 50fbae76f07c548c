"""`recert verify QUERY --network MODEL`: the verdict on the first line of standard output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from parsers.errors import BadInput, BadQuery
from parsers.specification import Specification
from parsers.vnnlib import read_vnnlib
from verifier.cli import checks
from verifier.cli.deadline import Deadline
from verifier.cli.status import say
from verifier.network import COVERED_FLOATS, QueryNetwork, caveat
from verifier.query import QueryResult, answer, bindings
from verifier.replay import Replay
from verifier.verify import Settings


def run(
    query: Path,
    networks: Sequence[str],
    bind: Sequence[str],
    timeout: float | None,
    deadline: Deadline,
    settings: Settings,
) -> None:
    """Write the verdict to standard output, and after `sat` the assignment. `bind` gives free dimensions
    their size where the query does not: a query of version 1.0 only counts elements."""
    checks.timeout(timeout)
    specification = read_vnnlib(query)
    _check_types(specification)
    path = _model(specification, networks)
    replay = Replay(path)
    shapes = {**bindings(specification, replay.inputs), **checks.bindings(bind)}
    network = QueryNetwork(replay, shapes, settings)
    bound = specification.bind(network.inputs, network.outputs)
    note = caveat(network.graph)
    if note is not None:
        say(f"recert: {note}")
    result = answer(bound, network, deadline=deadline.analysis)
    say(f"recert: {result.reason}")
    deadline.write(_lines(result))


def _lines(result: QueryResult) -> str:
    return result.answer.value if result.assignment is None else f"{result.answer.value}\n{result.assignment}"


def _check_types(specification: Specification) -> None:
    """Refuse a query about arithmetic that proofs do not cover; integers and `real` need none."""
    for v in (*specification.inputs, *specification.outputs):
        if "float" in v.dtype and v.dtype not in COVERED_FLOATS:
            raise BadQuery(
                f"{v.name} is declared {v.dtype}, whose rounding proofs do not cover; declare it `real`"
                " to ask about the network over the real numbers"
            )


def _model(specification: Specification, networks: Sequence[str]) -> Path:
    """The file that `--network` gives for the query's only network: `NAME=MODEL`, or just `MODEL`."""
    declared = {v.network for v in (*specification.inputs, *specification.outputs)} - {""}
    if len(networks) != 1:
        raise BadQuery(
            f"the query is about one network, --network is given {len(networks)} times; give it once"
        )
    name, equals, path = networks[0].partition("=")
    if not equals or (name not in declared and Path(networks[0]).is_file()):
        return Path(networks[0])
    if declared and name not in declared:
        raise BadQuery(f"the query declares network '{', '.join(declared)}', not '{name}'; correct --network")
    if not path:
        raise BadInput(f"--network {networks[0]}: write NAME=MODEL.onnx or just MODEL.onnx")
    return Path(path)
