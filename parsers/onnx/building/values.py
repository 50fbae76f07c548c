"""What the reader knows about an ONNX value: either its numbers (`Const`) or only its shape (`Sym`).

Whether an operator is a constant, shape arithmetic or part of the network is decided by this alone,
never by the operator's name. Numbers are held as reals: floating types as float64, integers as int64,
with the file's element type beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx

from parsers.ir import Value
from parsers.onnx.problems import Unsupported

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Const:
    """A value whose numbers are known while reading."""

    array: np.ndarray
    dtype: str

    @property
    def shape(self) -> Shape:
        return self.array.shape


class Owner(Protocol):
    """A graph under construction, as far as a value needs to know the one that it belongs to."""

    @property
    def values(self) -> Mapping[str, Value]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Sym:
    """A value that depends on the network's inputs: `name` in the graph that `owner` builds."""

    name: str
    shape: Shape
    dtype: str
    owner: Owner


Val = Const | Sym


@dataclass(frozen=True, slots=True)
class Sequence:
    """An ONNX sequence of known length (TensorArrays, SplitToSequence)."""

    items: tuple[Val, ...]


@dataclass(frozen=True, slots=True)
class Poison:
    """The output of a node that could not be read; keeps later messages to their own causes."""


Any = Const | Sym | Sequence | Poison


def is_float(dtype: str) -> bool:
    return "float" in dtype


def constant(array: np.ndarray | float | int | bool, dtype: str | None = None) -> Const:
    """Wrap numbers, exactly: every float as float64, every integer as int64."""
    array = np.asarray(array)
    dtype = dtype or array.dtype.name
    if dtype == "bool" or array.dtype == np.bool_:
        return Const(array.astype(np.bool_), "bool")
    if is_float(dtype):
        return Const(array.astype(np.float64), dtype)
    if np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating):
        return Const(array.astype(np.int64), dtype)
    raise Unsupported(f"a constant of type {dtype}", "only real numbers, integers and booleans are read")


def tensor(proto: onnx.TensorProto, folder: str) -> Const:
    """An initializer or a tensor attribute."""
    dtype = dtype_name(proto.data_type)
    try:
        array = onnx.numpy_helper.to_array(proto, folder)
    except (ValueError, TypeError, OverflowError) as error:
        raise Unsupported(
            f"the data of '{proto.name}' do not fit its shape ({error})", "export again"
        ) from error
    return constant(array, dtype)


def dtype_name(elem_type: int) -> str:
    """`1` → `float32`: the numpy name of an ONNX element type."""
    if elem_type == onnx.TensorProto.STRING:
        raise Unsupported("a tensor of strings", "strings have no place in a verified network")
    if elem_type not in onnx.TensorProto.DataType.values() or elem_type == onnx.TensorProto.UNDEFINED:
        raise Unsupported(f"element type {elem_type}", "it is not an ONNX element type")
    return onnx.helper.tensor_dtype_to_np_dtype(elem_type).name
