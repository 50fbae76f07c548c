"""Where a query's elements lie in the network's tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parsers.ir import Value
from parsers.query.polynomial import Monomial

PRODUCTS = "·products"  # the tensor of all products; no ONNX file and no query has such a name


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Element numbers run through the inputs and then the outputs, tensor after tensor, row-major.

    `types` are the element types of the inputs, each once, and `type_of[i]` is the place in `types` of input
    element i. `floats` are the float types in sight: what a constant that compares tensors may be rounded to.
    Behind the outputs come the `products` of elements, real numbers that no tensor of the network holds.
    `rounds` tells whether decimals mean their rounding to the element type, `scalars` whether the query has a
    variable for each element.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    starts: tuple[int, ...]
    types: tuple[np.dtype, ...]
    type_of: np.ndarray
    floats: tuple[np.dtype, ...]
    rounds: bool
    scalars: bool
    products: tuple[Monomial, ...] = ()

    @staticmethod
    def of(
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        rounds: bool,
        scalars: bool,
        products: tuple[Monomial, ...] = (),
    ) -> Layout:
        tensors = (*inputs, *outputs)
        sizes = [math.prod(v.shape) for v in tensors]
        dtypes = [np.dtype("float32" if v.dtype == "real" else v.dtype) for v in tensors]
        types = tuple(dict.fromkeys(dtypes[: len(inputs)]))
        places = np.array([types.index(t) for t in dtypes[: len(inputs)]], np.intp)
        return Layout(
            tuple(inputs),
            (*outputs, Value(PRODUCTS, (len(products),), "real")) if products else tuple(outputs),
            (0, *np.cumsum(sizes).tolist()),
            types,
            np.repeat(places, sizes[: len(inputs)]),
            tuple(dict.fromkeys(t for t in dtypes if t.kind == "f")),
            rounds,
            scalars,
            products,
        )

    @property
    def tensors(self) -> tuple[Value, ...]:
        return self.inputs + self.outputs

    @property
    def input_size(self) -> int:
        return self.starts[len(self.inputs)]

    def type(self, element: int) -> np.dtype:
        """The type of an input element."""
        return self.types[int(self.type_of[element])]

    def place(self, element: int) -> tuple[Value, int]:
        """The tensor of an element, and the element's row-major offset in it."""
        at = int(np.searchsorted(self.starts, element, side="right")) - 1
        return self.tensors[at], element - self.starts[at]

    def name(self, element: int) -> str:
        """`tensor[i,j]` or `X_0`, for messages."""
        tensor, offset = self.place(element)
        if self.scalars:
            return f"{tensor.name}_{offset}"
        if not tensor.shape:
            return tensor.name
        return f"{tensor.name}[{','.join(str(int(i)) for i in np.unravel_index(offset, tensor.shape))}]"
