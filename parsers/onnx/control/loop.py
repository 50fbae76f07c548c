"""ONNX `Loop`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from parsers.onnx.building.values import Any, constant
from parsers.onnx.control.iterate import iterate
from parsers.onnx.control.steps import Iteration, truth
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.interpret import needs
from parsers.onnx.reading.registry import onnx_op


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
