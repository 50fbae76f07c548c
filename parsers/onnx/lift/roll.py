"""Fold equal consecutive iterations into one `Scan`.

Iterations are equal when their nodes agree in operator and wiring. They may differ in numbers and in
values of the graph around them (x_t = Gather(seq, t)): such an operand becomes a *frame* of a sequence. A
node whose attributes differ from step to step must not depend on a state; it is computed outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from parsers.ir import Graph, Node, Scan
from parsers.onnx.building.builder import Builder
from parsers.onnx.building.frames import flipped, stack
from parsers.onnx.building.values import Const, Sym, Val
from parsers.onnx.lift.close import close
from parsers.onnx.lift.steps import Step


@dataclass(frozen=True, slots=True)
class State:
    """Operand: the state with this index."""

    index: int


@dataclass(frozen=True, slots=True)
class Made:
    """Operand: output `which` of the body's node number `node`."""

    node: int
    which: int


Place = State | Made | Const | Sym  # a constant, or a value of the graph around (a capture)


class View:
    """One step, with every name of its body resolved to a place."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.nodes = step.body.nodes
        self.places: dict[str, Place] = {s.name: State(k) for k, s in step.before.items()}
        for outer, inner in step.body.captures.values():
            self.places[inner.name] = outer
        for j, node in enumerate(self.nodes):
            self.places.update({name: Made(j, w) for w, name in enumerate(node.outputs)})

    def name(self, name: str) -> Place:
        place = self.places.get(name)
        if place is not None:
            return place
        value = self.step.body.value(name)
        assert isinstance(value, Const)
        return value

    def value(self, value: Val) -> Place:
        if isinstance(value, Sym) and value.owner is self.step.body:
            return self.name(value.name)
        return value

    def replay(self, b: Builder, states: Mapping[int, Val]) -> tuple[list[list[Val]], dict[int, Val]]:
        """Write the step into the graph around it: the outputs of every node, and the states after it."""
        made: list[list[Val]] = []
        for node in self.nodes:
            operands = [pick(self.name(n), states, made) for n in node.inputs]
            made.append(b.replay(node, operands, self.step.body))
        return made, {k: pick(self.value(v), states, made) for k, v in self.step.after.items()}


def pick(place: Place, states: Mapping[int, Val], made: Sequence[Sequence[Val]]) -> Val:
    """The value at a place, given the states and what the nodes so far made."""
    if isinstance(place, State):
        return states[place.index]
    return made[place.node][place.which] if isinstance(place, Made) else place


def same(p: Place, q: Place) -> bool:
    """Do two operands mean the same value in every respect?"""
    if isinstance(p, Const) and isinstance(q, Const):
        return p.array is q.array or (p.shape == q.shape and np.array_equal(p.array, q.array))
    if isinstance(p, Sym) and isinstance(q, Sym):
        return p.owner is q.owner and p.name == q.name
    return isinstance(p, State | Made) and p == q


def loose(p: Place) -> bool:
    """Is this operand a constant or a value from around?"""
    return isinstance(p, Const | Sym)


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


def inline(b: Builder, step: Step, states: dict[int, Val]) -> tuple[dict[int, Val], list[Val]]:
    """One iteration written into the graph around it."""
    view = View(step)
    made, after = view.replay(b, states)
    return after, [pick(view.value(v), states, made) for v in step.outputs]


def _feeding_varied(views: Sequence[View]) -> set[int]:
    """Nodes whose attributes differ from step to step, and all that they are computed from."""
    first = views[0]
    found: set[int] = set()
    for j in reversed(range(len(first.nodes))):
        if j in found or any(not equal_attributes(first.nodes[j], v.nodes[j]) for v in views):
            places = [first.name(n) for n in first.nodes[j].inputs]
            found |= {j, *(p.node for p in places if isinstance(p, Made))}
    return found


def roll(
    b: Builder, steps: Sequence[Step], states: dict[int, Val], form: str
) -> tuple[dict[int, Val], list[Val]]:
    """One `Scan` for a run of compatible iterations: the states after it, and what it emits, stacked."""
    views = [View(s) for s in steps]
    first = views[0]
    body, origin = Builder(b), b.origin
    order = sorted(states)
    before = {k: body.input(f"state{k}", states[k].shape, states[k].dtype) for k in order}
    frames: list[Sym] = []
    sequences: list[Val] = []
    outer: dict[int, list[Val]] = {}  # nodes computed around the scan: their value at every step
    inside: dict[int, list[Val]] = {}

    picked = _feeding_varied(views)

    def around(places: Sequence[Place]) -> list[Val] | None:
        """The operand at every step, if it needs no state."""
        head = places[0]
        if isinstance(head, Made):
            return outer.get(head.node)
        return None if isinstance(head, State) else [p for p in places if isinstance(p, Const | Sym)]

    def operand(places: Sequence[Place]) -> Val:
        head = places[0]
        if isinstance(head, State):
            return before[head.index]
        if isinstance(head, Made) and head.node in inside:
            return inside[head.node][head.which]
        values = around(places)
        assert values is not None
        if all(same(values[0], v) for v in values):
            return values[0]
        sequence = stack(b, values)
        for frame, known in zip(frames, sequences, strict=True):
            if same(known, sequence):
                return frame
        frames.append(body.input(f"frame{len(frames)}", values[0].shape, b.dtype(values[0])))
        sequences.append(sequence)
        return frames[-1]

    for j, node in enumerate(first.nodes):
        places = [[v.name(v.nodes[j].inputs[i]) for v in views] for i in range(len(node.inputs))]
        values = [around(p) for p in places]
        flat = [v for v in values if v is not None]
        constant = len(flat) == len(values) and all(all(same(v[0], u) for u in v) for v in flat)
        if j in picked:
            b.origin = node.origin
            outer[j] = [
                b.replay(v.nodes[j], [x[t] for x in flat], v.step.body)[0] for t, v in enumerate(views)
            ]
        elif constant and isinstance(node, Node):
            b.origin = node.origin
            outer[j] = b.replay(node, [x[0] for x in flat], first.step.body) * len(views)
        else:
            body.origin = node.origin
            inside[j] = body.replay(node, [operand(p) for p in places], first.step.body)
    after = {k: operand([v.value(v.step.after[k]) for v in views]) for k in order}
    emitted = []
    for i in range(len(first.step.outputs)):
        places = [v.value(v.step.outputs[i]) for v in views]
        values = around(places)
        emitted.append((values, None if values is not None else operand(places)))
    b.origin = origin
    backwards = [flipped(b, s) for s in sequences]
    reverse = len(steps) > 1 and bool(frames) and all(s is not None for s in backwards)
    finals, stacked = close(
        b,
        body,
        before=[before[k] for k in order],
        after=[after[k] for k in order],
        initial=[states[k] for k in order],
        frames=frames,
        sequences=[s for s in backwards if s is not None] if reverse else sequences,
        outputs=[v for _, v in emitted if v is not None],
        length=len(steps),
        reverse=reverse,
        form=form,
    )
    if reverse:
        stacked = [b.take(s, np.arange(len(steps))[::-1], 0) for s in stacked]
    made = iter(stacked)
    outputs = [next(made) if values is None else stack(b, values) for values, _ in emitted]
    return dict(zip(order, finals, strict=True)), outputs
