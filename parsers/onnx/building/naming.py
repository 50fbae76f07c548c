"""Names in finished graphs, and keys of equal computations."""

from __future__ import annotations

import numpy as np

from parsers.ir import Node, Scan


def hashable(value: object) -> object:
    return (value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def unique(name: str, used: set[str]) -> str:
    candidate, k = name, 2
    while candidate in used:
        candidate, k = f"{name}.{k}", k + 1
    used.add(candidate)
    return candidate


def renamed(node: Node | Scan, final: dict[str, str]) -> Node | Scan:
    def new(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(final[n] for n in names)

    if isinstance(node, Node):
        return Node(node.op, new(node.inputs), final[node.output], node.attributes, node.origin)
    return Scan(
        body=node.body,
        initial=new(node.initial),
        sequences=new(node.sequences),
        finals=new(node.finals),
        stacked=new(node.stacked),
        length=node.length,
        reverse=node.reverse,
        form=node.form,
        origin=node.origin,
    )
