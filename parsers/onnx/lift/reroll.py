"""Roll an unrolled recurrence back into a `Scan`.

Requires: a flat graph under construction. Ensures: the same outputs, or no change. The steps found are
compared node by node (`parsers.onnx.lift.alike`); those at the ends are recovered by
`parsers.onnx.lift.extension`. The caller compares both graphs numerically before it accepts the rolled one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from parsers.ir import Node, Scan
from parsers.onnx.building.builder import Builder
from parsers.onnx.building.rewrite import first_met, rewritten
from parsers.onnx.building.values import Sym, Val
from parsers.onnx.lift.alike import compatible
from parsers.onnx.lift.chains import Cut, Flat, chains, cut_states, steps_grow
from parsers.onnx.lift.extension import Found, extended
from parsers.onnx.lift.roll import roll
from parsers.onnx.lift.step import Step, View

FEWEST_STEPS = 3
LONGEST_STRIDE = 8  # products of one step with the same matrix


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
        for found in (extended(b, run), run):
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
