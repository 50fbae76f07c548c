"""Find the steps of a recurrence that an exporter wrote out in full.

The anchor is a weight matrix that several products share along one data path: s₀·R, s₁·R, … where every sᵢ₊₁
depends on sᵢ. The sᵢ cut the graph into steps. What else crosses a cut (an LSTM's c) is a further state; what
depends on no sᵢ (x_t and its projection) belongs to the step that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from parsers.ir import Node, Scan
from parsers.onnx.building.builder import Builder
from parsers.primitives import PRIMITIVES

FEWEST_PRODUCTS = 3


@dataclass(frozen=True, slots=True)
class Cut:
    """The state at one place: values of the flat graph, in a fixed order."""

    states: tuple[str, ...]


class Flat:
    """A builder's nodes, indexed."""

    def __init__(self, b: Builder) -> None:
        self.b = b
        self.nodes = list(b.nodes)
        self.maker = {name: k for k, node in enumerate(self.nodes) for name in node.outputs}

    def node(self, name: str) -> Node | Scan | None:
        return self.nodes[self.maker[name]] if name in self.maker else None

    def levels(self, cuts: Sequence[str]) -> dict[str, int]:
        """For every value the last cut that it depends on (or is); values that depend on none are absent."""
        level: dict[str, int] = {}
        place = {name: i for i, name in enumerate(cuts)}
        for name in (v.name for v in self.b.inputs):
            if name in place:
                level[name] = place[name]
        for node in self.nodes:
            reached = max((level.get(n, -1) for n in node.inputs), default=-1)
            for name in node.outputs:
                own = max(reached, place.get(name, -1))
                if own >= 0:
                    level[name] = own
        return level

    def cone(
        self, targets: Sequence[str], stop: set[str], level: dict[str, int], i: int
    ) -> tuple[list[str], list[str]]:
        """What computes `targets` from the states `stop` at cut i, in a fixed order, and what it lacks.

        First the computed values, operands before results; then the values that cross the cut and are not in
        `stop`. Inputs, constants and the outputs of scans are neither.
        """
        order: list[str] = []
        missing: list[str] = []
        seen = set(stop)
        stack = [(name, False) for name in reversed(targets)]
        while stack:
            name, done = stack.pop()
            if done:
                order.append(name)
                continue
            node = self.node(name)
            if name in seen or not isinstance(node, Node):
                continue
            seen.add(name)
            if 0 <= level.get(name, -1) < i and _origin(self, name, level) not in stop:
                missing.append(name)
                continue
            stack.append((name, True))
            stack += [(operand, False) for operand in reversed(node.inputs)]
        return order, missing


def chains(flat: Flat) -> Iterator[list[str]]:
    """Candidate cut lists s₀, s₁, …, those with the fewest products first."""
    users: dict[str, list[str]] = {}
    for node in flat.nodes:
        if not isinstance(node, Node) or node.op != "matmul":
            continue
        data = [n for n in node.inputs if n not in flat.b.constants]
        weights = [n for n in node.inputs if n in flat.b.constants]
        if len(data) == 1 and data[0] not in users.setdefault(weights[0], []):
            users[weights[0]].append(data[0])
    for states in sorted((s for s in users.values() if len(s) >= FEWEST_PRODUCTS), key=len):
        chain = _chain(flat, states)
        if chain:
            yield chain


def _chain(flat: Flat, states: list[str]) -> list[str]:
    """The states, each seen through moves, if every one depends on the one before; else nothing."""
    level = flat.levels(states)
    for i, name in enumerate(states[1:]):
        node = flat.node(name)
        if node is None or max((level.get(n, -1) for n in node.inputs), default=-1) != i:
            return []
    cores = [_core(flat, name, level) for name in states[1:]]
    return [_follow(flat, states[0], cores[0][1]), *(name for name, _ in cores)]


def steps_grow(flat: Flat, cuts: Sequence[str]) -> bool:
    """Does every step need more than the one before? Then it holds another recurrence, to be rolled first."""
    level = flat.levels(cuts)
    middle = range(max(0, len(cuts) // 2 - 2), len(cuts) - 1)[:4]
    sizes = [len(flat.cone((cuts[i + 1],), {cuts[i]}, level, i)[0]) for i in middle]
    return len(sizes) > 2 and all(a < b for a, b in pairwise(sizes))


def _core(flat: Flat, name: str, level: dict[str, int]) -> tuple[str, list[tuple[str, int]]]:
    """The operand that depends on earlier states, seen through moves (h in concat(x, h)); the way there."""
    way: list[tuple[str, int]] = []
    while True:
        node = flat.node(name)
        carried = {n for n in node.inputs if n in level} if isinstance(node, Node) else set()
        if not isinstance(node, Node) or not PRIMITIVES[node.op].moves or len(carried) != 1:
            return name, way
        (name,) = carried
        way.append((node.op, node.inputs.index(name)))


def _follow(flat: Flat, name: str, way: Sequence[tuple[str, int]]) -> str:
    """The value that lies the same way back from the first state; the state itself where there is none."""
    found = name
    for op, slot in way:
        node = flat.node(found)
        if not isinstance(node, Node) or node.op != op or node.inputs[slot] in flat.b.constants:
            return name
        found = node.inputs[slot]
    return found


def cut_states(flat: Flat, cuts: Sequence[str]) -> tuple[list[Cut], dict[str, int]]:
    """Complete every cut by what else crosses it; cuts where that cannot be told are dropped."""
    level = flat.levels(cuts)
    found: list[Cut] = []
    targets: tuple[str, ...] = (cuts[-1],)
    for i in reversed(range(len(cuts) - 1)):
        _, missing = flat.cone(targets, {cuts[i]}, level, i)
        crossing = dict.fromkeys(_origin(flat, m, level) for m in missing)
        targets = (cuts[i], *(m for m in crossing if m != cuts[i]))
        found.append(Cut(targets))
    found.reverse()
    width = len(found[len(found) // 2].states) if found else 0
    last = Cut((cuts[-1],))
    if found and width > 1:
        last = _aligned_next(flat, found, cuts) or last
    whole = [*found, last]
    first = next((k for k, cut in enumerate(whole) if len(cut.states) == width), 0)
    good: list[Cut] = []
    for cut in whole[first:]:
        if len(cut.states) != width:
            break
        good.append(cut)
    return good, {name: k - first for name, k in level.items() if k >= first}


def _origin(flat: Flat, name: str, level: dict[str, int]) -> str:
    """What a crossing value is a mere multiple, shift or rearrangement of: c, where P·c crosses the cut."""
    while True:
        node = flat.node(name)
        row = PRIMITIVES[node.op] if isinstance(node, Node) else None
        if node is None or row is None or not (row.moves or row.kind == "additive" or row.name == "mul"):
            return name
        carried = [n for n in node.inputs if n not in flat.b.constants]
        if len(carried) != 1 or carried[0] not in level:
            return name
        name = carried[0]


def _aligned_next(flat: Flat, found: Sequence[Cut], cuts: Sequence[str]) -> Cut | None:
    """The states at the last cut: what stands where the last but one has them."""
    if len(found) < 2:
        return None
    pairs: dict[str, str] = {}
    stop = set(found[-2].states)
    stack = [(cuts[-2], cuts[-1])]
    while stack:
        a, b = stack.pop()
        m, n = flat.node(a), flat.node(b)
        if a in pairs or a in stop or not isinstance(m, Node) or not isinstance(n, Node) or m.op != n.op:
            continue
        pairs[a] = b
        shared = min(len(m.inputs), len(n.inputs))  # joins of more parts agree as far as both go
        stack += zip(m.inputs[:shared], n.inputs[:shared], strict=True)
    states = tuple(pairs.get(name, "") for name in found[-1].states)
    return Cut(states) if all(states) else None
