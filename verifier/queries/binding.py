"""What a query says of its networks' types and of their inputs' sizes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from parsers.errors import BadQuery
from parsers.onnx.file.dimensions import Bindings, InputSpec, may_be_batch
from parsers.specification import Specification, Variable
from verifier.network.coverage import COVERED_FLOATS


def check_types(specification: Specification) -> None:
    """Refuse a query about arithmetic that proofs do not cover; integers and `real` need none."""
    for v in (v for network in specification.networks for v in network.variables):
        if "float" in v.dtype and v.dtype not in COVERED_FLOATS:
            raise BadQuery(
                f"{v.name} is declared {v.dtype}, whose rounding proofs do not cover; declare it `real`"
                " to ask about the network over the real numbers"
            )


def bindings(version: str, variables: Sequence[Variable], inputs: Sequence[InputSpec]) -> Bindings:
    """The shapes that a query of `version` with these input `variables` gives to a model's inputs.

    Version 2 declares them. Version 1 only counts elements, which leaves room for one free dimension that is
    not the batch. What does not fit is left for `Specification.bind` to explain.
    """
    if version != "1.0":
        pairs = zip(inputs, variables, strict=False)
        return {i.name: v.shape for i, v in pairs if len(i.dims) == len(v.shape) and _agree(i, v.shape)}
    free = {
        dim
        for i in inputs
        for axis, dim in enumerate(i.dims)
        if isinstance(dim, str) and not may_be_batch(i, axis)
    }
    if len(free) != 1:
        return {}
    (name,) = free
    wanted = sum(v.size for v in variables)
    per_unit = sum(prod(d for d in i.dims if isinstance(d, int)) for i in inputs if name in i.dims)
    fixed = sum(prod(d for d in i.dims if isinstance(d, int)) for i in inputs if name not in i.dims)
    linear = all(i.dims.count(name) <= 1 for i in inputs)
    size, rest = divmod(wanted - fixed, per_unit)
    return {name: size} if linear and size > 0 and not rest else {}


def _agree(spec: InputSpec, shape: Sequence[int]) -> bool:
    return all(not isinstance(dim, int) or dim == n for dim, n in zip(spec.dims, shape, strict=True))
