"""Fold equal consecutive iterations into one `Scan`.

Where the iterations differ (`parsers.onnx.lift.alike`), in numbers or in values of the graph around them, the
operand is stacked into a sequence that the scan reads. A node whose attributes differ from step to step needs
no state; it is computed outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from parsers.ir import Node
from parsers.onnx.building.builder import Builder
from parsers.onnx.building.stacking import flipped, stack
from parsers.onnx.building.values import Const, Sym, Val
from parsers.onnx.lift.alike import equal_attributes
from parsers.onnx.lift.close import Body, close
from parsers.onnx.lift.step import Made, Place, State, Step, View, pick, same


def inline(b: Builder, step: Step, states: dict[int, Val]) -> tuple[dict[int, Val], list[Val]]:
    """One iteration written into the graph around it."""
    view = View(step)
    made, after = view.replay(b, states)
    return after, [pick(view.value(v), states, made) for v in step.outputs]


def roll(
    b: Builder, steps: Sequence[Step], states: dict[int, Val], form: str
) -> tuple[dict[int, Val], list[Val]]:
    """One `Scan` for a run of compatible iterations: the states after it, and what it emits, stacked."""
    first, origin = steps[0], b.origin
    fold = _Fold(b, [View(step) for step in steps], states)
    fold.write_body()
    after = {k: fold.inside([v.value(v.step.after[k]) for v in fold.views]) for k in fold.before}
    around: list[list[Val] | None] = []  # what is emitted without need of a state
    emitted: list[Val] = []
    for i in range(len(first.outputs)):
        places = [v.value(v.step.outputs[i]) for v in fold.views]
        around.append(fold.around(places))
        if around[-1] is None:
            emitted.append(fold.inside(places))
    b.origin = origin
    order = list(fold.before)
    backwards = [source for s in fold.sequences if (source := flipped(b, s)) is not None]
    reverse = len(steps) > 1 and bool(backwards) and len(backwards) == len(fold.sequences)
    finals, stacked = close(
        b,
        Body(form, fold.body, list(fold.before.values()), list(after.values()), fold.inputs, emitted),
        [states[k] for k in order],
        backwards if reverse else fold.sequences,
        len(steps),
        reverse,
    )
    if reverse:
        stacked = [b.take(s, np.arange(len(steps))[::-1], 0) for s in stacked]
    made = iter(stacked)
    outputs = [next(made) if values is None else stack(b, values) for values in around]
    return dict(zip(order, finals, strict=True)), outputs


class _Fold:
    """The nodes of all steps, gone through side by side: what differs between them becomes a sequence.

    `before` are the states inside the body, `inputs` its view of `sequences` at one time step.
    """

    def __init__(self, b: Builder, views: Sequence[View], states: Mapping[int, Val]) -> None:
        self.b = b
        self.views = views
        self.body = Builder(b)
        self.before = {
            k: self.body.input(f"state{k}", states[k].shape, states[k].dtype) for k in sorted(states)
        }
        self.inputs: list[Sym] = []
        self.sequences: list[Val] = []
        self._outer: dict[int, list[Val]] = {}  # nodes computed around the scan: their value at every step
        self._inner: dict[int, list[Val]] = {}  # nodes of the body: their outputs

    def write_body(self) -> None:
        """Every node of a step: where it needs no state, around the scan; else inside."""
        b, first = self.b, self.views[0]
        varied = _feeding_varied(self.views)
        for j, node in enumerate(first.nodes):
            places = [[v.name(v.nodes[j].inputs[i]) for v in self.views] for i in range(len(node.inputs))]
            values = [self.around(p) for p in places]
            flat = [v for v in values if v is not None]
            constant = len(flat) == len(values) and all(all(same(v[0], u) for u in v) for v in flat)
            if j in varied:
                b.origin = node.origin
                self._outer[j] = [
                    b.replay(v.nodes[j], [x[t] for x in flat], v.step.body)[0]
                    for t, v in enumerate(self.views)
                ]
            elif constant and isinstance(node, Node):
                b.origin = node.origin
                self._outer[j] = b.replay(node, [x[0] for x in flat], first.step.body) * len(self.views)
            else:
                self.body.origin = node.origin
                operands = [self.inside(p) for p in places]
                self._inner[j] = self.body.replay(node, operands, first.step.body)

    def around(self, places: Sequence[Place]) -> list[Val] | None:
        """The operand at every step, if it needs no state."""
        head = places[0]
        if isinstance(head, Made):
            return self._outer.get(head.node)
        return None if isinstance(head, State) else [p for p in places if isinstance(p, Const | Sym)]

    def inside(self, places: Sequence[Place]) -> Val:
        """The operand as the body reads it."""
        head = places[0]
        if isinstance(head, State):
            return self.before[head.index]
        if isinstance(head, Made) and head.node in self._inner:
            return self._inner[head.node][head.which]
        values = self.around(places)
        assert values is not None
        if all(same(values[0], v) for v in values):
            return values[0]
        sequence = stack(self.b, values)
        for view, known in zip(self.inputs, self.sequences, strict=True):
            if same(known, sequence):
                return view
        dtype = self.b.dtype(values[0])
        self.inputs.append(self.body.input(f"input{len(self.inputs)}", values[0].shape, dtype))
        self.sequences.append(sequence)
        return self.inputs[-1]


def _feeding_varied(views: Sequence[View]) -> set[int]:
    """Nodes whose attributes differ from step to step, and all that they are computed from."""
    first = views[0]
    found: set[int] = set()
    for j in reversed(range(len(first.nodes))):
        if j in found or any(not equal_attributes(first.nodes[j], v.nodes[j]) for v in views):
            places = [first.name(n) for n in first.nodes[j].inputs]
            found |= {j, *(p.node for p in places if isinstance(p, Made))}
    return found
