"""Values seen through a slice, and past what only moves entries about: the same entries under fewer names.

A slice of x·W + b is x·(a slice of W) + (a slice of b). So a stacked product of four gates that is cut
afterwards, and four separate products, are the same expressions once the slices have been pushed down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from parsers.ir import Graph, Node
from parsers.primitives import PRIMITIVES


@dataclass(frozen=True, slots=True)
class Window:
    """Entries start … stop of axis `axis`, counted from the last axis (−1)."""

    axis: int
    start: int
    stop: int

    def __str__(self) -> str:
        place = f"{self.start}:{self.stop}" if self.stop - self.start > 1 else str(self.start)
        return f"[{place}{', :' * (-1 - self.axis)}]"


Key = tuple[str, "Window | None"]


class Views:
    """Follows views of the values of one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._producers = {node.output: node for node in graph.nodes if isinstance(node, Node)}

    def resolved(self, key: Key, stop: Callable[[Key], bool]) -> Key:
        """The value that `key` merely moves: past slices, axes of size 1, one member of a concatenation."""
        while not stop(key):
            node = self._producers.get(key[0])
            if not isinstance(node, Node):
                break
            if node.op == "take" and key[1] is None:
                member = self._member(node, stop)
                if member is None:
                    break
                key = (member, None)
            elif self.is_plain_move(node):
                children, inside = self.operands(node, key[1])
                if not inside:
                    break
                key = children[0]
            else:
                break
        return key

    def _member(self, take: Node, stop: Callable[[Key], bool]) -> str | None:
        """The operand that `take` picks out of nested concatenations, if it is one of size 1."""
        name, axis = take.inputs[0], integer(take, "axis")
        if np.ndim(take.attributes["indices"]):  # type: ignore[arg-type]
            return None
        place = int(take.attributes["indices"])  # type: ignore[call-overload]
        whole = self._producers.get(self.resolved((name, None), stop)[0])
        while isinstance(whole, Node) and whole.op == "concat" and integer(whole, "axis") == axis:
            for name in whole.inputs:
                if place < self._graph.shape(name)[axis]:
                    break
                place -= self._graph.shape(name)[axis]
            if self._graph.shape(name)[axis] == 1:
                return name
            whole = self._producers.get(name)
        return None

    def operands(self, node: Node, window: Window | None) -> tuple[list[Key], bool]:
        """Operands as seen through `window`, and whether the window went into them."""
        plain: list[Key] = [(name, None) for name in node.inputs]
        if node.op == "slice" and node.attributes["step"] == 1 and window is None:
            axis = integer(node, "axis") - len(self._graph.shape(node.output))
            return [(node.inputs[0], Window(axis, integer(node, "start"), integer(node, "stop")))], True
        if window is None:
            return plain, True
        if node.op == "slice" and node.attributes["step"] == 1:
            axis = integer(node, "axis") - len(self._graph.shape(node.output))
            if axis == window.axis:
                shift = integer(node, "start")
                return [(node.inputs[0], Window(axis, window.start + shift, window.stop + shift))], True
            return plain, False
        if node.op == "matmul":
            if window.axis == -1 and len(self._graph.shape(node.inputs[1])) > 1:
                return [plain[0], (node.inputs[1], window)], True
            if window.axis < -1 and len(self._graph.shape(node.inputs[1])) == 2:
                return [(node.inputs[0], window), plain[1]], True
            return plain, False
        if PRIMITIVES[node.op].elementwise:
            return [self._seen(name, window) for name in node.inputs], True
        if node.op == "reshape" and self._same_tail(node, window.axis):
            return [(node.inputs[0], window)], True
        if node.op == "expand":
            return [self._seen(node.inputs[0], window)], True
        return plain, False

    def _seen(self, name: str, window: Window) -> Key:
        """An elementwise operand through the window: an axis it is broadcast along needs none."""
        shape = self._graph.shape(name)
        broadcast = -window.axis > len(shape) or shape[window.axis] == 1
        return (name, None if broadcast else window)

    def _same_tail(self, node: Node, axis: int) -> bool:
        return self._graph.shape(node.inputs[0])[axis:] == self._graph.shape(node.output)[axis:]

    def is_plain_move(self, node: Node) -> bool:
        """Whether the node only picks the entries of its window, or adds and drops axes of size 1."""
        before, after = self._graph.shape(node.inputs[0]), self._graph.shape(node.output)
        match node.op:
            case "slice":
                return node.attributes["step"] == 1
            case "expand":
                return True
            case "transpose":
                order = [k for k in node.attributes["perm"] if before[k] != 1]  # type: ignore[attr-defined]
                return order == sorted(order)
            case "reshape":
                return [n for n in before if n != 1] == [n for n in after if n != 1]
        return False


def integer(node: Node, attribute: str) -> int:
    """An attribute that is a whole number."""
    return int(node.attributes[attribute])  # type: ignore[call-overload]
