"""Roll an unrolled recurrence back into a `Scan`.

Requires: a flat graph under construction. Ensures: the same outputs, or no change. The steps found are
compared node by node (`alike.compatible`); steps before the first and after the last product are recovered by
computing the step once more in the same graph, which must meet nodes that are already there. The caller
compares both graphs numerically before it accepts the rolled one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from parsers.ir import Node, Scan
from parsers.onnx.building.builder import Builder
from parsers.onnx.building.rewrite import first_met, rewritten
from parsers.onnx.building.values import Const, Sym, Val, constant
from parsers.onnx.lift.alike import compatible
from parsers.onnx.lift.chains import Cut, Flat, chains, cut_states, steps_grow
from parsers.onnx.lift.roll import roll
from parsers.onnx.lift.step import Place, Step, View, loose, pick, same

FEWEST_STEPS = 3
LONGEST_STRIDE = 8  # products of one step with the same matrix
PEELED = 2  # how many steps may lie outside the chain of products at either end


@dataclass(frozen=True, slots=True)
class Found:
    """Steps in order, the states before and after them, and each node's value in the flat graph, by step."""

    steps: list[Step]
    initial: dict[int, Val]
    final: dict[int, Val]
    made: list[list[Val | None]]


def reroll(b: Builder, outputs: Sequence[Val]) -> tuple[Builder, dict[str, Val], list[str]]:
    """A builder with recurrences rolled, what every old value is there, and notes on what was done.

    Where nothing can be rolled the builder is `b` itself.
    """
    moved: dict[str, Val] = {}
    notes: list[str] = []
    while True:
        current = [moved.get(v.name, v) if notes and isinstance(v, Sym) else v for v in outputs]
        rolled = _roll_one(b, [v for v in current if isinstance(v, Sym)])
        if rolled is None:
            return b, moved, notes
        b, step, length = rolled
        if notes:
            kept = {k: step.get(v.name) if isinstance(v, Sym) else v for k, v in moved.items()}
            moved = {k: v for k, v in kept.items() if v is not None}
        else:
            moved = step
        notes.append(f"{length} steps of an unrolled recurrence were rolled into a scan")


def still_unrolled(b: Builder) -> list[str]:
    """A note for a recurrence that stays written out in full, because its steps differ or are few."""
    if next(chains(Flat(b)), None) is None:
        return []
    return [
        "steps that share a weight matrix along one path are not alike, or too few; they are read as written"
    ]


def _roll_one(b: Builder, outputs: Sequence[Sym]) -> tuple[Builder, dict[str, Val], int] | None:
    flat = Flat(b)
    for chain in chains(flat):
        run = None if steps_grow(flat, chain) else _best_run(flat, chain)
        if run is None:
            continue
        for found in (_extended(b, run), run):
            if len(found.steps) >= FEWEST_STEPS:
                result = _apply(b, found, outputs)
                if result is not None:
                    return (*result, len(found.steps))
    return None


# --- finding steps -------------------------------------------------------------------------------------


def _best_run(flat: Flat, chain: list[str]) -> Found | None:
    """The cutting of a chain, every so many products, whose equal steps cover most of it."""
    best: Found | None = None
    covered = 0
    for stride in range(1, LONGEST_STRIDE + 1):
        if covered >= len(chain) - 1 - stride:
            break
        for start in range(min(stride, len(chain))):
            found = _longest_run(flat, chain[start::stride])
            if found is not None and len(found.steps) * stride > covered:
                best, covered = found, len(found.steps) * stride
    return best if 2 * covered >= len(chain) else None


def _longest_run(flat: Flat, chain: Sequence[str]) -> Found | None:
    if len(chain) < FEWEST_STEPS:
        return None
    cuts, level = cut_states(flat, chain)
    best: list[tuple[int, Step, list[Val | None]]] = []
    run: list[tuple[int, Step, list[Val | None]]] = []
    for i in range(len(cuts) - 1):
        order, missing = flat.cone(cuts[i + 1].states, set(cuts[i].states), level, i)
        if missing:
            run = []
            continue
        step, made = _step(flat, cuts[i], cuts[i + 1], order)
        if run and not compatible(View(run[-1][1]), View(step)):
            run = []
        run = [*run, (i, step, made)]
        best = max(best, run, key=len)
    if len(best) < 2:
        return None

    def at(cut: Cut) -> dict[int, Val]:
        return {k: flat.b.value(name) for k, name in enumerate(cut.states)}

    first, last = best[0][0], best[-1][0]
    return Found([s for _, s, _ in best], at(cuts[first]), at(cuts[last + 1]), [m for _, _, m in best])


def _step(flat: Flat, before: Cut, after: Cut, order: Sequence[str]) -> tuple[Step, list[Val | None]]:
    """The values `order` as a body of their own, and where each of its nodes is in the flat graph."""
    b = flat.b
    body = Builder(b)
    inside: dict[str, Val] = {}
    states: dict[int, Sym] = {}
    for k, name in enumerate(before.states):
        value = b.values[name]
        states[k] = body.input(f"state{k}", value.shape, value.dtype)
        inside[name] = states[k]
    outside: dict[str, Val] = {}
    for name in order:
        node = flat.node(name)
        assert isinstance(node, Node)
        body.origin = node.origin
        (value,) = body.replay(node, [inside.get(n) or b.value(n) for n in node.inputs], b)
        inside[name] = value
        if isinstance(value, Sym) and value.owner is body:
            outside.setdefault(value.name, b.value(name))
    following = {k: inside.get(name) or b.value(name) for k, name in enumerate(after.states)}
    made = [outside.get(name) for node in body.nodes for name in node.outputs]
    return Step(body, states, following, []), made


# --- steps at the ends -----------------------------------------------------------------------------------


def _extended(b: Builder, found: Found) -> Found:
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


# --- the graph without them ---------------------------------------------------------------------------------


def _apply(b: Builder, found: Found, outputs: Sequence[Sym]) -> tuple[Builder, dict[str, Val]] | None:
    """Emit the scan, point everything outside the steps at it, and write the graph anew without them."""
    stateful = _stateful(found.steps[0])
    inner = {
        v.name for values in found.made for j, v in enumerate(values) if j in stateful and isinstance(v, Sym)
    }
    external = first_met(b, [v.name for v in outputs], inner)
    final = {v.name: k for k, v in found.final.items() if isinstance(v, Sym)}
    exported = sorted(
        j
        for j in stateful
        if any(_name(values[j]) in external and _name(values[j]) not in final for values in found.made)
    )
    steps = [replace(s, outputs=[_node_value(s, j) for j in exported]) for s in found.steps]
    b.origin = f"{len(steps)} unrolled steps"
    after, stacked = roll(b, steps, found.initial, "Unrolled")
    scan = next(node for node in reversed(b.nodes) if isinstance(node, Scan))
    if first_met(b, scan.inputs, inner & (external | set(final))):
        return None  # what the scan needs is made from what it makes
    instead: dict[str, Val] = {}
    for i, values in enumerate(found.made):
        for sequence, j in zip(stacked, exported, strict=True):
            value = values[j]
            if isinstance(value, Sym):
                instead.setdefault(value.name, b.take(sequence, i, 0))
    for name, k in final.items():
        instead.setdefault(name, after[k])
    return rewritten(b, instead, outputs)


def _name(value: Val | None) -> str:
    return value.name if isinstance(value, Sym) else ""


def _stateful(step: Step) -> set[int]:
    """Which nodes of a step depend on its states."""
    reached = {s.name for s in step.before.values()}
    found = set()
    for j, node in enumerate(step.body.nodes):
        if reached.intersection(node.inputs):
            reached.update(node.outputs)
            found.add(j)
    return found


def _node_value(step: Step, j: int) -> Val:
    return step.body.value(step.body.nodes[j].outputs[0])
