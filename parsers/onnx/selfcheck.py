"""Compare what was read with what onnxruntime computes. A wrong parse proves things about another network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from parsers.errors import SelfCheckFailed, UnsupportedModel
from parsers.evaluate import evaluate_numpy, trace_numpy
from parsers.ir import Graph, Scan
from parsers.onnx.building.values import Shape
from parsers.onnx.file.dimensions import Binding, InputSpec, declared
from parsers.onnx.file.equivalent import equivalent
from parsers.onnx.file.runtime import Refused, Runtime
from parsers.onnx.file.samples import random_inputs
from parsers.onnx.file.source import Source
from parsers.onnx.interpreted import Interpreted

# Largest difference that float32 rounding explains, relative to max(1, largest entry).
TOLERANCES = {"float64": 1e-8, "float32": 2e-5, "float16": 2e-2, "bfloat16": 1e-1}
MOST_NOISE = 1e-2
SCALES = (1.0, 6.0)  # of the random inputs: where gates vary, and where clips and saturation show


@dataclass(frozen=True)
class Check:
    """What is compared, and the largest difference that rounding explains."""

    source: Source
    tolerance: float

    def run(self, runtime: Runtime, read: Interpreted, shapes: Mapping[str, Shape], seed: int) -> None:
        """Raise `SelfCheckFailed` if outputs differ on a random input; `Refused` if onnxruntime fails."""
        rng = np.random.default_rng(seed)
        for scale in SCALES:
            inputs = random_inputs(self.source, shapes, read.graph, rng, scale)
            expected = runtime.run(inputs)
            got = evaluate_numpy(read.graph, {v.name: inputs[v.name] for v in read.graph.inputs})
            for name, array in expected.items():
                gap = difference(got[name], array)
                if not gap <= self.tolerance:
                    self._refuse(read, inputs, name, gap, _sensitivity(read.graph, inputs, got, name))

    def _refuse(
        self, read: Interpreted, inputs: Mapping[str, np.ndarray], output: str, gap: float, noise: float
    ) -> None:
        """Raise `SelfCheckFailed`, unless rounded weights, which move `output` by `noise`, explain `gap`."""
        if noise > MOST_NOISE:
            raise SelfCheckFailed(
                f"{self.source.path}: cannot be checked: rounding its weights to float32 moves"
                f" output '{output}' by {noise:.2g}, so its float32 results have no meaning"
            )
        if not gap <= 20 * noise:
            raise SelfCheckFailed(
                f"{self.source.path}: read wrongly, do not trust it:"
                f" {self._first(read, inputs, output, gap)}; please report this file"
            )

    def _first(self, read: Interpreted, inputs: Mapping[str, np.ndarray], output: str, gap: float) -> str:
        """The first value of the main graph that differs, in the file's order."""
        last = f"output '{output}' differs from onnxruntime's by {gap:.3g}"
        exposed = onnx.ModelProto()
        exposed.CopyFrom(self.source.model)
        present = {o.name for o in exposed.graph.output}
        made = [name for node in exposed.graph.node for name in node.output if name in read.origins]
        exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made if name not in present)
        try:
            expected = Runtime(exposed).run(inputs)
        except Refused:
            return last
        ours = trace_numpy(read.graph, {v.name: inputs[v.name] for v in read.graph.inputs})
        makers = {name: node for node in exposed.graph.node for name in node.output}
        for name in made:
            origin = read.origins[name]
            array = ours[origin] if isinstance(origin, str) else origin
            if name in expected and not difference(array, expected[name]) <= self.tolerance:
                node = makers[name]
                return (
                    f"the first value that differs is '{name}', made by {node.op_type} '{node.name}', by"
                    f" {difference(array, expected[name]):.3g}"
                )
        return last


def _sensitivity(
    graph: Graph, inputs: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray], name: str
) -> float:
    """How far output `name` moves when every weight is off by one rounding: some recurrences are chaotic."""
    rng = np.random.default_rng(0)
    fed = {v.name: inputs[v.name] for v in graph.inputs}
    return max(difference(evaluate_numpy(_jittered(graph, rng), fed)[name], got[name]) for _ in range(2))


def _jittered(graph: Graph, rng: np.random.Generator) -> Graph:
    """The same graph with weights off by about one rounding of float32."""

    def off(array: np.ndarray) -> np.ndarray:
        return array * (1 + 2.0**-24 * rng.uniform(-1, 1, size=array.shape))

    nodes = tuple(replace(n, body=_jittered(n.body, rng)) if isinstance(n, Scan) else n for n in graph.nodes)
    return replace(graph, constants={k: off(a) for k, a in graph.constants.items()}, nodes=nodes)


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference, relative to max(1, largest entry); infinite where shapes or NaNs differ."""
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs).astype(np.float64)
    if ours.shape != theirs.shape or not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        return float("inf")
    same = (ours == theirs) | np.isnan(ours)
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(ours - theirs)[~same]) / max(1.0, float(np.nanmax(np.abs(theirs)))))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Was the reading compared with onnxruntime, and what is there to say about it."""

    checked: bool
    notes: tuple[str, ...]


def self_check(
    source: Source,
    binding: Binding,
    read: Interpreted,
    again: Callable[[Binding], Interpreted],
    run: Path | onnx.ModelProto,
) -> Verdict:
    """Check at the bound shapes and, where dimensions are free, at one more size of each.

    `again` reads `source` at other shapes. `run` is what onnxruntime runs: the file, or its model with more
    outputs. Where onnxruntime does not run it, an equivalent rewriting that it runs is the judge.
    """
    kinds = {v.dtype for v in read.graph.values.values() if v.dtype in TOLERANCES}
    tolerance = max((TOLERANCES[k] for k in kinds), default=TOLERANCES["float32"])
    check = Check(source, tolerance)
    judge = "onnxruntime"
    try:
        runtime = Runtime(run)
        check.run(runtime, read, binding.shapes, seed=0)
    except Refused as reason:
        refused = f"onnxruntime does not run this file ({reason})"
        rewritten = equivalent(source.model)
        if rewritten is None:
            return Verdict(False, (f"{refused}, so the reading is not checked against it",))
        model, change = rewritten
        other = replace(source, model=model, specs=declared(model))
        check = Check(other, max(tolerance, TOLERANCES["float32"]))
        judge = f"onnxruntime on an equivalent file ({change}), since {refused}"
        try:
            runtime = Runtime(model)
            check.run(runtime, read, binding.shapes, seed=0)
        except Refused as second:
            return Verdict(
                False, (f"{refused}, nor an equivalent one ({second}); the reading is not checked",)
            )
    return Verdict(True, (f"checked against {judge}{_second_sizes(check, runtime, binding, again)}",))


def _second_sizes(
    check: Check, runtime: Runtime, binding: Binding, again: Callable[[Binding], Interpreted]
) -> str:
    """Check with all free dimensions one larger; where that does not run, with each of them alone."""
    specs = check.source.specs
    if any(s.free and s.name in check.source.fixed for s in specs):
        return ""
    free = list(dict.fromkeys(_key(s, k) for s in specs for k in s.free))
    attempts = [free] if len(free) < 2 else [free, *([key] for key in free)]
    done: list[str] = []
    for grown in attempts:
        shapes = {
            s.name: tuple(
                n + (k in s.free and _key(s, k) in grown) for k, n in enumerate(binding.shapes[s.name])
            )
            for s in specs
        }
        try:
            second = again(Binding(shapes, dict(binding.assumed_batch)))
            check.run(runtime, second, shapes, seed=1)
        except (UnsupportedModel, Refused):
            continue  # the file itself is made for one size
        done += grown
        if grown == free:
            break
    return f", also at a second size of {', '.join(done)}" if done else ""


def _key(spec: InputSpec, axis: int) -> str:
    """Free dimensions of equal name are one dimension."""
    return str(spec.dims[axis] or f"{spec.name}[{axis}]")
