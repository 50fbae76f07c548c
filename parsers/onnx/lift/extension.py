"""Steps before the first and after the last product of an unrolled recurrence.

They lack the product that the others are found by. Each is recovered by computing the step once more in the
same graph, which must meet nodes that are already there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parsers.ir import Node
from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Const, Sym, Val, constant
from parsers.onnx.lift.step import Place, Step, View, loose, pick, same

PEELED = 2  # how many steps may lie outside the chain of products at either end


@dataclass(frozen=True, slots=True)
class Found:
    """Steps in order, the states before and after them, and each node's value in the flat graph, by step."""

    steps: list[Step]
    initial: dict[int, Val]
    final: dict[int, Val]
    made: list[list[Val | None]]


def extended(b: Builder, found: Found) -> Found:
    """Add steps at both ends while computing them meets only what the graph holds already."""
    run, made, final = list(found.steps), list(found.made), found.final
    for _ in range(PEELED):
        following = _shifted(b, run[-2], run[-1], 1)
        if following is None:
            break
        before = len(b.nodes)
        values, after = View(following).replay(b, final)
        if len(b.nodes) > before or not all(isinstance(v, Sym) for v in after.values()):
            break
        run.append(following)
        made.append([v for outputs in values for v in outputs])
        final = after
    for count in range(1, PEELED + 1):
        earlier = [_shifted(b, run[1], run[0], k) for k in range(count, 0, -1)]
        present = [s for s in earlier if s is not None]
        if len(present) < count:
            break
        zero: dict[int, Val] = {k: constant(np.zeros(v.shape), v.dtype) for k, v in found.initial.items()}
        states, columns = zero, []
        for step in present:
            values, states = View(step).replay(b, states)
            columns.append([v for outputs in values for v in outputs])
        if all(same(states[k], v) for k, v in found.initial.items()):
            return Found([*present, *run], zero, final, [*columns, *made])
    return Found(run, found.initial, final, made)


def _shifted(b: Builder, before: Step, last: Step, by: int) -> Step | None:
    """The step `by` places beyond `last`, what it picks continued as from `before` to `last`; else None."""
    body = Builder(b)
    seen, old = View(last), View(before)
    states = {k: body.input(s.name, s.shape, s.dtype) for k, s in last.before.items()}
    made: list[list[Val]] = []
    for m, n in zip(before.body.nodes, last.body.nodes, strict=True):
        if not isinstance(m, Node) or not isinstance(n, Node):
            return None
        places = [(old.name(x), seen.name(y)) for x, y in zip(m.inputs, n.inputs, strict=True)]
        following = [_next_number(p, q, by) if loose(q) else q for p, q in places]
        operands = [pick(q, states, made) for q in following if q is not None]
        if len(operands) < len(places):
            return None
        attributes = _continued(m, n, operands[0].shape, by)
        if attributes is None:
            return None
        made.append(body.replay(Node(n.op, n.inputs, n.output, attributes, n.origin), operands, last.body))
    after = {k: pick(seen.value(value), states, made) for k, value in last.after.items()}
    return Step(body, states, after, [])


def _next_number(p: Place, q: Place, by: int) -> Place | None:
    """A constant moved on as from `p` to `q`; a value from around only if it is the same in both."""
    if same(p, q):
        return q
    if isinstance(p, Const) and isinstance(q, Const) and p.shape == q.shape and q.array.dtype != np.bool_:
        return constant(q.array + by * (q.array - p.array), q.dtype)
    return None


def _continued(m: Node, n: Node, shape: tuple[int, ...], by: int) -> dict[str, object] | None:
    """Attributes of `n`, moved on as from `m` to `n`; None where that leaves the tensor."""
    attributes: dict[str, object] = {}
    for key, value in n.attributes.items():
        before, now = np.asarray(m.attributes[key]), np.asarray(value)
        if np.array_equal(before, now):
            attributes[key] = value
        elif key in ("indices", "start", "stop"):
            moved = now + by * (now - before)
            if np.any(moved < 0) or np.any(moved > shape[n.attributes["axis"]] - (key != "stop")):
                return None
            attributes[key] = np.asarray(moved) if key == "indices" else int(moved)
        else:
            return None
    return attributes
