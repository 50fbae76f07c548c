"""`recert inspect MODEL`: what the file was read as.

A size that nobody gave is not shown as the file's: free dimensions go by their names, and the sizes that were
assumed to read the file stand in a line of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np
import onnx

from parsers import read_onnx
from parsers.onnx.file.dimensions import Bindings, InputSpec, declared, may_be_batch
from parsers.onnx.file.load import load
from relaxations.kernels.status import kernel_status
from verifier.attack.replay import fixed_values
from verifier.cli.checks import Values
from verifier.inspection.summary import Cell, Gates, Inspection, Tensor, inspect

SHOWN_LENGTH = 8  # what a free dimension becomes where only the structure is of interest
MOST_LINES = 40

Dimensions = Sequence[int | str]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is printed: `found` at the sizes `assumed` of free dimensions, and the `dims` of its inputs and
    outputs by name, where a dimension that nobody gave a size stands as its own name."""

    found: Inspection
    assumed: Mapping[str, int]
    dims: Mapping[str, Dimensions]

    @property
    def at(self) -> str:
        """` at time = 8`, for what may depend on an assumption."""
        return " at " + ", ".join(f"{n} = {size}" for n, size in self.assumed.items()) if self.assumed else ""

    def length(self, number: int) -> str:
        """`number` of time steps, or the dimension that it was assumed for."""
        names = [name for name, size in self.assumed.items() if size == number]
        return names[0] if names else f"{number}{self.at}"

    def line(self, text: str) -> str:
        """A line of equations whose numbers of time steps are said like this."""
        return re.sub(
            r"\b(\d+) time steps\b",
            lambda found: f"{self.length(int(found[1]))} steps" if self.assumed else found[0],
            text,
        )


def run(model: Path, given: Bindings, fix: Mapping[str, Values], as_json: bool) -> str:
    """The text to print. Free dimensions that `given` leaves open get a size, and a line says so."""
    file = load(model)
    specs = declared(file)
    fixed = fixed_values(specs, {name: np.array(values) for name, values in fix.items()})
    assumed = _assumed([s for s in specs if s.name not in fixed], given)
    found = inspect(read_onnx(model, {**given, **assumed}, fixed))
    shown = Shown(found, assumed, _dimensions(file, found, given))
    if as_json:
        object_ = {
            "model": str(model),
            **found.as_json(),
            "dimensions": shown.dims,
            "assumed": assumed,
            "kernels": asdict(kernel_status()),
        }
        return json.dumps(object_, ensure_ascii=False)
    return "\n".join(_text(model, shown))


def _assumed(specs: Sequence[InputSpec], given: Bindings) -> dict[str, int]:
    """A size, each another one, for every named dimension that is still free and cannot be the batch."""
    free = {
        dim
        for spec in specs
        if spec.name not in given
        for axis, dim in enumerate(spec.dims)
        if isinstance(dim, str) and dim not in given and not may_be_batch(spec, axis)
    }
    return dict(zip(sorted(free), count(SHOWN_LENGTH), strict=False))


def _dimensions(file: onnx.ModelProto, found: Inspection, given: Bindings) -> dict[str, Dimensions]:
    """The shapes of inputs and outputs as the file declares them, with the sizes that `given` names."""
    tensors = {v.name: v.type.tensor_type for v in (*file.graph.input, *file.graph.output)}
    dims: dict[str, Dimensions] = {}
    for tensor in (*found.inputs, *found.outputs):
        shape = [] if tensor.name not in tensors else list(tensors[tensor.name].shape.dim)
        if len(shape) != len(tensor.shape) or tensor.name in given:
            dims[tensor.name] = tensor.shape
            continue
        dims[tensor.name] = [
            d.dim_param if d.dim_param and d.dim_param not in given else size
            for d, size in zip(shape, tensor.shape, strict=True)
        ]
    return dims


def _text(model: Path, shown: Shown) -> Iterable[str]:
    found = shown.found
    yield f"{model}"
    yield f"  inputs      {', '.join(_tensor(t, shown) for t in found.inputs)}"
    yield f"  outputs     {', '.join(_tensor(t, shown) for t in found.outputs)}"
    yield f"  parameters  {found.parameters:,} after folding"
    for name, size in shown.assumed.items():
        yield f"  assumed     {name} = {size}, only to show the structure; --bind {name}=N sets it"
    for k, cell in enumerate(found.cells, 1):
        yield ""
        yield from _cell(k, cell, shown)
    yield ""
    yield f"network{shown.at}"
    yield from _lines([shown.line(line) for line in found.network])
    yield from _gates(found.gates, "")
    yield ""
    if found.refusals:
        yield "cannot be certified:"
        yield from (f"  {problem}" for problem in found.refusals)
    else:
        yield "can be certified: there are bounds for all of it"
    if found.notes:
        yield "notes"
        yield from (f"  {note}" for note in found.notes)
    yield f"{kernel_status()}"


def _cell(k: int, cell: Cell, shown: Shown) -> Iterable[str]:
    order = "last to first" if cell.direction == "reverse" else "first to last"
    yield f"cell {k}: {cell.form}, from {cell.origin}" if cell.origin else f"cell {k}: {cell.form}"
    yield f"  time steps  {shown.length(cell.length)} of shape {list(cell.step)}, {order}"
    yield f"  states      {', '.join(f'{name} of {size}' for name, size in cell.states.items())}"
    yield f"  parameters  {cell.parameters:,}"
    yield from _lines(cell.equations)
    yield from _gates(cell.gates, " a time step")


def _lines(lines: Sequence[str]) -> Iterable[str]:
    yield from (f"  {line}" for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield f"  … and {len(lines) - MOST_LINES} lines more; --json has them all"


def _gates(gates: Iterable[Gates], each: str) -> Iterable[str]:
    text = ", ".join(f"{gate.units} × {gate.pattern}" for gate in gates)
    if text:
        yield f"  bounded as  {text}{each}"


def _tensor(tensor: Tensor, shown: Shown) -> str:
    return f"{tensor.name} [{', '.join(map(str, shown.dims[tensor.name]))}] {tensor.dtype}"
