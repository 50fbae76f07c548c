"""Does a counterexample hold? Numpy, onnxruntime and the standard library only: nothing of recert's.

    python tests/support/independent_replay.py QUERY.vnnlib RESULTS [NAME=]MODEL.onnx …

RESULTS is a result file of the competition: `sat`, then the assignment in the form of the query's version.
Every network is run on the assigned inputs; its outputs must be the assigned ones to the last bit, and all
assertions must hold with tolerance 0. A bound on one input element is read as float32 reads its decimal,
everything else as it is written. Ends with status 0 if so, else with 1 and the reason.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

RELATIONS = {
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "==": lambda a, b: a == b,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


class Wrong(Exception):
    """The counterexample is none."""


def read(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def parsed(text: str) -> list[Any]:
    """Nested lists of tokens; `X [0,1]` is one token `X[0,1]`."""
    text = re.sub(r";[^\n]*", "", text)
    text = re.sub(r"\s*\[\s*([\d,\s]*)\]", lambda m: f"[{''.join(m[1].split())}]", text)
    stack: list[list[Any]] = [[]]
    for token in re.findall(r'"[^"]*"|[()]|[^\s()]+', text):
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    return stack[0]


class Query:
    """Networks as {name: {"input": [(variable, type, shape)], "output": …, "hidden": …, "file": name}}."""

    def __init__(self, text: str) -> None:
        self.assertions: list[Any] = []
        self.networks: dict[str, dict[str, Any]] = {}
        flat = {"X": 0, "Y": 0}
        for command in parsed(text):
            if command[0] == "assert":
                self.assertions.append(command[1])
            elif command[0] == "declare-const":
                flat[command[1][0]] += 1
            elif command[0] == "declare-network":
                self._network(command)
        self.flat = bool(flat["X"])
        if self.flat:
            self.networks["N"] = {"file": "N", "hidden": [], "input": [("X", "real", (flat["X"],))]}
            self.networks["N"]["output"] = [("Y", "real", (flat["Y"],))]

    def _network(self, command: list[Any]) -> None:
        name = command[1]
        made: dict[str, Any] = {"file": name, "input": [], "output": [], "hidden": []}
        for part in command[2:]:
            if part[0] == "equal-to":
                made["file"] = part[1]
            elif part[0].startswith("declare-"):
                variable, kind, shape = re.fullmatch(r"(\S+) (\S+?)\s*\[(.*)\]", " ".join(part[1:3])).groups()  # type: ignore[union-attr]
                sizes = tuple(int(n) for n in shape.split(",") if n)
                made[part[0].removeprefix("declare-")].append((variable, kind, sizes))
        self.networks[name] = made

    def variables(self) -> list[tuple[str, str, tuple[int, ...]]]:
        return [v for n in self.networks.values() for k in ("input", "hidden", "output") for v in n[k]]


def assigned(query: Query, lines: Sequence[str]) -> dict[str, list[Fraction]]:
    """The values of every variable, as float64 reads them."""
    values: dict[str, list[Fraction]] = {}
    if query.flat:
        for name, number in re.findall(r"\(\s*([XY]_\d+)\s+([^\s()]+)\s*\)", "\n".join(lines)):
            values.setdefault(name[0], []).append(Fraction(float(number)))
        return values
    rest = list(lines)
    for name, kind, shape in query.variables():
        wanted = f"{name} {kind} [{','.join(map(str, shape))}]"
        if not rest or rest[0] != wanted:
            raise Wrong(f"expected the line '{wanted}', found '{rest[0] if rest else ''}'")
        values[name] = [Fraction(float(v)) for v in rest[1 : 1 + prod(shape)]]
        rest = rest[1 + prod(shape) :]
    if rest:
        raise Wrong(f"'{rest[0]}' is left over")
    return values


def replay(query: Query, values: Mapping[str, list[Fraction]], models: Mapping[str, Path]) -> None:
    """Raise `Wrong` unless every network gives the assigned outputs."""
    for network in query.networks.values():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        model = read(models[network["file"]])
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        numbers = [q for name, _, _ in network["input"] for q in values[name]]
        fed: dict[str, np.ndarray] = {}
        for spec in session.get_inputs():
            shape = [n if isinstance(n, int) else 1 for n in spec.shape]
            free = [k for k, n in enumerate(spec.shape) if not isinstance(n, int)]
            rest = len(numbers) if spec is session.get_inputs()[-1] else prod(shape)
            if free and rest != prod(shape):
                shape[free[-1]] = rest // prod(shape)
            dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}.get(spec.type, np.int64)
            mine, numbers = numbers[: prod(shape)], numbers[prod(shape) :]
            fed[spec.name] = np.array([dtype(float(q)) for q in mine], dtype).reshape(shape)
            if [Fraction(v.item()) for v in fed[spec.name].reshape(-1)] != mine:
                raise Wrong(f"an input of '{spec.name}' is no {np.dtype(dtype)}")
        outputs = [Fraction(v.item()) for y in session.run(None, fed) for v in np.asarray(y).reshape(-1)]
        if outputs != [q for name, _, _ in network["output"] for q in values[name]]:
            raise Wrong("the network gives other outputs")


def check(query: Query, values: Mapping[str, list[Fraction]]) -> None:
    """Raise `Wrong` for the first assertion that does not hold."""
    shapes = {name: shape for name, _, shape in query.variables()}
    inputs = {name for n in query.networks.values() for name, _, _ in n["input"]}

    def element(token: str) -> Fraction | None:
        name, _, index = token.replace("_", "[", 1).partition("[") if query.flat else token.partition("[")
        if name not in values:
            return None
        place = tuple(int(i) for i in index.removesuffix("]").split(",") if i)
        return values[name][int(np.ravel_multi_index(place, shapes[name])) if place else 0]

    def value(term: Any) -> Fraction:
        if isinstance(term, str):
            found = element(term)
            return Fraction(term) if found is None else found
        head, parts = term[0], [value(part) for part in term[1:]]
        if head == "+":
            return sum(parts, Fraction(0))
        if head == "*":
            return prod(parts, start=Fraction(1))
        return -parts[0] if len(parts) == 1 else parts[0] - sum(parts[1:], Fraction(0))

    def is_bound(a: Any, b: Any) -> bool:
        return isinstance(a, str) and isinstance(b, str) and re.split(r"[\[_]", a)[0] in inputs

    def truth(formula: Any) -> bool:
        head, parts = formula[0], formula[1:]
        if head in ("and", "or"):
            return (all if head == "and" else any)(truth(part) for part in parts)
        holds = RELATIONS[head]
        for a, b in pairwise(parts):
            x, y = value(a), value(b)
            if is_bound(a, b) and element(b) is None:
                y = Fraction(float(np.float32(float(y))))
            elif is_bound(b, a) and element(a) is None:
                x = Fraction(float(np.float32(float(x))))
            if not holds(x, y):
                return False
        return True

    for assertion in query.assertions:
        if not truth(assertion):
            raise Wrong(f"an assertion fails: {str(assertion)[:200]}")


def confirm(vnnlib: Path, results: Path, models: Sequence[str]) -> None:
    """Raise `Wrong` unless `results` holds a counterexample to the query."""
    query = Query(read(vnnlib).decode())
    verdict, *lines = results.read_text().splitlines()
    if verdict != "sat":
        raise Wrong(f"the verdict is {verdict}")
    named = dict(m.split("=", 1) if "=" in m else (next(iter(query.networks)), m) for m in models)
    values = assigned(query, lines)
    replay(query, values, {name: Path(path) for name, path in named.items()})
    check(query, values)


if __name__ == "__main__":
    try:
        confirm(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    except Wrong as wrong:
        sys.exit(str(wrong))
    print("confirmed")
