"""LSTM, https://onnx.ai/onnx/operators/onnx__LSTM.html; gates are stacked in the order i, o, f, c."""

from __future__ import annotations

from collections.abc import Sequence

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Val
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op
from parsers.onnx.recurrent.layer import Weights, labelled, layer


@onnx_op("LSTM", newest=22)
def lstm(op: Call) -> tuple[Val, ...]:
    return layer(op, cell, 4, ("H", "C"), ["Sigmoid", "Tanh", "Tanh"], "input_forget")


def cell(b: Builder, Xt: Val, states: Sequence[Val], w: Weights) -> tuple[Val, Val]:
    """One step. `clip` limits the inputs of f and g; it does not touch h(Ct)."""
    Ht_1, Ct_1 = states
    f, g, h = w.functions

    def peephole(a: Val, k: int, C: Val) -> Val:
        """a + P_k ⊙ C"""
        return a if w.P is None else b.add(a, b.mul(C, b.slice(w.P, 0, k * w.H, (k + 1) * w.H)))

    # a = Xt·Wᵀ + Ht-1·Rᵀ + Wb + Rb
    a = w.bias(b, b.add(b.matmul(Xt, w.W), b.matmul(Ht_1, w.R)))
    ai, ao, af, ac = (w.gate(b, a, k) for k in range(4))

    # it = f(Xt·Wiᵀ + Ht-1·Riᵀ + Pi ⊙ Ct-1 + Wbi + Rbi)
    it = labelled(b, f(b, w.clipped(b, peephole(ai, 0, Ct_1))), "it")
    # ft = f(Xt·Wfᵀ + Ht-1·Rfᵀ + Pf ⊙ Ct-1 + Wbf + Rbf), or 1 − it with input_forget
    ft = b.sub(b.number(1, it), it) if w.flag else f(b, w.clipped(b, peephole(af, 2, Ct_1)))
    labelled(b, ft, "ft")
    # ct = g(Xt·Wcᵀ + Ht-1·Rcᵀ + Wbc + Rbc)
    ct = labelled(b, g(b, w.clipped(b, ac)), "ct")
    # Ct = ft ⊙ Ct-1 + it ⊙ ct
    Ct = b.add(b.mul(ft, Ct_1), b.mul(it, ct))
    # ot = f(Xt·Woᵀ + Ht-1·Roᵀ + Po ⊙ Ct + Wbo + Rbo)
    ot = labelled(b, f(b, w.clipped(b, peephole(ao, 1, Ct))), "ot")
    # Ht = ot ⊙ h(Ct)
    return b.mul(ot, h(b, Ct)), Ct
