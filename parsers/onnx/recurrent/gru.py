"""GRU, https://onnx.ai/onnx/operators/onnx__GRU.html; gates are stacked in the order z, r, h."""

from __future__ import annotations

from collections.abc import Sequence

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Val
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op
from parsers.onnx.recurrent.layer import Weights, labelled, layer


@onnx_op("GRU", newest=22)
def gru(op: Call) -> tuple[Val, ...]:
    return layer(op, cell, 3, ("H",), ["Sigmoid", "Tanh"], "linear_before_reset")


def cell(b: Builder, Xt: Val, states: Sequence[Val], w: Weights) -> tuple[Val]:
    """One step. The blend is written σ(−a)·ht + σ(a)·Ht-1, the form that is bounded as one gate."""
    (Ht_1,) = states
    f, g = w.functions
    H = w.H

    # azr = Xt·Wzrᵀ + Ht-1·Rzrᵀ + Wbzr + Rbzr
    Wzr, Rzr = b.slice(w.W, 1, 0, 2 * H), b.slice(w.R, 1, 0, 2 * H)
    azr = w.bias(b, b.add(b.matmul(Xt, Wzr), b.matmul(Ht_1, Rzr)), 0, 2 * H)
    # zt = f(Xt·Wzᵀ + Ht-1·Rzᵀ + Wbz + Rbz)
    zt = labelled(b, f(b, w.clipped(b, w.gate(b, azr, 0))), "zt")
    # rt = f(Xt·Wrᵀ + Ht-1·Rrᵀ + Wbr + Rbr)
    rt = labelled(b, f(b, w.clipped(b, w.gate(b, azr, 1))), "rt")

    Wh, Rh = b.slice(w.W, 1, 2 * H, 3 * H), b.slice(w.R, 1, 2 * H, 3 * H)
    if w.flag:
        # ht = g(Xt·Whᵀ + rt ⊙ (Ht-1·Rhᵀ + Rbh) + Wbh)
        inner = b.matmul(Ht_1, Rh)
        inner = inner if w.Rb is None else b.add(inner, w.gate(b, w.Rb, 2))
        ah = b.add(b.matmul(Xt, Wh), b.mul(rt, inner))
        ah = ah if w.Wb is None else b.add(ah, w.gate(b, w.Wb, 2))
    else:
        # ht = g(Xt·Whᵀ + (rt ⊙ Ht-1)·Rhᵀ + Rbh + Wbh)
        ah = w.bias(b, b.add(b.matmul(Xt, Wh), b.matmul(b.mul(rt, Ht_1), Rh)), 2 * H, 3 * H)
    ht = labelled(b, g(b, w.clipped(b, ah)), "ht")
    # Ht = (1 − zt) ⊙ ht + zt ⊙ Ht-1
    return (b.add(b.mul(b.sub(b.number(1, zt), zt), ht), b.mul(zt, Ht_1)),)
