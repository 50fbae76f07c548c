"""Which iterations are one cell.

Iterations are equal when their nodes agree in operator and wiring. They may differ in numbers and in
values of the graph around them (x_t = Gather(seq, t)). A node whose attributes differ from step to step must
not depend on a state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parsers.ir import Graph, Node, Scan
from parsers.onnx.building.values import Const, Sym
from parsers.onnx.lift.step import Made, Place, Step, View, loose, same


def compatible(a: View, b: View) -> bool:
    """May both steps be the same cell?"""
    if len(a.nodes) != len(b.nodes) or len(a.step.outputs) != len(b.step.outputs):
        return False
    free: set[int] = set()  # nodes that need no state
    for j, (m, n) in enumerate(zip(a.nodes, b.nodes, strict=True)):
        if type(m) is not type(n) or len(m.inputs) != len(n.inputs) or len(m.outputs) != len(n.outputs):
            return False
        pairs = [(a.name(x), b.name(y)) for x, y in zip(m.inputs, n.inputs, strict=True)]
        if not all(_match(p, q) for p, q in pairs):
            return False
        if all(loose(p) or (isinstance(p, Made) and p.node in free) for p, _ in pairs):
            free.add(j)
        if isinstance(m, Scan) or isinstance(n, Scan):
            if not (isinstance(m, Scan) and isinstance(n, Scan) and same_scan(m, n)):
                return False
        elif m.op != n.op or (not equal_attributes(m, n) and j not in free):
            return False
    mine = [*a.step.after.values(), *a.step.outputs]
    theirs = [*b.step.after.values(), *b.step.outputs]
    return all(_match(a.value(p), b.value(q)) for p, q in zip(mine, theirs, strict=True))


def _match(p: Place, q: Place) -> bool:
    if loose(p) and loose(q):
        assert isinstance(p, Const | Sym)
        assert isinstance(q, Const | Sym)
        return p.shape == q.shape
    return same(p, q)


def equal_attributes(m: Node | Scan, n: Node | Scan) -> bool:
    if not isinstance(m, Node) or not isinstance(n, Node):
        return isinstance(m, Scan) and isinstance(n, Scan)
    return m.attributes.keys() == n.attributes.keys() and all(
        np.array_equal(np.asarray(m.attributes[k]), np.asarray(n.attributes[k])) for k in m.attributes
    )


def same_scan(m: Scan, n: Scan) -> bool:
    """Equal in body, length and direction."""
    return m.length == n.length and m.reverse == n.reverse and same_graph(m.body, n.body)


def same_graph(g: Graph, h: Graph) -> bool:
    if g.inputs != h.inputs or g.outputs != h.outputs or g.constants.keys() != h.constants.keys():
        return False
    if len(g.nodes) != len(h.nodes) or any(
        not np.array_equal(g.constants[k], h.constants[k]) for k in g.constants
    ):
        return False
    for m, n in zip(g.nodes, h.nodes, strict=True):
        if m.inputs != n.inputs or m.outputs != n.outputs:
            return False
        if isinstance(m, Scan) and isinstance(n, Scan):
            if not same_scan(m, n):
                return False
        elif not (isinstance(m, Node) and isinstance(n, Node) and m.op == n.op and equal_attributes(m, n)):
            return False
    return True


def runs(steps: Sequence[Step]) -> list[list[Step]]:
    """Cut the iterations into maximal runs of one cell."""
    groups: list[list[Step]] = []
    first: View | None = None
    for step in steps:
        view = View(step)
        if first is not None and compatible(first, view):
            groups[-1].append(step)
        else:
            groups.append([step])
            first = view
    return groups
