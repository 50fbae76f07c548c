"""Compare what was read with what onnxruntime computes. A wrong parse proves things about another network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from parsers.errors import RecertError, SelfCheckFailed
from parsers.evaluate import evaluate_numpy, trace_numpy
from parsers.onnx.dimensions import Binding, InputSpec
from parsers.onnx.runtime import Refused, Runtime
from parsers.onnx.samples import random_inputs
from parsers.onnx.values import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from parsers.onnx.read import Interpreted

# Largest difference that float32 rounding explains, relative to max(1, largest entry).
TOLERANCES = {"float64": 1e-8, "float32": 2e-5, "float16": 2e-2, "bfloat16": 1e-1}
DRAWS = 2


@dataclass(frozen=True)
class Check:
    """What is compared: the file, its inputs, and what it was read as."""

    path: Path
    model: onnx.ModelProto
    specs: Sequence[InputSpec]
    fixed: Mapping[str, np.ndarray]
    tolerance: float

    def run(self, runtime: Runtime, read: Interpreted, shapes: Mapping[str, Shape], seed: int) -> None:
        """Raise `SelfCheckFailed` if outputs differ on a random input; `Refused` if onnxruntime fails."""
        rng = np.random.default_rng(seed)
        for _ in range(DRAWS):
            inputs = random_inputs(self.specs, shapes, self.fixed, read.graph, rng)
            expected = runtime.run(inputs)
            got = evaluate_numpy(read.graph, {v.name: inputs[v.name] for v in read.graph.inputs})
            for name, array in expected.items():
                gap = difference(got[name], array)
                if not gap <= self.tolerance:
                    raise SelfCheckFailed(
                        f"{self.path}: read wrongly, do not trust it: {self._first(read, inputs, name, gap)};"
                        " please report this file"
                    )

    def _first(self, read: Interpreted, inputs: Mapping[str, np.ndarray], output: str, gap: float) -> str:
        """The first value of the main graph that differs, in the file's order."""
        last = f"output '{output}' differs from onnxruntime's by {gap:.3g}"
        exposed = onnx.ModelProto()
        exposed.CopyFrom(self.model)
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


def self_check(
    path: Path,
    model: onnx.ModelProto,
    specs: Sequence[InputSpec],
    binding: Binding,
    fixed: Mapping[str, np.ndarray],
    read: Interpreted,
    again: Callable[[Binding], Interpreted],
) -> list[str]:
    """Check at the bound shapes and, where dimensions are free, at one more size of each. Returns notes."""
    kinds = {v.dtype for v in read.graph.values.values() if v.dtype in TOLERANCES}
    tolerance = max((TOLERANCES[k] for k in kinds), default=TOLERANCES["float32"])
    check = Check(path, model, specs, fixed, tolerance)
    try:
        runtime = Runtime(path)
        check.run(runtime, read, binding.shapes, seed=0)
    except Refused as reason:
        return [f"onnxruntime does not run this file ({reason}), so the reading is not checked against it"]
    larger = _other_sizes(specs, binding, fixed)
    if larger is None:
        return ["checked against onnxruntime"]
    try:
        second = again(larger)
        check.run(runtime, second, larger.shapes, seed=1)
    except (RecertError, Refused) as error:
        if isinstance(error, SelfCheckFailed):
            raise
        return [f"checked against onnxruntime; not at a second size, which does not run ({error})"]
    return ["checked against onnxruntime, also at a second size of its free dimensions"]


def _other_sizes(
    specs: Sequence[InputSpec], binding: Binding, fixed: Mapping[str, np.ndarray]
) -> Binding | None:
    """Every free dimension one larger, equal names alike; None if there is none or a fixed input has one."""
    if not any(s.free for s in specs) or any(s.free and s.name in fixed for s in specs):
        return None
    shapes = {s.name: tuple(n + (k in s.free) for k, n in enumerate(binding.shapes[s.name])) for s in specs}
    return Binding(shapes, dict(binding.assumed_batch))
