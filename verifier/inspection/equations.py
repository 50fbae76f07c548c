"""A cell as equations, reconstructed from its body: the same lines whatever form it was exported in.

    a1 = x·W1 + h·U1 + b1
    c' = σ(a1) ⊙ c + σ(a2) ⊙ tanh(a3)

The operand of a gate gets a line of its own when it is more than a name. A slice of a stacked product is
written as a product with a slice of the weights (`verifier.inspection.slices`), so that stacked and separate
gates look alike. What only adds or drops axes of size 1 is not shown. States that enter a matrix product are
called h, others c; next states have a prime."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np

from parsers.ir import Graph, Node, Scan
from parsers.primitives import PRIMITIVES
from verifier.inspection.slices import Key, Views, Window, integer

PARAMETERS = ("alpha", "beta", "gamma", "exponent", "low", "high", "axis", "axes")

ATOM, PRODUCT, SUM = 0, 1, 2
_NONLINEAR = frozenset("(⊙/")
_WEIGHT = re.compile(r"\b[WUb]\d+\b")


def cell_equations(scan: Scan) -> list[str]:
    """One time step of `scan`: a line for each gate operand, next state and stacked output, in order."""
    names = cell_names(scan)
    outputs = {}
    for state, following in zip(scan.states_in, scan.states_out, strict=True):
        if following != state:  # a value that never changes needs no equation
            outputs.setdefault(following, f"{names[state]}'")
    for k, stacked in enumerate(scan.step_outputs):
        outputs.setdefault(stacked, "y" if k == 0 else f"y{k + 1}")
    return _Writer(scan.body, names, outputs).write()


def cell_names(scan: Scan) -> dict[str, str]:
    """Letters of the body's inputs: x for inputs of a step, h and c for states, k for what never changes."""
    letters: dict[str, str] = {}
    seen: Counter[str] = Counter()
    changing = dict(zip(scan.states_in, scan.states_out, strict=True))
    for name in (v.name for v in scan.body.inputs):
        letter = "x"
        if name in changing:
            multiplied = _enters_matrix_product(scan.body, name)
            letter = "k" if changing[name] == name else "h" if multiplied else "c"
        seen[letter] += 1
        letters[name] = letter if seen[letter] == 1 else f"{letter}{seen[letter]}"
    return letters


def network_equations(graph: Graph) -> list[str]:
    """What surrounds the cells; a cell appears as a call, numbered in the order of `graph.scans()`."""
    names = {v.name: v.name for v in graph.inputs}
    return _Writer(graph, names, {name: name for name in graph.outputs}).write()


def _enters_matrix_product(body: Graph, state: str) -> bool:
    """Whether a matrix product reads the state, directly or moved about."""
    moved = {state}
    for node in body.nodes:
        if isinstance(node, Node) and moved.intersection(node.inputs):
            if node.op == "matmul":
                return True
            if PRIMITIVES[node.op].kind == "linear":
                moved.add(node.output)
    return False


class _Writer:
    """Renders the named `outputs` of one graph, and before each what it is made of."""

    def __init__(self, graph: Graph, names: Mapping[str, str], outputs: Mapping[str, str]) -> None:
        self.graph = graph
        self.producers = {name: node for node in graph.nodes for name in node.outputs}
        self.views = Views(graph)
        self.cells = {scan: k for k, scan in enumerate(graph.scans(), 1)}
        self.lines: list[str] = []
        self.names: dict[Key, str] = {(name, None): text for name, text in names.items()}
        self.wanted: dict[Key, str] = {(name, None): text for name, text in outputs.items()}
        self.taken = {*names.values(), *outputs.values()}
        self.uses: Counter[Key] = Counter()
        self.counts: Counter[str] = Counter()

    def write(self) -> list[str]:
        for key in self.wanted:
            self._count(key)
        for key, text in self.wanted.items():
            known = self.names.get(key)
            if known is None:
                self._line(key, text)
            elif known != text:
                self.lines.append(f"{text} = {known}")
        return self._renumbered()

    def _renumbered(self) -> list[str]:
        """The lines with weights numbered in the order in which a reader meets them."""
        seen: Counter[str] = Counter()
        new: dict[str, str] = {}

        def name(found: re.Match[str]) -> str:
            old = found[0]
            while old not in new and old not in self.taken:
                seen[old[0]] += 1
                if (candidate := f"{old[0]}{seen[old[0]]}") not in self.taken:
                    new[old] = candidate
            return new.get(old, old)

        return [_WEIGHT.sub(name, line) for line in self.lines]

    # --- which values appear more than once ------------------------------------------------------------

    def _is_named(self, key: Key) -> bool:
        return key in self.wanted or key in self.names

    def _count(self, key: Key) -> None:
        key = self.views.resolved(key, self._is_named)
        self.uses[key] += 1
        if self.uses[key] > 1 or key in self.names:
            return
        node = self.producers.get(key[0])
        if isinstance(node, Scan):
            for name in node.inputs:
                self._count((name, None))
        elif node is not None:
            for child in self.views.operands(node, key[1])[0]:
                self._count(child)

    # --- text ------------------------------------------------------------------------------------------

    def _line(self, key: Key, text: str = "") -> str:
        """Write `text = …` and use the name `text` from here on; without one, an a for affine, else a u."""
        right, binding = self._expression(key)
        if not text:
            text = self._fresh("a" if binding == SUM and not _NONLINEAR.intersection(right) else "u")
        self.names[key] = text
        self.lines.append(f"{text} = {right}")
        return text

    def _fresh(self, letter: str) -> str:
        while True:
            self.counts[letter] += 1
            name = f"{letter}{self.counts[letter]}"
            if name not in self.taken:
                return name

    def _text(self, key: Key) -> tuple[str, int]:
        """The value as it appears inside an expression, and how loosely its text binds."""
        key = self.views.resolved(key, self._is_named)
        if key in self.names:
            return self.names[key], ATOM
        if key in self.wanted:
            return self._line(key, self.wanted[key]), ATOM
        if key[0] in self.graph.constants:
            return self._constant(key, "b"), ATOM
        whole: Key = (key[0], None)
        if whole in self.names:
            return f"{self.names[whole]}{key[1]}", ATOM
        if self.uses[key] > 1 and not self._is_cheap(key):
            return self._line(key), ATOM
        return self._expression(key)

    def _is_cheap(self, key: Key) -> bool:
        """A move of something named, or a gate of one operand: shorter to repeat than to name."""
        node = self.producers.get(key[0])
        if not isinstance(node, Node):
            return True
        gate = PRIMITIVES[node.op].kind == "gate" and len(node.inputs) == 1
        return gate or node.op in ("take", "neg")

    def _expression(self, key: Key) -> tuple[str, int]:
        name, window = key
        node = self.producers.get(name)
        if node is None:
            return (self._constant(key, "b"), ATOM) if name in self.graph.constants else (name, ATOM)
        if isinstance(node, Scan):
            return self._scan(node, name, window), ATOM
        children, went_inside = self.views.operands(node, window)
        if not went_inside:
            inner, binding = self._text((name, None))
            return f"{_wrapped(inner, binding, ATOM)}{window}", ATOM
        return self._operation(node, children)

    def _operation(self, node: Node, children: list[Key]) -> tuple[str, int]:
        op, row = node.op, PRIMITIVES[node.op]
        if self.views.is_plain_move(node):
            return self._text(children[0])
        if op in ("add", "sub"):
            left, right = self._text(children[0])[0], self._text(children[1])
            return f"{left} {row.symbol} {_wrapped(*right, SUM if op == 'add' else PRODUCT)}", SUM
        if op == "neg":
            return f"{row.symbol}{_wrapped(*self._text(children[0]), PRODUCT)}", SUM
        if op == "mul":
            left, right = (_wrapped(*self._text(child), PRODUCT) for child in children)
            return f"{left} {row.symbol} {right}", PRODUCT
        if op == "div":
            left, right = self._text(children[0]), self._text(children[1])
            return f"{_wrapped(*left, PRODUCT)} {row.symbol} {_wrapped(*right, ATOM)}", PRODUCT
        if op == "matmul":
            return self._matrix_product(children), PRODUCT
        if op == "take" and np.ndim(node.attributes["indices"]) == 0:  # type: ignore[arg-type]
            return f"{_wrapped(*self._text(children[0]), ATOM)}[{_at(node)}]", ATOM
        arguments = [
            self._argument(child) if row.kind == "gate" else self._text(child)[0] for child in children
        ]
        given = [f"{key}={_short(node.attributes[key])}" for key in PARAMETERS if key in node.attributes]
        return f"{row.symbol}({', '.join(arguments + given)})", ATOM

    def _argument(self, key: Key) -> str:
        """The operand of a gate: on a line of its own if it is an affine expression."""
        text, binding = self._text(key)
        if binding == ATOM or (text.startswith("−") and " " not in text):
            return text
        name = self._fresh("a")
        self.names[key] = name
        self.lines.append(f"{name} = {text}")
        return name

    def _matrix_product(self, children: list[Key]) -> str:
        parts = []
        for k, child in enumerate(children):
            if child[0] in self.graph.constants:
                other = children[1 - k][0]
                letter = "U" if self.names.get((other, None), "").startswith(("h", "c")) else "W"
                parts.append(self._constant(child, letter))
            else:
                parts.append(_wrapped(*self._text(child), ATOM))
        return "·".join(parts)

    def _scan(self, scan: Scan, name: str, window: Window | None) -> str:
        """`cell 1(x, h=0, c=0)` on a line that names all its results."""
        letters = cell_names(scan)
        given = [self._text((v, None))[0] for v in scan.sequences]
        starts = zip(scan.states_in, scan.initial, strict=True)
        given += [f"{letters[inner]}={self._text((outer, None))[0]}" for inner, outer in starts]
        used = [result for result in scan.outputs if self.uses[(result, None)] or result == name]
        results = {result: self._fresh("s") for result in used}
        order = "last to first" if scan.reverse else "first to last"
        left = ", ".join(results.values())
        self.lines.append(
            f"{left} = {', '.join(self._role(scan, r) for r in results)}"
            f" of cell {self.cells[scan]}({', '.join(given)}), {scan.length} time steps, {order}"
        )
        self.names |= {(result, None): text for result, text in results.items()}
        return results[name] if window is None else f"{results[name]}{window}"

    def _role(self, scan: Scan, result: str) -> str:
        if result in scan.finals:
            return f"final {cell_names(scan)[scan.states_in[scan.finals.index(result)]]}"
        return "all y" if len(scan.stacked) == 1 else f"all y{scan.stacked.index(result) + 1}"

    def _constant(self, key: Key, letter: str) -> str:
        """A number where all entries are equal, else a letter, the same for the same weights."""
        array = self.graph.constants[key[0]]
        if array.size and np.all(array == array.flat[0]):
            return f"{array.flat[0]:g}"
        if key not in self.names:
            self.names[key] = self._fresh(letter)
        return self.names[key]


def _wrapped(text: str, binding: int, allowed: int) -> str:
    return text if binding <= allowed else f"({text})"


def _at(node: Node) -> str:
    """`take` of one index: `:, 3` for axis 1."""
    return ", ".join([":"] * integer(node, "axis") + [str(int(np.asarray(node.attributes["indices"])))])


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
