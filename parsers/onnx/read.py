"""`read_onnx`: from a file to a checked `Graph`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx

import parsers.onnx.ops
from parsers.errors import BadInput, Parameter, UnboundDimension, UnsupportedModel
from parsers.evaluate import evaluate_numpy
from parsers.ir import Graph, validate
from parsers.onnx.building.builder import Builder
from parsers.onnx.building.prune import prune
from parsers.onnx.building.simplifications import SIMPLIFICATIONS
from parsers.onnx.building.values import Any, Const, Sym, Val, constant
from parsers.onnx.file.dimensions import EXAMPLE, Binding, Bindings, InputSpec, bind, declared, is_batch_name
from parsers.onnx.file.expose import exposed
from parsers.onnx.file.load import load
from parsers.onnx.file.samples import random_inputs
from parsers.onnx.file.source import Source
from parsers.onnx.interpreted import Interpreted
from parsers.onnx.lift.reroll import reroll, still_unrolled
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.interpret import interpret as interpret_graph
from parsers.onnx.reading.scope import Reading, Scope
from parsers.onnx.selfcheck import difference, self_check

OLDEST_OPSET = 7


def read_onnx(
    path: str | Path,
    shapes: Bindings | None = None,
    fixed: Mapping[str, np.ndarray] | None = None,
    observed: Sequence[str] = (),
) -> Graph:
    """Read an ONNX file into a `Graph` that computes the same function over the reals.

    `shapes` binds free dimensions: whole shapes by input name, or sizes by dimension name. `fixed` turns
    inputs into constants. A free leading batch axis becomes 1, with a note; time is never guessed.
    `observed` names values inside the network that become outputs behind its own.

    Raises `UnreadableModel` (not a loadable file), `UnsupportedModel` (with every node that cannot be
    read and why), `UnboundDimension`, `BadInput` (shapes or fixed values that do not fit), and
    `SelfCheckFailed` where the graph and onnxruntime disagree, naming the first value that differs.
    """
    path = Path(path)
    parsers.onnx.ops.load()
    model = exposed(load(path), observed)
    values = {name: np.asarray(array) for name, array in (fixed or {}).items()}
    source = Source(path, model, declared(model), values)
    binding = bind(source.specs, {**(shapes or {}), **{name: array.shape for name, array in values.items()}})
    read = interpret(source, binding)
    notes = list(read.graph.notes)
    again = partial(interpret, source)
    for name, axis in binding.assumed_batch.items():
        spec = next(s for s in source.specs if s.name == name)
        _refuse_time(spec, axis, binding, read.graph, again)
        notes.append(f"axis {axis} of input '{name}' is free and was taken to be the batch, of size 1")
    verdict = self_check(source, binding, read, again, model if observed else path)
    if read.needs_check and not verdict.checked:
        raise UnsupportedModel([*read.graph.notes, *verdict.notes])
    return replace(read.graph, notes=(*notes, *verdict.notes))


def _refuse_time(
    spec: InputSpec, axis: int, binding: Binding, graph: Graph, again: Callable[[Binding], Interpreted]
) -> None:
    """An axis taken for the batch by its place must not set the length of any scan."""
    if is_batch_name(spec.dims[axis]):
        return
    shape = tuple(2 if k == axis else n for k, n in enumerate(binding.shapes[spec.name]))
    try:
        other = again(Binding({**binding.shapes, spec.name: shape}, {})).graph
    except UnsupportedModel:  # the file is made for a batch of one: two of them do not fit its shapes
        return
    if [s.length for s in other.scans()] != [s.length for s in graph.scans()] or len(other.nodes) != len(
        graph.nodes
    ):
        raise UnboundDimension(
            f"axis {axis} of input {spec} is free and sets the number of steps; give its size with data or ",
            Parameter("shapes", {spec.name: tuple(EXAMPLE if k == axis else n for k, n in enumerate(shape))}),
        )


def interpret(source: Source, binding: Binding) -> Interpreted:
    """One pass over the model at concrete shapes; no comparison with onnxruntime yet."""
    model = source.model
    reading = Reading(_opsets(model), str(source.path.parent))
    scope = Scope(reading, Builder(rules=SIMPLIFICATIONS))
    _feed_inputs(scope, source, binding)
    try:
        results = interpret_graph(model.graph, scope)
    except Unsupported as problem:
        raise UnsupportedModel([*reading.listed(), str(problem)]) from problem
    if reading.problems:
        raise UnsupportedModel(reading.listed())
    names = [o.name for o in model.graph.output]
    odd = [n for n, v in zip(names, results, strict=True) if not isinstance(v, Sym | Const)]
    if odd:
        raise UnsupportedModel(
            [f"output '{odd[0]}' is a sequence: only tensors can be compared with a property"]
        )
    outputs: list[Val] = [v for v in results if isinstance(v, Sym | Const)]
    graph = _finished(scope.builder, model.graph.name or source.path.stem, outputs, names, reading.notes)
    _refuse_infinite(graph)
    inputs = random_inputs(source, binding.shapes, graph, np.random.default_rng(0))
    b, moved, notes = reroll(scope.builder, outputs)
    if b is not scope.builder:
        present = [moved[v.name] if isinstance(v, Sym) else v for v in outputs]
        smaller = _finished(b, graph.name, present, names, [*reading.notes, *notes, *still_unrolled(b)])
        if equal_on(inputs, graph, smaller):
            values = {k: moved.get(v.name, v) if isinstance(v, Sym) else v for k, v in scope.values.items()}
            return Interpreted(smaller, _origins(values, b, smaller), reading.misplaced)
    graph = replace(graph, notes=(*graph.notes, *still_unrolled(scope.builder)))
    return Interpreted(graph, _origins(scope.values, scope.builder, graph), reading.misplaced)


def _opsets(model: onnx.ModelProto) -> dict[str, int]:
    """The version of each domain that the model imports."""
    opsets = {("" if o.domain == "ai.onnx" else o.domain): o.version for o in model.opset_import}
    if 0 < opsets.get("", 0) < OLDEST_OPSET:
        raise UnsupportedModel(
            [f"opset {opsets['']} predates {OLDEST_OPSET}; raise it with onnx.version_converter"]
        )
    return opsets


def _feed_inputs(scope: Scope, source: Source, binding: Binding) -> None:
    """The model's inputs into `scope`: constants where they are fixed, else inputs of the graph."""
    for spec in source.specs:
        if spec.name in source.fixed:
            scope.values[spec.name] = constant(source.fixed[spec.name], spec.dtype)
            scope.reading.note(f"input '{spec.name}' is fixed to a constant")
        else:
            shape = binding.shapes[spec.name]
            scope.values[spec.name] = scope.builder.input(spec.name, shape, spec.dtype)
    missing = set(source.fixed) - {s.name for s in source.specs}
    if missing:
        known = ", ".join(map(str, source.specs))
        raise BadInput(f"the model has no input {sorted(missing)}; it has {known}")


def _finished(
    b: Builder, name: str, outputs: Sequence[Val], names: Sequence[str], notes: Sequence[str]
) -> Graph:
    """The builder's graph with these outputs, checked, without what they do not need."""
    return validate(prune(b.finish(name, outputs, names, notes)))


def equal_on(inputs: Mapping[str, np.ndarray], first: Graph, second: Graph) -> bool:
    """Do two graphs compute the same numbers, up to the order of float64 sums?"""
    fed = {v.name: inputs[v.name] for v in first.inputs}
    expected, got = evaluate_numpy(first, fed), evaluate_numpy(second, fed)
    return all(difference(got[name], expected[name]) <= 1e-9 for name in first.outputs)


def _refuse_infinite(graph: Graph) -> None:
    """Bounds multiply weights with intervals: a NaN or an infinity among them has no meaning there."""
    for name, array in graph.constants.items():
        if not np.all(np.isfinite(array)):
            raise UnsupportedModel(
                [f"constant '{name}' holds NaN or infinity: give it finite numbers (for a mask, a large one)"]
            )
    for scan in graph.scans():
        _refuse_infinite(scan.body)


def _origins(values: Mapping[str, Any], builder: Builder, graph: Graph) -> dict[str, str | np.ndarray]:
    origins: dict[str, str | np.ndarray] = {}
    for name, value in values.items():
        if isinstance(value, Const):
            origins[name] = value.array
        elif isinstance(value, Sym) and value.owner is builder:
            final = builder.final_name(value)
            if final in graph.values:
                origins[name] = final
    return origins
