"""A counterexample in the words of its query: values for the variables that the query declares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from parsers.query.variables import formatted
from parsers.specification import Specification, elements

Array = np.ndarray


def assignment(
    spec: Specification, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> dict[str, Array]:
    """The values of the query's own variables in their shapes, network by network, each network's inputs,
    hidden variables and outputs in the order of their declaration."""
    values = _assigned(spec, inputs, outputs)
    return {
        v.name: np.array(values[v.name], np.result_type(*{x.dtype for x in values[v.name]})).reshape(v.shape)
        for network in spec.networks
        for v in network.variables
    }


def format_assignment(spec: Specification, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> str:
    """What follows the line `sat`, without a final newline.

    Version 2, for each variable in that order: `name type [dimensions]`, then one value a line, row-major.
    Version 1, as the competition wants it: `((X_0 v)`, … , `(Y_0 v))`.
    A value has the fewest digits that parse back to the very same number as float64: whoever reads them in
    float64 or in the value's own type finds the point that was checked, not one next to it.
    """
    values = _assigned(spec, inputs, outputs)
    if spec.version == "1.0":
        pairs = [f"({name}_{i} {_digits(v)})" for name, own in values.items() for i, v in enumerate(own)]
        return "(" + "\n ".join(pairs) + ")"
    lines: list[str] = []
    for variable in (v for network in spec.networks for v in network.variables):
        lines.append(f"{variable.name} {variable.dtype} {formatted(variable.shape)}")
        lines.extend(_digits(v) for v in values[variable.name])
    return "\n".join(lines)


def _assigned(
    spec: Specification, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> dict[str, list[np.generic]]:
    found: dict[str, list[np.generic]] = {}
    for variables, values in (
        (spec.inputs, elements("input", spec.network_inputs, inputs)),
        ((*spec.outputs, *spec.hidden), elements("output", spec.network_outputs, outputs)),
    ):
        start = 0
        for variable in variables:
            found[variable.name] = values[start : start + variable.size]
            start += variable.size
    return found


def _digits(value: np.generic) -> str:
    if isinstance(value, np.floating):
        return np.format_float_positional(np.float64(value), unique=True, trim="0")
    return str(value)
