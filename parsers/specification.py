"""What a query asks: is there an input whose outputs satisfy it?

A `Specification` describes the *violation*. `sat` means that some input and its outputs satisfy one of
the `cases`, `unsat` that none does; a specification without cases is `unsat` whatever the network is.

Two readings of a decimal. The literal 0.1 is no float32. A typed query means its rounding to the declared
type, a `real` query the decimal itself, and tools differ. What is rounded is the constant of a comparison
when all its terms stand on one side, for a bound on one input element when solved for that element.
Everything here is safe for both readings: boxes and constraints are widened to contain either, so `unsat`
holds for both; a witness lies in the box as the type rounds it and satisfies every other comparison in both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from parsers.errors import BadInput, BadQuery
from parsers.ir import Shape, Value
from parsers.query.cases import Box, Case, LinearConstraint, cases_of
from parsers.query.formula import Formula
from parsers.query.layout import Layout
from parsers.query.normal_form import NormalForm
from parsers.query.witness import satisfied

__all__ = [
    "Box",
    "Case",
    "LinearConstraint",
    "Specification",
    "Variable",
    "assignment",
    "format_assignment",
]

Array = np.ndarray

FLOATS = ("float16", "float32", "float64")
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
ELEMENT_TYPES = (*FLOATS, *INTEGERS, "real")


@dataclass(frozen=True, slots=True)
class Variable:
    """A tensor as the query declares it; `network` is the network it belongs to."""

    name: str
    dtype: str
    shape: Shape
    network: str = ""

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Specification:
    """A query. `inputs`, `outputs`: its variables; `network_inputs`, `network_outputs`: the tensors that
    cases, witnesses and arrays are keyed by, which are the variables themselves until `bind`.

    `version` is the VNN-LIB version of the file; in 1.0, X_0, X_1, … are the elements of all inputs in order.
    """

    version: str
    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    formula: Formula
    normal: NormalForm
    network_inputs: tuple[Value, ...]
    network_outputs: tuple[Value, ...]
    bound: bool = False

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The disjunction. Raises `BadQuery` where an input element has no finite bound."""
        return cases_of(self.normal, self._layout)

    @cached_property
    def _layout(self) -> Layout:
        scalars = self.version == "1.0" and not self.bound
        return Layout.of(self.network_inputs, self.network_outputs, self.rounds_literals, scalars)

    @property
    def rounds_literals(self) -> bool:
        """Whether a decimal means its rounding to the element type (see the top of this file)."""
        return self.version == "1.0" or all(v.dtype != "real" for v in (*self.inputs, *self.outputs))

    def bind(self, inputs: Iterable[Value], outputs: Iterable[Value]) -> Specification:
        """This specification over a network's own tensors.

        Version 2: inputs and outputs agree one by one, in order, in shape and type (`real` with any float).
        Version 1: all inputs together have as many elements as there are X_i, the outputs as there are Y_i.
        Raises `BadQuery` with all differences.
        """
        network_inputs, network_outputs = tuple(inputs), tuple(outputs)
        problems = [
            *self._differences("input", self.inputs, network_inputs),
            *self._differences("output", self.outputs, network_outputs),
        ]
        if problems:
            raise BadQuery("the query is about another network: " + "; ".join(problems))
        return replace(self, network_inputs=network_inputs, network_outputs=network_outputs, bound=True)

    def _differences(self, kind: str, declared: Sequence[Variable], present: Sequence[Value]) -> list[str]:
        here = ", ".join(f"'{v.name}' {_shape(v.shape)}" for v in present) or "none"
        unread = [f"{kind} '{v.name}' has type {v.dtype}" for v in present if v.dtype not in ELEMENT_TYPES]
        if self.version == "1.0":
            wanted, found = sum(v.size for v in declared), sum(_size(v) for v in present)
            if wanted == found:
                return unread
            letter = declared[0].name
            named = f"{letter}_0" if wanted == 1 else f"{letter}_0 … {letter}_{wanted - 1}"
            return [*unread, f"it declares {named}, but the network's {kind}s {here} have {found} elements"]
        if len(declared) != len(present):
            names = f"{len(declared)} {kind}s ({', '.join(v.name for v in declared)})"
            return [*unread, f"it declares {names}, the network has {len(present)}: {here}"]
        for variable, value in zip(declared, present, strict=True):
            if variable.shape != value.shape:
                unread.append(
                    f"{kind} {variable.name} is declared {_shape(variable.shape)}, "
                    f"the network's '{value.name}' is {_shape(value.shape)}"
                )
            if variable.dtype != value.dtype and not (variable.dtype == "real" and value.dtype in FLOATS):
                unread.append(
                    f"{kind} {variable.name} is declared {variable.dtype}, "
                    f"the network's '{value.name}' is {value.dtype}"
                )
        return unread

    def satisfied_by(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> bool:
        """Whether these inputs and the outputs that the network gave for them satisfy the query.

        Exact: the arrays' values against the query's own formula in rational arithmetic, with no tolerance.
        Bounds on input elements are read as the element type rounds them, everything else must hold for
        both readings of each constant. Raises `BadInput` for missing tensors, other shapes, NaN or infinity.
        """
        x = _flat("input", self.network_inputs, inputs)
        y = _flat("output", self.network_outputs, outputs)
        return satisfied(self.formula, self._layout, [v.item() for v in (*x, *y)])


def assignment(
    spec: Specification, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> dict[str, Array]:
    """The values of the query's own variables, in the order of their declaration and in their shapes."""
    values = _assigned(spec, inputs, outputs)
    return {
        v.name: np.array(values[v.name], np.result_type(*{x.dtype for x in values[v.name]})).reshape(v.shape)
        for v in (*spec.inputs, *spec.outputs)
    }


def format_assignment(spec: Specification, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> str:
    """What follows the line `sat`, without a final newline.

    Version 2, for each variable in the order of its declaration: `name type [dimensions]`, then one
    value a line, row-major. Version 1, as the competition wants it: `((X_0 v)`, … , `(Y_0 v))`.
    A value has the fewest digits that parse back to the very same float.
    """
    values = _assigned(spec, inputs, outputs)
    if spec.version == "1.0":
        pairs = [f"({name}_{i} {_digits(v)})" for name, own in values.items() for i, v in enumerate(own)]
        return "(" + "\n ".join(pairs) + ")"
    lines: list[str] = []
    for variable in (*spec.inputs, *spec.outputs):
        lines.append(f"{variable.name} {variable.dtype} {_shape(variable.shape)}")
        lines.extend(_digits(v) for v in values[variable.name])
    return "\n".join(lines)


def _assigned(
    spec: Specification, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> dict[str, list[np.generic]]:
    found: dict[str, list[np.generic]] = {}
    for variables, values in (
        (spec.inputs, _flat("input", spec.network_inputs, inputs)),
        (spec.outputs, _flat("output", spec.network_outputs, outputs)),
    ):
        start = 0
        for variable in variables:
            found[variable.name] = values[start : start + variable.size]
            start += variable.size
    return found


def _flat(kind: str, tensors: Sequence[Value], arrays: Mapping[str, Array]) -> list[np.generic]:
    """All elements in order, as numpy scalars of their own type."""
    elements: list[np.generic] = []
    for tensor in tensors:
        if tensor.name not in arrays:
            raise BadInput(f"no values for {kind} '{tensor.name}'; given are {', '.join(arrays) or 'none'}")
        array = np.asarray(arrays[tensor.name])
        if array.shape != tensor.shape:
            shapes = f"{_shape(array.shape)}, not {_shape(tensor.shape)}"
            raise BadInput(f"{kind} '{tensor.name}' has the shape {shapes}")
        if not np.all(np.isfinite(array)):
            raise BadInput(f"{kind} '{tensor.name}' has values that are NaN or infinite")
        elements.extend(array.reshape(-1))
    return elements


def _digits(value: np.generic) -> str:
    if isinstance(value, np.floating):
        return np.format_float_positional(value, unique=True, trim="0")
    return str(value)


def _shape(shape: Shape) -> str:
    return "[" + ",".join(str(n) for n in shape) + "]"


def _size(value: Value) -> int:
    return math.prod(value.shape)
