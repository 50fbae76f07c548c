"""All iterations of a Loop or Scan: equal ones in a row become one `Scan` of the graph."""

from __future__ import annotations

from parsers.onnx.building.stacking import stack
from parsers.onnx.building.values import Any, Const, Sym, Val
from parsers.onnx.control.steps import CannotStep, Iteration, read_body, run, truth
from parsers.onnx.lift.alike import runs
from parsers.onnx.lift.roll import inline, roll
from parsers.onnx.problems import Unsupported


def iterate(it: Iteration) -> tuple[Any, ...]:
    """The last carried values, then each emitted value stacked over the iterations."""
    b, op = it.op.b, it.op
    if it.count is None and it.condition is False:
        return tuple(it.initial)
    try:
        steps, known, states = run(it)
    except CannotStep:
        op.note(f"{b.origin}: its states change shape from step to step; it was unrolled")
        return _unrolled(it)
    if not steps:
        if len(op.node.output) > len(it.initial):
            raise Unsupported("it never runs, so its stacked outputs have no shape", "bind a longer sequence")
        return tuple(known)
    origin = b.origin
    current: dict[int, Val] = {}
    for k in states:
        value = it.initial[k]
        assert isinstance(value, Const | Sym)
        current[k] = value
    parts: list[list[Val]] = [[] for _ in steps[0].outputs]
    groups = runs(steps)
    for group in groups:
        b.origin = origin
        if len(group) == 1 and len(steps) > 1:
            current, emitted = inline(b, group[0], current)
            emitted = [b.reshape(v, (1, *v.shape)) for v in emitted]
        else:
            current, emitted = roll(b, group, current, op.node.op_type)
        for column, value in zip(parts, emitted, strict=True):
            column.append(value)
    if len(groups) > 1:
        op.note(
            f"{origin}: its {len(steps)} iterations are not all alike; they were read as {len(groups)} parts"
        )
    last = [current.get(k, v) for k, v in enumerate(known)]
    return (*last, *(b.concat(column, 0) for column in parts))


def _unrolled(it: Iteration) -> tuple[Any, ...]:
    """Every iteration written out in place."""
    b = it.op.b
    carried, emitted = list(it.initial), []
    go = it.condition
    while go and (it.count is None or len(emitted) < it.count):
        condition, carried, values = read_body(it, b, len(emitted), carried)
        emitted.append(values)
        go = True if condition is None else truth(condition)
    columns = [[v for v in column if isinstance(v, Const | Sym)] for column in zip(*emitted, strict=True)]
    return (*carried, *(stack(b, column) for column in columns))
