"""Stack values of single time steps into a sequence, seeing through how they were picked from one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parsers.onnx.building.builder import Attributes, Builder
from parsers.onnx.building.rules import RuleTable
from parsers.onnx.building.values import Const, Val, constant

STACKING = RuleTable()


def stack(b: Builder, values: Sequence[Val]) -> Val:
    """(len(values), …): the values along a new leading axis.

    Slices picked one by one from the same tensor become one `take` of it, which is the tensor itself when all
    are picked in order.
    """
    if all(isinstance(v, Const) for v in values):
        return constant(np.stack([v.array for v in values if isinstance(v, Const)]), values[0].dtype)
    picked = _all_picked(b, values)
    if picked is not None:
        source, axis, places = picked
        x = b.take(b.value(source), places, axis)
        x = b.transpose(x, [axis, *(k for k in range(len(x.shape)) if k != axis)])
        return b.reshape(x, (len(values), *values[0].shape))
    return b.concat([b.reshape(v, (1, *v.shape)) for v in values], 0)


@STACKING.rule("concat")
def concat_of_slices(b: Builder, inputs: tuple[Val, ...], attributes: Attributes) -> Val | None:
    """Slices joined along an axis of size one are a stack, which may be the tensor they came from."""
    axis = attributes["axis"]
    if len(inputs) < 2 or any(x.shape[axis] != 1 for x in inputs) or _all_picked(b, inputs) is None:
        return None
    rest = inputs[0].shape[:axis] + inputs[0].shape[axis + 1 :]
    stacked = stack(b, [b.reshape(x, rest) for x in inputs])
    return b.transpose(stacked, [*range(1, axis + 1), 0, *range(axis + 1, len(rest) + 1)])


def _all_picked(b: Builder, values: Sequence[Val]) -> tuple[str, int, list[int]] | None:
    """(tensor, axis, positions) where all values are slices of one tensor."""
    picked = [_picked(b, v) for v in values]
    first = picked[0]
    if first is None or not all(p is not None and p[:2] == first[:2] for p in picked):
        return None
    return first[0], first[1], [p[2] for p in picked if p is not None]


def _picked(b: Builder, value: Val) -> tuple[str, int, int] | None:
    """(tensor, axis, position) where `value` is one slice of a tensor, up to a reshape."""
    node = b.producer(value)
    if node is not None and node.op == "reshape":
        node = b.producer(b.operands(node)[0])
    if node is None or node.op not in ("take", "slice"):
        return None
    axis = node.attributes["axis"]
    if node.op == "take":
        indices = np.asarray(node.attributes["indices"])
        return (node.inputs[0], axis, int(indices.reshape(()))) if indices.size == 1 else None
    start, stop = node.attributes["start"], node.attributes["stop"]
    return (node.inputs[0], axis, start) if stop - start == 1 else None


def flipped(b: Builder, sequence: Val) -> Val | None:
    """The sequence that `sequence` is read backwards from, if it is one read backwards as a whole."""
    node = b.producer(sequence)
    if node is None or node.op != "take" or node.attributes["axis"] != 0:
        return None
    indices = node.attributes["indices"]
    source = b.operands(node)[0]
    return source if np.array_equal(indices, np.arange(source.shape[0])[::-1]) else None
