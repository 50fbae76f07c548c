"""Turn a body under construction into a `Scan` of the graph around it."""

from __future__ import annotations

from collections.abc import Sequence

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Sym, Val


def close(
    b: Builder,
    body: Builder,
    *,
    before: Sequence[Sym],
    after: Sequence[Val],
    initial: Sequence[Val],
    frames: Sequence[Sym],
    sequences: Sequence[Val],
    outputs: Sequence[Val],
    length: int,
    reverse: bool = False,
    form: str,
) -> tuple[list[Val], list[Val]]:
    """Emit the scan; returns the final states and the stacked outputs.

    `before` → `after` are the states inside the body, `frames` the body's view of `sequences`, `outputs`
    what each step stacks. What the body captured from around travels as a state that never changes.
    """
    after = [body.local(v) if isinstance(v, Sym) else v for v in after]
    outputs = [body.local(v) if isinstance(v, Sym) else v for v in outputs]
    captured = list(body.captures.values())
    inner = [s.name for s in (*before, *(c for _, c in captured), *frames)]
    body.inputs = [body.values[name] for name in inner]
    graph = body.finish(f"{form} cell", [*after, *(inside for _, inside in captured), *outputs])
    finals, stacked = b.scan(
        graph, [*initial, *(outer for outer, _ in captured)], sequences, length, reverse=reverse, form=form
    )
    return finals[: len(before)], stacked
