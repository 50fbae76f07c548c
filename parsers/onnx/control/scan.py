"""ONNX `Scan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parsers.onnx.building.values import Any, Const, Sym, Val
from parsers.onnx.control.iterate import iterate
from parsers.onnx.control.steps import Iteration
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op


@dataclass(frozen=True, slots=True)
class Axis:
    """Along which axis a tensor is cut or stacked, and whether from its end."""

    axis: int
    backward: bool


@onnx_op("Scan", newest=25)
def scan(op: Call) -> tuple[Any, ...]:
    """States, then sequences cut along an axis; version 8 has a batch axis in front of everything."""
    if op.opset < 9:
        return _scan_with_batch(op)
    n = op.require("num_scan_inputs", int)
    states, sequences = op.tensors()[: len(op) - n], op.tensors()[len(op) - n :]
    k_out = len(op.subgraph("body").output) - len(states)
    inputs = _axes(op.get_attr("scan_input_axes", [0] * n), op.get_attr("scan_input_directions", [0] * n))
    outputs = _axes(
        op.get_attr("scan_output_axes", [0] * k_out), op.get_attr("scan_output_directions", [0] * k_out)
    )
    return _scanned(op, states, sequences, inputs, outputs)


def _axes(axes: Sequence[int], backward: Sequence[int]) -> list[Axis]:
    return [Axis(axis, bool(back)) for axis, back in zip(axes, backward, strict=True)]


def _scanned(
    op: Call, states: list[Val], sequences: list[Val], inputs: list[Axis], outputs: list[Axis]
) -> tuple[Any, ...]:
    """The last states, then what each step emits, stacked; `inputs` says how the sequences are cut."""
    body = op.subgraph("body")
    names = [i.name for i in body.input]
    axes = [op.axis(cut.axis, len(s.shape)) for s, cut in zip(sequences, inputs, strict=True)]
    lengths = {s.shape[a] for s, a in zip(sequences, axes, strict=True)}
    if len(lengths) != 1 or len(names) != len(states) + len(sequences):
        raise Unsupported(f"sequences of lengths {sorted(lengths)}", "give all sequences one length")
    (T,) = lengths

    def feed(time: int, values: Sequence[Any]) -> dict[str, Any]:
        cuts = zip(sequences, axes, inputs, strict=True)
        slices = [op.b.take(s, T - 1 - time if cut.backward else time, a) for s, a, cut in cuts]
        return dict(zip(names, [*values, *slices], strict=True))

    def results(values: list[Any]) -> tuple[Any | None, list[Any], list[Any]]:
        return None, values[: len(states)], values[len(states) :]

    done = iterate(Iteration(op, body, list(states), feed, results, T, True))
    stacked = []
    for value, cut in zip(done[len(states) :], outputs, strict=True):
        assert isinstance(value, Const | Sym)
        value = op.b.take(value, np.arange(T)[::-1], 0) if cut.backward else value
        rank = len(value.shape)
        stacked.append(op.b.transpose(value, np.argsort(_to_front(op.axis(cut.axis, rank), rank))))
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
    inputs = _axes([0] * n, op.get_attr("directions", [0] * n))
    outputs = [Axis(0, False)] * (len(op.subgraph("body").output) - len(states))
    lanes = []
    for k in range(sequences[0].shape[0]):
        own = [b.take(s, k, 0) for s in states], [b.take(s, k, 0) for s in sequences]
        lanes.append(_scanned(op, *own, inputs, outputs))
    joined = []
    for column in zip(*lanes, strict=True):
        items = [v for v in column if isinstance(v, Const | Sym)]
        joined.append(b.concat([b.reshape(v, (1, *v.shape)) for v in items], 0))
    return tuple(joined)
