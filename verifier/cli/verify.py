"""`recert verify QUERY --network NAME=MODEL`: the verdict on the first line of standard output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx.numpy_helper

from parsers.assignment import assignment, format_assignment
from parsers.errors import BadInput, BadQuery
from parsers.onnx.file.dimensions import Bindings
from parsers.specification import Specification
from parsers.vnnlib import read_vnnlib
from verifier.cli.checks import Values
from verifier.cli.options import Machine, settings
from verifier.cli.process import Deadline, say
from verifier.network.coverage import caveat
from verifier.problem.budget import Budget
from verifier.queries.answer import Answer, answer
from verifier.queries.binding import check_types
from verifier.queries.composed import ComposedNetwork


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked: the query, its networks as `NAME=MODEL`, sizes of free dimensions, values of fixed
    inputs, and the folder that an assignment goes to instead of standard output."""

    query: Path
    networks: Sequence[str]
    bound: Bindings
    fixed: Mapping[str, Values]
    assignments: Path | None = None


def run(task: Task, deadline: Deadline, machine: Machine) -> None:
    """Write the verdict to standard output, and after `sat` the assignment. Torch is imported only where
    samples do not decide."""
    specification = read_vnnlib(task.query)
    check_types(specification)
    models = _models(specification, task.networks)
    fixed = {name: np.array(values) for name, values in task.fixed.items()}
    network = ComposedNetwork(specification, models, partial(settings, machine), task.bound, fixed)
    note = caveat(network.graph)
    if note is not None:
        say(f"recert: {note}")
    result = answer(network.spec, network, Budget(deadline.analysis))
    say(f"recert: {result.reason}")
    if result.witness is None:
        deadline.write(result.verdict.value)
    elif task.assignments is None:
        deadline.write(f"{Answer.sat.value}\n{format_assignment(network.spec, *result.witness)}")
    else:
        _serialise(network.spec, *result.witness, task.assignments)
        deadline.write(Answer.sat.value)


def _serialise(
    spec: Specification,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    folder: Path,
) -> None:
    """A serialised ONNX tensor `VARIABLE.pb` of the declared element type for every variable."""
    types = {v.name: v.dtype for network in spec.networks for v in network.variables}
    for name, array in assignment(spec, inputs, outputs).items():
        typed = array if types[name] == "real" else array.astype(types[name])
        tensor = onnx.numpy_helper.from_array(typed, name)
        (folder / f"{name}.pb").write_bytes(tensor.SerializeToString())


def _models(specification: Specification, given: Sequence[str]) -> dict[str, Path]:
    """The file of every network that needs one, from `NAME=MODEL`; just `MODEL` where there is one network.

    A query of version 1.0 names no network: any NAME will do.
    """
    wanted = [network.name for network in specification.networks if not network.equal_to]
    if len(given) != len(wanted):
        count = {1: "once", 2: "twice"}.get(len(wanted), f"{len(wanted)} times")
        raise BadQuery(
            f"the query needs files for {', '.join(wanted)}, --network is given {len(given)} times; give it"
            f" {count}"
        )
    models: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if len(wanted) == 1 and (not equals or (name not in wanted and Path(text).is_file())):
            name, path = wanted[0], text
        elif len(wanted) == 1 and specification.version == "1.0":
            name = wanted[0]
        if name not in wanted:
            raise BadQuery(f"the query declares network {', '.join(wanted)}, not '{name}'; correct --network")
        if name in models:
            raise BadQuery(f"--network {name}=… is given twice; give every network its file once")
        if not path:
            raise BadInput(f"--network {text}: write NAME=MODEL.onnx or just MODEL.onnx")
        models[name] = Path(path)
    return models
