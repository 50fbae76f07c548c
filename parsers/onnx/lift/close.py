"""Turn a body under construction into a `Scan` of the graph around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Sym, Val


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """The body of a scan, ready to be closed: `before` → `after` are the states inside of it, `inputs` its
    view of the sequences at one time step, `outputs` what each step stacks. `form` names its origin."""

    form: str
    builder: Builder
    before: Sequence[Sym]
    after: Sequence[Val]
    inputs: Sequence[Sym]
    outputs: Sequence[Val]


def close(
    b: Builder,
    body: Body,
    initial: Sequence[Val],
    sequences: Sequence[Val],
    length: int,
    reverse: bool = False,
) -> tuple[list[Val], list[Val]]:
    """Emit the scan; returns the final states and the stacked outputs.

    What the body captured from around travels as a state that never changes.
    """
    inside = body.builder
    after = [inside.local(v) if isinstance(v, Sym) else v for v in body.after]
    outputs = [inside.local(v) if isinstance(v, Sym) else v for v in body.outputs]
    captured = list(inside.captures.values())
    names = [s.name for s in (*body.before, *(c for _, c in captured), *body.inputs)]
    inside.inputs = [inside.values[name] for name in names]
    graph = inside.finish(f"{body.form} cell", [*after, *(c for _, c in captured), *outputs])
    start = [*initial, *(outer for outer, _ in captured)]
    finals, stacked = b.scan(graph, start, sequences, length, reverse=reverse, form=body.form)
    return finals[: len(body.before)], stacked
