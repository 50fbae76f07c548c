"""`If` with a condition that is known while reading: the branch taken is read, the other is not looked at."""

from __future__ import annotations

import onnx

from parsers.onnx.call import Call
from parsers.onnx.problems import Unsupported
from parsers.onnx.registry import onnx_op
from parsers.onnx.scope import Scope
from parsers.onnx.values import Any, Const


@onnx_op("If", newest=25)
def if_(op: Call) -> tuple[Any, ...]:
    condition = op[0]
    branches = {True: op.subgraph("then_branch"), False: op.subgraph("else_branch")}
    if not isinstance(condition, Const):
        raise Unsupported(
            "the condition depends on the network's inputs", "fix the input it depends on, or use Where"
        )
    return tuple(inline(op, branches[bool(condition.array.reshape(-1)[0])]))


def inline(op: Call, graph: onnx.GraphProto) -> list[Any]:
    """Read a subgraph without inputs into the graph around it."""
    return Scope(op.scope.reading, op.b, op.scope).read(graph)
