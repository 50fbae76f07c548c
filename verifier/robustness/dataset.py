"""Labelled samples from a .npz file, checked against what the network takes.

`inputs` [N, …] holds one sample in each row, `labels` [N] their classes, `lengths` [N], if there, how many
time steps of each padded sample are real. A network with several inputs takes the others from arrays of
their names (one named `lengths` is fed instead of being used to cut). Nothing is ever unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parsers.errors import BadInput, Parameter
from parsers.onnx.file.dimensions import InputSpec, may_be_batch

Array = np.ndarray
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One labelled input: `inputs` name → array in the network's own shape and type; `index` in the file."""

    index: int
    label: int
    inputs: Mapping[str, Array]

    @property
    def shapes(self) -> dict[str, Shape]:
        """What `read_onnx` takes."""
        return {name: array.shape for name, array in self.inputs.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Samples in the order of the file. `perturbed` is the input that `inputs` feeds, the one that moves."""

    perturbed: str
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def groups(self) -> list[tuple[Sample, ...]]:
        return grouped(self.samples)

    def check_labels(self, classes: int) -> None:
        check_labels(self.samples, classes)


def check_labels(samples: Sequence[Sample], classes: int) -> None:
    """Raise `BadInput` unless every label is a class of a network with so many."""
    for sample in samples:
        if not 0 <= sample.label < classes:
            raise BadInput(
                f"label {sample.label} of sample {sample.index} is not one of the network's {classes} "
                f"classes, 0 to {classes - 1}"
            )


def grouped(samples: Sequence[Sample]) -> list[tuple[Sample, ...]]:
    """The samples by concrete shape: those of one shape can go through one graph together."""
    found: dict[tuple[Shape, ...], list[Sample]] = {}
    for sample in samples:
        found.setdefault(tuple(sample.shapes.values()), []).append(sample)
    return [tuple(members) for members in found.values()]


def stacked(samples: Sequence[Sample]) -> dict[str, Array]:
    """Inputs of samples of one shape, name → [k, *shape]."""
    return {name: np.stack([sample.inputs[name] for sample in samples]) for name in samples[0].inputs}


def load_dataset(path: str | Path, specs: Sequence[InputSpec], limit: int | None = None) -> Dataset:
    """Read and check the first `limit` samples for a network that declares the inputs `specs`.

    A sample has its input's shape, with or without the batch axis of size 1. Numbers are rounded to the
    input's own type: the network is asked about what it would be fed.
    Raises `BadInput` for everything that does not fit, naming the array and the sample.
    """
    arrays = _read(Path(path))
    for name in ("inputs", "labels"):
        if name not in arrays:
            raise BadInput(f"{path} has no array '{name}'; it holds {', '.join(arrays) or 'nothing'}")
    count = len(arrays["inputs"]) if arrays["inputs"].ndim else 0
    if count == 0:
        raise BadInput(f"'inputs' of {path} holds no samples")
    labels = _whole_numbers(arrays["labels"], "labels", count)
    cut = "lengths" in arrays and all(spec.name != "lengths" for spec in specs)
    lengths = _whole_numbers(arrays["lengths"], "lengths", count) if cut else None
    main, others = _feeds(specs, arrays)
    if limit is not None and limit < 1:
        raise BadInput(Parameter("limit", limit), " leaves no samples")
    kept = range(count if limit is None else min(limit, count))
    place = _Placement.of(main, arrays["inputs"].shape[1:], lengths)
    rest = {s.name: _Placement.of(s, arrays[s.name].shape[1:], None) for s in others}
    for spec in others:
        if len(arrays[spec.name]) != count:
            raise BadInput(f"'{spec.name}' holds {len(arrays[spec.name])} samples, 'inputs' {count}")
    samples = []
    for i in kept:
        length = None if lengths is None else int(lengths[i])
        fed = {main.name: place.sample(arrays["inputs"][i], i, length)}
        fed |= {name: placement.sample(arrays[name][i], i, None) for name, placement in rest.items()}
        samples.append(Sample(i, int(labels[i]), {spec.name: fed[spec.name] for spec in specs}))
    return Dataset(main.name, tuple(samples))


def _read(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise BadInput(f"{path} is a single array; save with numpy.savez(path, inputs=…, labels=…)")
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = "it holds Python objects, which are never loaded" if "pickle" in str(error) else str(error)
        raise BadInput(f"{path} is not a readable .npz file: {reason}") from error


def _whole_numbers(array: Array, name: str, count: int) -> Array:
    if array.shape != (count,):
        raise BadInput(
            f"'{name}' has shape {list(array.shape)}; it must have one entry for each of {count} samples"
        )
    if array.dtype.kind not in "iu":
        raise BadInput(f"'{name}' has type {array.dtype}; it must hold integers")
    return array


def _feeds(specs: Sequence[InputSpec], arrays: Mapping[str, Array]) -> tuple[InputSpec, list[InputSpec]]:
    """The input fed by `inputs`, and those fed by arrays of their own name."""
    left = [s for s in specs if s.name == "inputs" or s.name not in arrays]
    if len(left) != 1:
        names = ", ".join(f"'{s.name}'" for s in specs)
        raise BadInput(
            f"the network's inputs are {names}; 'inputs' feeds one of them, the others need arrays of their "
            f"name ({len(left)} have none)"
        )
    main = left[0]
    if np.dtype(main.dtype).kind != "f":
        raise BadInput(f"input '{main.name}' is {main.dtype}: only inputs of real numbers can be perturbed")
    return main, [s for s in specs if s is not main]


@dataclass(frozen=True, slots=True)
class _Placement:
    """How the samples of one array become values of one input."""

    spec: InputSpec
    insert: int | None  # where the batch axis is missing
    time: int | None  # the axis of the whole shape that `lengths` cuts

    @staticmethod
    def of(spec: InputSpec, shape: Shape, lengths: Array | None) -> _Placement:
        insert = _missing_axis(spec, shape)
        whole = shape if insert is None else (*shape[:insert], 1, *shape[insert:])
        time = None if lengths is None else _time_axis(spec, whole, lengths)
        return _Placement(spec, insert, time)

    def sample(self, array: Array, index: int, length: int | None) -> Array:
        if self.insert is not None:
            array = np.expand_dims(array, self.insert)
        if length is not None:
            padded = array.shape[self.time] if self.time is not None else length
            if not 1 <= length <= padded:
                raise BadInput(f"the length of sample {index} is {length}; it must be 1 to {padded}")
            if self.time is not None:
                array = np.take(array, range(length), axis=self.time)
        return typed(self.spec, array, index)


def placed(spec: InputSpec, array: Array) -> Array:
    """One sample's array with the batch axis of size 1 of input `spec`, put in where it lacks it."""
    insert = _missing_axis(spec, array.shape)
    return array if insert is None else np.expand_dims(array, insert)


def typed(spec: InputSpec, array: Array, index: int) -> Array:
    """The array of sample `index` in the type of input `spec`, rounded to it if it holds real numbers."""
    dtype = np.dtype(spec.dtype)
    if array.dtype.kind not in "fiub" or (dtype.kind != "f" and array.dtype.kind == "f"):
        raise BadInput(f"the data for input '{spec.name}' have type {array.dtype}; it takes {dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    if dtype.kind == "f" and not np.isfinite(cast).all():
        raise BadInput(f"sample {index} has values that are NaN, infinite or too large for {dtype}")
    if dtype.kind != "f" and not np.array_equal(cast, array):
        raise BadInput(f"sample {index} has values for input '{spec.name}' that {dtype} cannot hold")
    return cast


def _missing_axis(spec: InputSpec, shape: Shape) -> int | None:
    """Where samples of `shape` lack the batch axis, None if they have it; `BadInput` if neither fits."""
    if _fits(spec, shape):
        return None
    fitting = []
    for axis in range(len(spec.dims)):
        is_one = spec.dims[axis] == 1 or (axis in spec.free and may_be_batch(spec, axis))
        if is_one and len(shape) == len(spec.dims) - 1 and _fits(spec, (*shape[:axis], 1, *shape[axis:])):
            fitting.append(axis)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise BadInput(
            f"samples of shape {list(shape)} may lack any of several axes of input {spec}; give them in full"
        )
    raise BadInput(f"samples of shape {list(shape)} do not fit input {spec} with a batch of one")


def _fits(spec: InputSpec, shape: Shape) -> bool:
    if len(shape) != len(spec.dims):
        return False
    for axis, (size, dim) in enumerate(zip(shape, spec.dims, strict=True)):
        wanted = dim if isinstance(dim, int) else 1 if may_be_batch(spec, axis) else size
        if size != wanted:
            return False
    return True


def _time_axis(spec: InputSpec, shape: Shape, lengths: Array) -> int | None:
    free = [axis for axis in spec.free if not may_be_batch(spec, axis)]
    if len(free) == 1:
        return free[0]
    if not free and all(int(n) in shape for n in np.unique(lengths)) and len(np.unique(lengths)) == 1:
        return None  # every sample is as long as the network wants it
    if not free:
        raise BadInput(
            f"'lengths' cuts samples to their own length, but input {spec} has no free time dimension"
        )
    raise BadInput(f"'lengths' cannot tell which of the free dimensions of input {spec} is time")
