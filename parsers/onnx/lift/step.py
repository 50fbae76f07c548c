"""One iteration of a recurrence as a graph of its own, and what its names stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Const, Sym, Val


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration as a graph: states `before` → `after`, what it emits, and what it knows afterwards."""

    body: Builder
    before: dict[int, Sym]
    after: dict[int, Val]
    outputs: list[Val]


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
