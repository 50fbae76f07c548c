"""`If`: one branch where the condition is known while reading, else both branches and a selection."""

from __future__ import annotations

import onnx

from parsers.onnx.building.values import Any, Const, Sym
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.interpret import interpret
from parsers.onnx.reading.registry import onnx_op
from parsers.onnx.reading.scope import Scope


@onnx_op("If", newest=25)
def if_(op: Call) -> tuple[Any, ...]:
    condition = op[0]
    then, other = op.subgraph("then_branch"), op.subgraph("else_branch")
    if isinstance(condition, Const):  # the branch not taken is not looked at
        return tuple(_inline(op, then if condition.array.reshape(-1)[0] else other))
    return tuple(
        _selected(op, condition, *pair) for pair in zip(_try(op, then), _try(op, other), strict=True)
    )


def _inline(op: Call, graph: onnx.GraphProto) -> list[Any]:
    """Read a subgraph without inputs into the graph around it."""
    return interpret(graph, Scope(op.scope.reading, op.b, op.scope))


def _try(op: Call, graph: onnx.GraphProto) -> list[Any]:
    """Read a branch that may never be taken: what fails inside is blamed on the computed condition."""
    problems = op.scope.reading.problems
    before = len(problems)
    try:
        outputs = _inline(op, graph)
    except Unsupported as problem:
        problems.append(("its branch", str(problem)))
        outputs = []
    found = problems[before:]
    del problems[before:]
    if found:
        raise Unsupported(
            "its condition depends on the network's inputs, and a branch cannot be read at these shapes"
            f" ({found[0][0]}: {found[0][1]})",
            "fix the input that decides it to a value",
        )
    return outputs


def _selected(op: Call, condition: Sym, x: Any, y: Any) -> Any:
    if not isinstance(x, Const | Sym) or not isinstance(y, Const | Sym) or x.shape != y.shape:
        raise Unsupported(
            "its condition depends on the network's inputs and its branches have different shapes",
            "fix the input that decides it to a value",
        )
    scalar = op.b.reshape(condition, ())
    return op.b.emit("where", scalar, x, y)
