"""ONNX `Loop` and `Scan`, read by running their bodies symbolically and rolling equal iterations up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from parsers.onnx.building.frames import stack
from parsers.onnx.building.values import Any, Const, Sym, Val, constant
from parsers.onnx.lift.roll import inline, roll, runs
from parsers.onnx.lift.steps import CannotStep, Iteration, read_body, run, truth
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op
from parsers.onnx.reading.scope import needs


@onnx_op("Loop", newest=25)
def loop(op: Call) -> tuple[Any, ...]:
    """Inputs M (trip count), cond, carried values; outputs the last carried values, then scan outputs."""
    body = op.subgraph("body")
    count = None if op.get(0) is None else int(op.known(0, "the trip count").reshape(-1)[0])
    condition = True if op.get(1) is None else truth(op[1])
    if count is None and condition and not _can_stop(body):
        raise Unsupported("it has no trip count and its condition never changes", "export with a trip count")
    initial = [op.any(k) for k in range(2, len(op))]
    carried = [v for v in initial if v is not None]
    if len(carried) != len(body.input) - 2:
        raise Unsupported(
            f"{len(carried)} carried values, its body takes {len(body.input) - 2}", "export again"
        )
    names = [i.name for i in body.input]

    def feed(t: int, values: Sequence[Any]) -> dict[str, Any]:
        return dict(
            zip(names, [constant(np.asarray(t), "int64"), constant(np.asarray(True)), *values], strict=True)
        )

    def results(outputs: list[Any]) -> tuple[Any | None, list[Any], list[Any]]:
        return outputs[0], outputs[1 : 1 + len(carried)], outputs[1 + len(carried) :]

    return iterate(Iteration(op, body, carried, feed, results, count, condition))


def _can_stop(body: onnx.GraphProto) -> bool:
    """Does the condition that the body computes depend on the iteration number or on a carried value?"""
    needed = {body.output[0].name}
    for node in reversed(body.node):
        if needed.intersection(node.output):
            needed |= needs(node)
    return any(value.name in needed for k, value in enumerate(body.input) if k != 1)


@onnx_op("Scan", newest=25)
def scan(op: Call) -> tuple[Any, ...]:
    """States, then sequences cut along an axis; version 8 has a batch axis in front of everything."""
    if op.opset < 9:
        return _scan_with_batch(op)
    n = op.require("num_scan_inputs", int)
    body = op.subgraph("body")
    states, sequences = op.tensors()[: len(op) - n], op.tensors()[len(op) - n :]
    k_out = len(body.output) - len(states)
    axes = op.get_attr("scan_input_axes", [0] * n)
    backward = op.get_attr("scan_input_directions", [0] * n)
    out_axes = op.get_attr("scan_output_axes", [0] * k_out)
    out_backward = op.get_attr("scan_output_directions", [0] * k_out)
    return scanned(
        op,
        states,
        sequences,
        [op.axis(a, len(s.shape)) for a, s in zip(axes, sequences, strict=True)],
        backward,
        out_axes,
        out_backward,
    )


def scanned(
    op: Call,
    states: list[Val],
    sequences: list[Val],
    axes: list[int],
    backward: list[int],
    out_axes: list[int],
    out_backward: list[int],
) -> tuple[Any, ...]:
    body = op.subgraph("body")
    names = [i.name for i in body.input]
    lengths = {s.shape[a] for s, a in zip(sequences, axes, strict=True)}
    if len(lengths) != 1 or len(names) != len(states) + len(sequences):
        raise Unsupported(f"sequences of lengths {sorted(lengths)}", "give all sequences one length")
    (T,) = lengths

    def feed(t: int, values: Sequence[Any]) -> dict[str, Any]:
        frames = [
            op.b.take(s, T - 1 - t if back else t, a)
            for s, a, back in zip(sequences, axes, backward, strict=True)
        ]
        return dict(zip(names, [*values, *frames], strict=True))

    def results(outputs: list[Any]) -> tuple[Any | None, list[Any], list[Any]]:
        return None, outputs[: len(states)], outputs[len(states) :]

    done = iterate(Iteration(op, body, list(states), feed, results, T, True))
    stacked = []
    for value, axis, back in zip(done[len(states) :], out_axes, out_backward, strict=True):
        assert isinstance(value, Const | Sym)
        value = op.b.take(value, np.arange(T)[::-1], 0) if back else value
        rank = len(value.shape)
        stacked.append(op.b.transpose(value, np.argsort(_to_front(op.axis(axis, rank), rank))))
    return (*done[: len(states)], *stacked)


def _to_front(axis: int, rank: int) -> list[int]:
    return [axis, *(k for k in range(rank) if k != axis)]


def _scan_with_batch(op: Call) -> tuple[Any, ...]:
    """Version 8: input 0 may hold lengths; every batch element is scanned on its own along axis 1."""
    b, n = op.b, op.require("num_scan_inputs", int)
    lens = None if op.get(0) is None else op.known(0, "sequence_lens")
    values = [op[k] for k in range(1, len(op))]
    states, sequences = values[: len(values) - n], values[len(values) - n :]
    if lens is not None and np.any(lens != sequences[0].shape[1]):
        raise Unsupported("sequences shorter than the tensor that holds them", "cut them to their length")
    backward = op.get_attr("directions", [0] * n)
    k_out = len(op.subgraph("body").output) - len(states)
    lanes = [
        scanned(
            op,
            [b.take(s, k, 0) for s in states],
            [b.take(s, k, 0) for s in sequences],
            [0] * n,
            backward,
            [0] * k_out,
            [0] * k_out,
        )
        for k in range(sequences[0].shape[0])
    ]
    joined = []
    for column in zip(*lanes, strict=True):
        items = [v for v in column if isinstance(v, Const | Sym)]
        joined.append(b.concat([b.reshape(v, (1, *v.shape)) for v in items], 0))
    return tuple(joined)


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
