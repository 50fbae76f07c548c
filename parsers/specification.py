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
from parsers.ir import Value
from parsers.query.cases import Box, Case, LinearConstraint, cases_of
from parsers.query.formula import Formula
from parsers.query.layout import Layout
from parsers.query.normal_form import NormalForm, normal_form
from parsers.query.polynomial import Monomial
from parsers.query.variables import ELEMENT_TYPES, FLOATS, Network, Variable, formatted
from parsers.query.witness import satisfied

__all__ = ["Box", "Case", "LinearConstraint", "Network", "Specification", "Variable"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Specification:
    """A query over one or several networks.

    `network_inputs`, `network_outputs`: the tensors that cases, witnesses and arrays are keyed by, which are
    the declared variables themselves until `bind`; the values of hidden variables follow the outputs.
    `products`: the monomials that `formula` reads as elements behind all others.
    `version` is the VNN-LIB version of the file; in 1.0, X_0, X_1, … are the elements of all inputs in order.
    """

    version: str
    networks: tuple[Network, ...]
    formula: Formula
    products: tuple[Monomial, ...]
    normal: NormalForm
    network_inputs: tuple[Value, ...]
    network_outputs: tuple[Value, ...]
    bound: bool = False

    @staticmethod
    def over(
        version: str, networks: tuple[Network, ...], formula: Formula, products: tuple[Monomial, ...] = ()
    ) -> Specification:
        """The specification of `formula`, not bound to files yet."""
        inputs = [v for network in networks for v in network.inputs]
        observed = [v for kind in ("outputs", "hidden") for n in networks for v in getattr(n, kind)]
        normal = normal_form(formula, sum(v.size for v in inputs))
        return Specification(version, networks, formula, products, normal, _values(inputs), _values(observed))

    @property
    def inputs(self) -> tuple[Variable, ...]:
        """Of all networks, in the order of declaration."""
        return tuple(v for network in self.networks for v in network.inputs)

    @property
    def outputs(self) -> tuple[Variable, ...]:
        return tuple(v for network in self.networks for v in network.outputs)

    @property
    def hidden(self) -> tuple[Variable, ...]:
        return tuple(v for network in self.networks for v in network.hidden)

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The disjunction. Raises `BadQuery` where it is too large."""
        return cases_of(self.normal, self._layout)

    @cached_property
    def _layout(self) -> Layout:
        scalars = self.version == "1.0" and not self.bound
        return Layout.of(
            self.network_inputs, self.network_outputs, self.rounds_literals, scalars, self.products
        )

    @property
    def rounds_literals(self) -> bool:
        """Whether a decimal means its rounding to the element type (see the top of this file)."""
        return self.version == "1.0" or all(v.dtype != "real" for n in self.networks for v in n.variables)

    def bind(
        self, inputs: Iterable[Value], outputs: Iterable[Value], hidden: Iterable[Value] = ()
    ) -> Specification:
        """This specification over the networks' own tensors, those of all networks in order.

        Version 2: tensors and variables agree one by one, in shape and type (`real` with any float).
        Version 1: all inputs together have as many elements as there are X_i, the outputs as there are Y_i.
        Raises `BadQuery` with all differences.
        """
        network_inputs, network_outputs, inside = tuple(inputs), tuple(outputs), tuple(hidden)
        problems = [
            *self._differences("input", self.inputs, network_inputs),
            *self._differences("output", self.outputs, network_outputs),
            *(self._differences("hidden value", self.hidden, inside) if self.hidden or inside else ()),
        ]
        if problems:
            raise BadQuery("the query is about another network: " + "; ".join(problems))
        observed = network_outputs + inside
        return replace(self, network_inputs=network_inputs, network_outputs=observed, bound=True)

    def _differences(self, kind: str, declared: Sequence[Variable], present: Sequence[Value]) -> list[str]:
        here = ", ".join(f"'{v.name}' {formatted(v.shape)}" for v in present) or "none"
        unread = [f"{kind} '{v.name}' has type {v.dtype}" for v in present if v.dtype not in ELEMENT_TYPES]
        if self.version == "1.0":
            wanted, found = sum(v.size for v in declared), sum(math.prod(v.shape) for v in present)
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
                    f"{kind} {variable.name} is declared {formatted(variable.shape)}, "
                    f"the network's '{value.name}' is {formatted(value.shape)}"
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
        x = elements("input", self.network_inputs, inputs)
        y = elements("output", self.network_outputs, outputs)
        return satisfied(self.formula, self._layout, [v.item() for v in (*x, *y)])


def elements(kind: str, tensors: Sequence[Value], arrays: Mapping[str, Array]) -> list[np.generic]:
    """All elements in order, as numpy scalars of their own type."""
    elements: list[np.generic] = []
    for tensor in tensors:
        if tensor.name not in arrays:
            raise BadInput(f"no values for {kind} '{tensor.name}'; given are {', '.join(arrays) or 'none'}")
        array = np.asarray(arrays[tensor.name])
        if array.shape != tensor.shape:
            shapes = f"{formatted(array.shape)}, not {formatted(tensor.shape)}"
            raise BadInput(f"{kind} '{tensor.name}' has the shape {shapes}")
        if not np.all(np.isfinite(array)):
            raise BadInput(f"{kind} '{tensor.name}' has values that are NaN or infinite")
        elements.extend(array.reshape(-1))
    return elements


def _values(variables: Iterable[Variable]) -> tuple[Value, ...]:
    return tuple(Value(v.name, v.shape, v.dtype) for v in variables)
