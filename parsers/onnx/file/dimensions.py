"""Bind the free dimensions of a model's inputs to numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import onnx

from parsers.errors import BadInput, Parameter, UnboundDimension
from parsers.onnx.building.values import Shape, dtype_name
from parsers.onnx.problems import Unsupported

Dimension = int | str | None  # a number, a name, or nothing at all
Bindings = Mapping[str, Sequence[int] | int]

EXAMPLE = 20  # the size of a free dimension in what a message proposes


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input as the file declares it."""

    name: str
    dtype: str
    dims: tuple[Dimension, ...]

    @property
    def free(self) -> list[int]:
        return [k for k, d in enumerate(self.dims) if not isinstance(d, int)]

    def __str__(self) -> str:
        return f"'{self.name}' [{', '.join('?' if d is None else str(d) for d in self.dims)}]"


@dataclass(frozen=True, slots=True)
class Binding:
    """Concrete shapes by input, and the axes of inputs that were taken to be the batch, of size 1."""

    shapes: dict[str, Shape]
    assumed_batch: dict[str, int]


def declared(model: onnx.ModelProto) -> list[InputSpec]:
    """The model's inputs; initializers listed among the inputs (an old habit) are not inputs."""
    weights = {t.name for t in model.graph.initializer}
    specs = []
    for value in model.graph.input:
        if value.name in weights:
            continue
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            raise BadInput(
                f"input '{value.name}' is of type {(kind or 'nothing').removesuffix('_type')}, not a tensor;"
                " only tensors can be fed"
            )
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            raise UnboundDimension(
                f"input '{value.name}' has no declared rank; write its shape into the model"
            )
        dims = tuple(_dimension(d) for d in tensor.shape.dim)
        try:
            dtype = dtype_name(tensor.elem_type)
        except Unsupported as problem:
            raise BadInput(f"input '{value.name}' is {problem}") from problem
        specs.append(InputSpec(value.name, dtype, dims))
    return specs


def _dimension(dim: onnx.TensorShapeProto.Dimension) -> Dimension:
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return dim.dim_param or None


def bind(specs: Sequence[InputSpec], bindings: Bindings | None) -> Binding:
    """Shapes of all inputs from `bindings`: whole shapes by input name, or sizes by dimension name.

    A free leading axis that must be the batch becomes 1. Raises `UnboundDimension` for what stays free,
    `BadInput` for a binding that fits nothing.
    """
    given = dict(bindings or {})
    sizes: dict[str, int] = {}
    for key in [k for k, v in given.items() if isinstance(v, Integral)]:
        sizes[key] = int(str(given.pop(key)))
        if sizes[key] < 1:
            raise BadInput(f"dimension '{key}' cannot have size {sizes[key]}")
    known = {d for s in specs for d in s.dims if isinstance(d, str)}
    unknown = (set(sizes) - known) | (set(given) - {s.name for s in specs})
    if unknown:
        options = [f"input {s}" for s in specs]
        raise BadInput(f"nothing in the model is called {sorted(unknown)}; it has {', '.join(options)}")
    for spec in specs:
        if spec.name in given:
            _take_shape(spec, given[spec.name], sizes)
    shapes: dict[str, Shape] = {}
    assumed: dict[str, int] = {}
    for spec in specs:
        shape = _shape(spec, given.get(spec.name), sizes, assumed)
        shapes[spec.name] = shape
    return Binding(shapes, assumed)


def _take_shape(spec: InputSpec, shape: Sequence[int] | int, sizes: dict[str, int]) -> None:
    shape = tuple(int(n) for n in shape) if not isinstance(shape, int) else (shape,)
    fits = len(shape) == len(spec.dims) and all(
        n == d or (not isinstance(d, int) and n > 0) for n, d in zip(shape, spec.dims, strict=True)
    )
    if not fits:
        raise BadInput(f"shape {list(shape)} does not fit input {spec}")
    for n, d in zip(shape, spec.dims, strict=True):
        if isinstance(d, str) and sizes.setdefault(d, n) != n:
            raise BadInput(f"dimension '{d}' of input {spec} is bound to {sizes[d]} and to {n}")


def _shape(
    spec: InputSpec,
    given: Sequence[int] | int | None,
    sizes: Mapping[str, int],
    assumed: dict[str, int],
) -> Shape:
    if given is not None:
        return tuple(int(n) for n in given) if not isinstance(given, int) else (given,)
    shape = []
    for k, d in enumerate(spec.dims):
        if isinstance(d, int):
            shape.append(d)
        elif d is not None and d in sizes:
            shape.append(sizes[d])
        elif may_be_batch(spec, k):
            assumed[spec.name] = k
            shape.append(1)
        else:
            name = f"'{d}'" if d else "without a name"
            raise UnboundDimension(
                f"axis {k} ({name}) of input {spec} is free; give its size, e.g. ",
                Parameter("shapes", {d: EXAMPLE} if d else {spec.name: example_shape(spec)}),
                ", or data of that shape",
            )
    return tuple(shape)


def example_shape(spec: InputSpec) -> tuple[int, ...]:
    """A shape that the input can have, for messages."""
    return tuple(
        d if isinstance(d, int) else 1 if may_be_batch(spec, k) else EXAMPLE for k, d in enumerate(spec.dims)
    )


def may_be_batch(spec: InputSpec, axis: int) -> bool:
    """Can axis `axis` be the batch? By its name; or, nameless, as the only free axis and the first one."""
    d = spec.dims[axis]
    if d is not None and is_batch_name(d):
        return True
    machine_made = d is None or str(d).startswith("unk__")
    return (
        machine_made
        and axis == 0
        and len(spec.dims) > 1
        and not any(isinstance(e, str) and is_batch_name(e) for e in spec.dims)
    )


def is_batch_name(dim: Dimension) -> bool:
    name = str(dim).lower()
    return name in ("b", "n") or "batch" in name
