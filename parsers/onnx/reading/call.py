"""`Call`: one ONNX node as its reader sees it, with a record of what the reader looked at."""

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import TypeVar

import numpy as np
import onnx

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Any, Const, Sequence, Sym, Val, tensor
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.scope import Scope

T = TypeVar("T", int, float, str, list[int], list[float], list[str])


class Call:
    """Inputs, attributes and surroundings of one node.

    `b` writes the graph; `opset` is the version of the node's domain that the model imports;
    `outputs` the number of outputs the node lists; `scope` gives access to the enclosing graph for subgraphs.
    """

    def __init__(self, node: onnx.NodeProto, inputs: Items[Any | None], opset: int, scope: Scope) -> None:
        self.node = node
        self.opset = opset
        self.scope = scope
        self.outputs = len(node.output)
        self._inputs = list(inputs)
        self._attributes = {a.name: a for a in node.attribute}
        self._read_inputs: set[int] = set()
        self._read_attributes: set[str] = set()

    @property
    def b(self) -> Builder:
        return self.scope.builder

    def note(self, text: str) -> None:
        self.scope.reading.note(text)

    def wants(self, output: int) -> bool:
        """Is this output named at all?"""
        return output < self.outputs and self.node.output[output] != ""

    # --- inputs -------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._inputs)

    def any(self, k: int) -> Any | None:
        """Input `k` as it is: a tensor, a sequence, or None where absent."""
        self._read_inputs.add(k)
        return self._inputs[k] if k < len(self._inputs) else None

    def get(self, k: int) -> Val | None:
        """Input `k`, a tensor, or None where absent."""
        value = self.any(k)
        if value is not None and not isinstance(value, Const | Sym):
            raise Unsupported(f"input {k} is not a tensor", "")
        return value

    def __getitem__(self, k: int) -> Val:
        value = self.get(k)
        if value is None:
            raise Unsupported(f"input {k} is missing", "the model is not valid ONNX")
        return value

    def tensors(self) -> list[Val]:
        """All inputs of a variadic operator."""
        return [self[k] for k in range(len(self._inputs))]

    def sequence(self, k: int) -> Sequence:
        value = self.any(k)
        if not isinstance(value, Sequence):
            raise Unsupported(f"input {k} is not a sequence", "")
        return value

    def known(self, k: int, what: str) -> np.ndarray:
        """Numbers of input `k`, which must not depend on the network's inputs."""
        value = self[k]
        if not isinstance(value, Const):
            raise Unsupported(
                f"{what} depends on the network's inputs",
                "only a constant can be read; fix that input to a value",
            )
        return value.array

    def integers(self, k: int, what: str) -> list[int]:
        return [int(n) for n in self.known(k, what).reshape(-1)]

    # --- attributes ---------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        return name in self._attributes

    def attribute(self, name: str) -> onnx.AttributeProto | None:
        self._read_attributes.add(name)
        return self._attributes.get(name)

    def get_attr(self, name: str, default: T) -> T:
        """Attribute `name`, of the type of `default`, or `default` where absent."""
        proto = self.attribute(name)
        return default if proto is None else _value(proto, type(default))

    def require(self, name: str, kind: type[T]) -> T:
        proto = self.attribute(name)
        if proto is None:
            raise Unsupported(f"attribute '{name}' is missing", "the model is not valid ONNX")
        return _value(proto, kind)

    def tensor(self, name: str) -> Const | None:
        proto = self.attribute(name)
        return None if proto is None else tensor(proto.t, self.scope.reading.folder)

    def subgraph(self, name: str) -> onnx.GraphProto:
        proto = self.attribute(name)
        if proto is None or proto.type != onnx.AttributeProto.GRAPH:
            raise Unsupported(f"attribute '{name}' is missing", "the model is not valid ONNX")
        return proto.g

    def axis(self, axis: int, rank: int) -> int:
        """`axis` counted from the front."""
        if not -rank <= axis < rank:
            raise Unsupported(
                f"axis {axis} is outside a tensor of rank {rank}", "the model is not valid ONNX"
            )
        return axis % rank if rank else 0

    def check_all_read(self) -> None:
        """Refuse what the reader did not look at."""
        unread = [a.name for a in self.node.attribute if a.name not in self._read_attributes]
        if unread:
            raise Unsupported(
                f"attribute {', '.join(map(repr, unread))} is not read here", "export without it"
            )
        ignored = [k for k, v in enumerate(self._inputs) if v is not None and k not in self._read_inputs]
        if ignored:
            raise Unsupported(f"input {ignored[0]} ('{self.node.input[ignored[0]]}') is not read here", "")


def _value(proto: onnx.AttributeProto, kind: type[T]) -> T:
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        value = value.decode()
    elif not isinstance(value, int | float | str):
        value = [v.decode() if isinstance(v, bytes) else v for v in value]
    if not isinstance(value, kind):
        raise Unsupported(f"attribute '{proto.name}' has the wrong type", "the model is not valid ONNX")
    return value
