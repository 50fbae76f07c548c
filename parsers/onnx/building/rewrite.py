"""Replace values of a flat graph by others and write what is left of it anew."""

from __future__ import annotations

from collections.abc import Sequence

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Const, Sym, Val


def first_met(b: Builder, starts: Sequence[str], marked: set[str]) -> set[str]:
    """The marked values that `starts` are computed from, not looking beyond a marked one."""
    maker = {name: node for node in b.nodes for name in node.outputs}
    met: set[str] = set()
    seen: set[str] = set()
    stack = list(starts)
    while stack:
        name = stack.pop()
        if name in marked:
            met.add(name)
        elif name not in seen and name in maker:
            seen.add(name)
            stack += maker[name].inputs
    return met


def rewritten(b: Builder, instead: dict[str, Val], outputs: Sequence[Sym]) -> tuple[Builder, dict[str, Val]]:
    """The live part of the graph in a new builder, with some values replaced by others."""
    new = Builder(rules=b.rules)
    moved: dict[str, Val] = {v.name: new.input(v.name, v.shape, v.dtype) for v in b.inputs}
    maker = {name: node for node in b.nodes for name in node.outputs}
    stack = [(v.name, False) for v in reversed(outputs)]
    while stack:
        name, ready = stack.pop()
        if name in moved:
            continue
        other = instead.get(name)
        if name in b.constants or isinstance(other, Const):
            moved[name] = other or b.value(name)
        elif isinstance(other, Sym):
            if other.name in moved:
                moved[name] = moved[other.name]
                b.hand_label(name, new, moved[name])
            else:
                stack += [(name, False), (other.name, False)]
        elif not ready:
            stack.append((name, True))
            stack += [(n, False) for n in reversed(maker[name].inputs)]
        else:
            node = maker[name]
            new.origin = node.origin
            results = new.replay(node, [moved[n] for n in node.inputs], b)
            moved.update(zip(node.outputs, results, strict=True))
    return new, moved
