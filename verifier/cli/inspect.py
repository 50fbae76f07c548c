"""`recert inspect MODEL`: what the file was read as."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from parsers import read_onnx
from parsers.onnx.file.dimensions import Bindings, InputSpec, declared, may_be_batch
from parsers.onnx.file.load import load
from verifier.attack.replay import fixed_values
from verifier.cli import checks
from verifier.inspection.summary import Cell, Gates, Inspection, Tensor, inspect

SHOWN_LENGTH = 8  # what a free dimension becomes where only the structure is of interest
MOST_LINES = 40


def run(model: Path, bind: Sequence[str], fix: Sequence[str], as_json: bool) -> str:
    """The text to print. Free dimensions that `bind` leaves open get a size, and a note says so."""
    given = checks.bindings(bind)
    specs = declared(load(model))
    fixed = fixed_values(specs, checks.fixed(fix))
    shown, assumed = _with_free_dimensions([s for s in specs if s.name not in fixed], given)
    found = inspect(read_onnx(model, shown, fixed))
    notes = (*found.notes, *(f"shown at {name}={SHOWN_LENGTH}; --bind {name}=N sets it" for name in assumed))
    if as_json:
        return json.dumps({"model": str(model), **found.as_json(), "notes": notes}, ensure_ascii=False)
    return "\n".join(_text(model, found, notes))


def _with_free_dimensions(specs: Sequence[InputSpec], given: Bindings) -> tuple[Bindings, list[str]]:
    """`given`, and a size for every named dimension that is still free and cannot be the batch."""
    free = {
        dim
        for spec in specs
        if spec.name not in given
        for axis, dim in enumerate(spec.dims)
        if isinstance(dim, str) and dim not in given and not may_be_batch(spec, axis)
    }
    return {**given, **dict.fromkeys(free, SHOWN_LENGTH)}, sorted(free)


def _text(model: Path, found: Inspection, notes: Iterable[str]) -> Iterable[str]:
    yield f"{model}"
    yield f"  inputs      {', '.join(_tensor(t) for t in found.inputs)}"
    yield f"  outputs     {', '.join(_tensor(t) for t in found.outputs)}"
    yield f"  parameters  {found.parameters:,} after folding"
    for k, cell in enumerate(found.cells, 1):
        yield ""
        yield from _cell(k, cell)
    yield ""
    yield "network"
    yield from (f"  {line}" for line in found.network[:MOST_LINES])
    if len(found.network) > MOST_LINES:
        yield f"  … and {len(found.network) - MOST_LINES} lines more; --json has them all"
    yield from _gates(found.gates, "")
    yield ""
    if found.refusals:
        yield "cannot be certified:"
        yield from (f"  {problem}" for problem in found.refusals)
    else:
        yield "can be certified: there are bounds for all of it"
    if notes:
        yield "notes"
        yield from (f"  {note}" for note in notes)


def _cell(k: int, cell: Cell) -> Iterable[str]:
    order = "last to first" if cell.direction == "reverse" else "first to last"
    yield f"cell {k}: {cell.form}, from {cell.origin}" if cell.origin else f"cell {k}: {cell.form}"
    yield f"  frames      {cell.length} of shape {list(cell.frame)}, {order}"
    yield f"  states      {', '.join(f'{name} of {size}' for name, size in cell.states.items())}"
    yield f"  parameters  {cell.parameters:,}"
    yield from (f"  {line}" for line in cell.equations[:MOST_LINES])
    if len(cell.equations) > MOST_LINES:
        yield f"  … and {len(cell.equations) - MOST_LINES} lines more; --json has them all"
    yield from _gates(cell.gates, " a frame")


def _gates(gates: Iterable[Gates], each: str) -> Iterable[str]:
    text = ", ".join(f"{gate.units} × {gate.pattern}" for gate in gates)
    if text:
        yield f"  bounded as  {text}{each}"


def _tensor(tensor: Tensor) -> str:
    return f"{tensor.name} {list(tensor.shape)} {tensor.dtype}"
