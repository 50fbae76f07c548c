"""Arrays of numpy or torch as values of a network's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from parsers.errors import BadInput
from parsers.onnx.file.dimensions import InputSpec
from verifier.robustness.dataset import placed, typed

Array = np.ndarray[Any, Any]
ArrayLike = Any  # what numpy makes an array of, or a torch tensor
Inputs = ArrayLike | Mapping[str, ArrayLike]


def array(value: ArrayLike) -> Array:
    """A numpy array; a torch tensor may need gradients and lie on a GPU."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def fed(specs: Sequence[InputSpec], given: Inputs, count: int | None) -> list[dict[str, Array]]:
    """Samples as the network takes them: every input in its own shape and type. `count` as in `each`."""
    samples = enumerate(each(specs, given, count))
    return [{spec.name: typed(spec, found[spec.name], k) for spec in specs} for k, found in samples]


def each(specs: Sequence[InputSpec], given: Inputs, count: int | None) -> list[dict[str, Array]]:
    """The arrays of `count` samples, name by name in the shapes of the inputs `specs`; None is one sample
    that is given without an axis of samples."""
    values = _by_name(specs, given)
    if count is None:
        return [{spec.name: placed(spec, array(values[spec.name])) for spec in specs}]
    for name, value in values.items():
        held = _length(value)
        if held != count:
            raise BadInput(f"'{name}' holds {held} samples; there are {count} in all else that is given")
    return [{spec.name: placed(spec, array(values[spec.name][k])) for spec in specs} for k in range(count)]


def count_of(specs: Sequence[InputSpec], given: Inputs) -> int | None:
    """How many samples `given` holds along an axis in front; None if it is one sample without that axis."""
    values = _by_name(specs, given)
    first = values[specs[0].name]
    try:
        placed(specs[0], array(first))
    except (BadInput, ValueError):  # numpy makes no array of a list of different lengths
        return _length(first)
    return None


def _length(value: ArrayLike) -> int:
    if isinstance(value, list | tuple):
        return len(cast("Sequence[ArrayLike]", value))
    shape = np.shape(value)
    return int(shape[0]) if shape else 1


def shapes_of(given: Inputs) -> str:
    """For printing."""
    if isinstance(given, Mapping):
        named = cast("Mapping[str, ArrayLike]", given)
        return ", ".join(f"{name} {shapes_of(value)}" for name, value in named.items())
    if isinstance(given, list | tuple):
        return f"{len(cast('Sequence[ArrayLike]', given))} arrays"
    return str(list(np.shape(given)))


def _by_name(specs: Sequence[InputSpec], given: Inputs) -> dict[str, ArrayLike]:
    """What is given for every one of the inputs `specs`."""
    names = ", ".join(f"'{spec.name}'" for spec in specs)
    if not isinstance(given, Mapping):
        if len(specs) == 1:
            return {specs[0].name: given}
        raise BadInput(f"the network's inputs are {names}: give a dict with an array for each")
    found = cast("Mapping[str, ArrayLike]", given)
    for name in found:
        if all(spec.name != name for spec in specs):
            raise BadInput(f"the network has no input '{name}'; its inputs are {names}")
    for spec in specs:
        if spec.name not in found:
            raise BadInput(f"no value for the network's input '{spec.name}'")
    return dict(found)
