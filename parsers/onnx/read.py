"""`read_onnx`: from a file to a checked `Graph`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

import parsers.onnx.ops
from parsers.errors import BadInput, Parameter, RecertError, UnboundDimension, UnsupportedModel
from parsers.evaluate import evaluate_numpy
from parsers.ir import Graph, validate
from parsers.onnx.building.builder import Builder
from parsers.onnx.building.prune import prune
from parsers.onnx.building.values import Any, Const, Sym, Val, constant
from parsers.onnx.file.dimensions import EXAMPLE, Binding, Bindings, InputSpec, bind, declared, is_batch_name
from parsers.onnx.file.expose import exposed
from parsers.onnx.file.load import load
from parsers.onnx.file.samples import random_inputs
from parsers.onnx.lift.reroll import reroll, still_unrolled
from parsers.onnx.problems import Unsupported
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
    specs = declared(model)
    binding = bind(specs, {**(shapes or {}), **{name: array.shape for name, array in values.items()}})
    reading = interpret(model, path, specs, binding, values)
    notes = list(reading.graph.notes)

    def again(other: Binding) -> Interpreted:
        return interpret(model, path, specs, other, values)

    for name, axis in binding.assumed_batch.items():
        spec = next(s for s in specs if s.name == name)
        _refuse_time(spec, axis, binding, reading.graph, again)
        notes.append(f"axis {axis} of input '{name}' is free and was taken to be the batch, of size 1")
    source = model if observed else path
    verdict = self_check(path, model, specs, binding, values, reading, again, source)
    if reading.needs_check and not verdict.checked:
        raise UnsupportedModel([*reading.graph.notes, *verdict.notes])
    return replace(reading.graph, notes=(*notes, *verdict.notes))


def _refuse_time(
    spec: InputSpec, axis: int, binding: Binding, graph: Graph, again: Callable[[Binding], Interpreted]
) -> None:
    """An axis taken for the batch by its place must not set the length of any scan."""
    if is_batch_name(spec.dims[axis]):
        return
    shape = tuple(2 if k == axis else n for k, n in enumerate(binding.shapes[spec.name]))
    try:
        other = again(Binding({**binding.shapes, spec.name: shape}, {})).graph
    except RecertError:
        return  # made for a batch of one
    if [s.length for s in other.scans()] != [s.length for s in graph.scans()] or len(other.nodes) != len(
        graph.nodes
    ):
        raise UnboundDimension(
            f"axis {axis} of input {spec} is free and sets the number of steps; give its size with data or ",
            Parameter("shapes", {spec.name: tuple(EXAMPLE if k == axis else n for k, n in enumerate(shape))}),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Interpreted:
    """A graph, and what each value of the file's main graph became: a value of the graph or a constant."""

    graph: Graph
    origins: dict[str, str | np.ndarray]
    needs_check: bool  # read on an assumption that only a comparison can confirm


def interpret(
    model: onnx.ModelProto,
    path: Path,
    specs: list[InputSpec],
    binding: Binding,
    fixed: Mapping[str, np.ndarray],
) -> Interpreted:
    """One walk over the model at concrete shapes; no comparison with onnxruntime yet."""
    opsets = {("" if o.domain == "ai.onnx" else o.domain): o.version for o in model.opset_import}
    if 0 < opsets.get("", 0) < OLDEST_OPSET:
        raise UnsupportedModel(
            [f"opset {opsets['']} predates {OLDEST_OPSET}; raise it with onnx.version_converter"]
        )
    builder = Builder()
    reading = Reading(opsets, str(path.parent))
    scope = Scope(reading, builder)
    for spec in specs:
        if spec.name in fixed:
            scope.values[spec.name] = constant(fixed[spec.name], spec.dtype)
            reading.note(f"input '{spec.name}' is fixed to a constant")
        else:
            scope.values[spec.name] = builder.input(spec.name, binding.shapes[spec.name], spec.dtype)
    missing = set(fixed) - {s.name for s in specs}
    if missing:
        raise BadInput(f"the model has no input {sorted(missing)}; it has {', '.join(map(str, specs))}")
    try:
        results = scope.read(model.graph)
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
    graph = validate(prune(builder.finish(model.graph.name or path.stem, outputs, names, reading.notes)))
    _refuse_infinite(graph)
    inputs = random_inputs(specs, binding.shapes, fixed, graph, np.random.default_rng(0))
    b, moved, notes = reroll(builder, outputs)
    if b is not builder:
        present = [moved[v.name] if isinstance(v, Sym) else v for v in outputs]
        smaller = validate(
            prune(b.finish(graph.name, present, names, [*reading.notes, *notes, *still_unrolled(b)]))
        )
        if equal_on(inputs, graph, smaller):
            values = {k: moved.get(v.name, v) if isinstance(v, Sym) else v for k, v in scope.values.items()}
            return Interpreted(smaller, _origins(values, b, smaller), reading.misplaced)
    graph = replace(graph, notes=(*graph.notes, *still_unrolled(builder)))
    return Interpreted(graph, _origins(scope.values, builder, graph), reading.misplaced)


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
