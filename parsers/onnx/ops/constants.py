"""Constants and shape arithmetic: values that are known while reading."""

from __future__ import annotations

import numpy as np
import onnx

from parsers.onnx.building.values import Any, Const, Sequence, Sym, Val, constant, dtype_name, is_float
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op


@onnx_op("Constant", newest=25)
def constant_(op: Call) -> Val:
    given = op.tensor("value")
    if given is not None:
        return given
    if op.has("value_float") or op.has("value_floats"):
        many = op.get_attr("value_floats", [0.0])
        return constant(
            np.asarray(op.get_attr("value_float", 0.0) if op.has("value_float") else many), "float32"
        )
    if op.has("value_int") or op.has("value_ints"):
        many = op.get_attr("value_ints", [0])
        return constant(np.asarray(op.get_attr("value_int", 0) if op.has("value_int") else many), "int64")
    raise Unsupported("a sparse or string constant", "export dense numbers")


@onnx_op("Identity", newest=25)
def identity(op: Call) -> Any:
    value = op.any(0)
    if value is None:
        raise Unsupported("input 0 is missing", "the model is not valid ONNX")
    return value


@onnx_op("Shape", newest=25)
def shape(op: Call) -> Val:
    dims = np.asarray(op[0].shape, dtype=np.int64)
    start, end = op.get_attr("start", 0), op.get_attr("end", len(dims))
    return constant(dims[slice(start, end)], "int64")


@onnx_op("Size", newest=25)
def size(op: Call) -> Val:
    return constant(np.asarray(int(np.prod(op[0].shape))), "int64")


@onnx_op("ConstantOfShape", newest=25)
def constant_of_shape(op: Call) -> Val:
    dims = op.integers(0, "the shape")
    value = op.tensor("value") or constant(np.zeros(1), "float32")
    return constant(np.full(dims, value.array.reshape(-1)[0]), value.dtype)


@onnx_op("Range", newest=27)
def range_(op: Call) -> Val:
    start, limit, delta = (op.known(k, "the range").reshape(-1)[0] for k in range(3))
    return constant(np.arange(start, limit, delta), op[0].dtype)


@onnx_op("EyeLike", newest=22)
def eye_like(op: Call) -> Val:
    rows, columns = op[0].shape
    code = op.get_attr("dtype", 0)
    dtype = dtype_name(code) if code else op[0].dtype
    return constant(np.eye(rows, columns, op.get_attr("k", 0)), dtype)


@onnx_op("NonZero", newest=13)
def non_zero(op: Call) -> Val:
    return constant(np.asarray(np.nonzero(op.known(0, "which entries are non-zero"))), "int64")


@onnx_op("Cast", newest=28)
def cast(op: Call) -> Val:
    if op.has("saturate"):
        op.get_attr("saturate", 1)  # speaks of float8 only, which `convert` refuses
    if op.has("round_mode"):
        op.get_attr("round_mode", "up")  # likewise
    return convert(op, op[0], dtype_name(op.require("to", int)))


@onnx_op("CastLike", newest=25)
def cast_like(op: Call) -> Val:
    if op.has("saturate"):
        op.get_attr("saturate", 1)
    if op.has("round_mode"):
        op.get_attr("round_mode", "up")
    return convert(op, op[0], op[1].dtype)


def convert(op: Call, x: Val, dtype: str) -> Val:
    """`x` as another element type, over the reals: only a rounding to integers changes numbers."""
    if "float8" in dtype or "float4" in dtype:
        raise Unsupported(
            f"a cast to {dtype} rounds too coarsely to be treated as exact", "export in float32"
        )
    if is_float(dtype) and is_float(x.dtype) and dtype in ("float16", "bfloat16"):
        op.note(f"casts to {dtype} are read as exact; the file as it runs rounds there")
    if isinstance(x, Const):
        if dtype == "bool":
            return constant(x.array != 0, "bool")
        if is_float(dtype):
            return constant(x.array.astype(np.float64), dtype)
        return constant(
            np.trunc(x.array.astype(np.float64)).astype(np.int64) if is_float(x.dtype) else x.array, dtype
        )
    if dtype == "bool" and x.dtype != "bool":
        return op.b.sub(op.b.number(1, x), op.b.emit("equal", x, op.b.number(0, x), dtype=dtype))
    if is_float(x.dtype) and not is_float(dtype) and dtype != "bool":
        return _rounded(op, x, dtype)
    return Sym(x.name, x.shape, dtype, x.owner)


def _rounded(op: Call, x: Val, dtype: str) -> Val:
    """Towards zero. What a cast does with numbers that the type does not hold is not defined."""
    if not dtype.startswith("int"):
        raise Unsupported(
            f"a cast of a computed {x.dtype} to {dtype}", "of integer types only the signed ones are read"
        )
    return op.b.emit("trunc", x, dtype=dtype, limit=float(2 ** (int(dtype[3:]) - 1) - 1))


@onnx_op("SequenceConstruct", newest=11)
def sequence_construct(op: Call) -> Sequence:
    return Sequence(tuple(op.tensors()))


@onnx_op("SequenceEmpty", newest=11)
def sequence_empty(op: Call) -> Sequence:
    op.get_attr("dtype", int(onnx.TensorProto.FLOAT))
    return Sequence(())


@onnx_op("SequenceAt", newest=11)
def sequence_at(op: Call) -> Val:
    return op.sequence(0).items[int(op.known(1, "the position").reshape(()))]


@onnx_op("SequenceLength", newest=11)
def sequence_length(op: Call) -> Val:
    return constant(np.asarray(len(op.sequence(0).items)), "int64")


@onnx_op("SequenceInsert", newest=11)
def sequence_insert(op: Call) -> Sequence:
    items = list(op.sequence(0).items)
    where = len(items) if op.get(2) is None else int(op.known(2, "the position").reshape(()))
    items.insert(where + len(items) if where < 0 else where, op[1])
    return Sequence(tuple(items))


@onnx_op("SequenceErase", newest=11)
def sequence_erase(op: Call) -> Sequence:
    items = list(op.sequence(0).items)
    del items[-1 if op.get(1) is None else int(op.known(1, "the position").reshape(()))]
    return Sequence(tuple(items))
