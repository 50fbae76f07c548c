"""RNN, https://onnx.ai/onnx/operators/onnx__RNN.html: one gate."""

from __future__ import annotations

from collections.abc import Sequence

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Val
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op
from parsers.onnx.recurrent.layer import Weights, layer


@onnx_op("RNN", newest=22)
def rnn(op: Call) -> tuple[Val, ...]:
    return layer(op, cell, 1, ("H",), ["Tanh"], "")


def cell(b: Builder, Xt: Val, states: Sequence[Val], w: Weights) -> tuple[Val]:
    (Ht_1,) = states
    (f,) = w.functions
    # Ht = f(Xt·Wiᵀ + Ht-1·Riᵀ + Wbi + Rbi)
    return (f(b, w.clipped(b, w.bias(b, b.add(b.matmul(Xt, w.W), b.matmul(Ht_1, w.R))))),)
