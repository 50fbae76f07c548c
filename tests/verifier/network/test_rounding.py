"""The model of float32 covers what onnxruntime computes, for every gate that is matched as a pattern."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from relaxations import GATES
from relaxations.rounding import gamma
from verifier.network.patterns import Symbol, patterns
from verifier.network.rounding import DEPLOYED_ERROR, FLOAT32_UNIT, deployed_error

_ONNX = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "softsign": "Softsign",
    "neg": "Neg",
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "reciprocal": "Reciprocal",
}


def _session(nodes: list, output: str, arity: int) -> onnxruntime.InferenceSession:
    infos = [helper.make_tensor_value_info(f"p{k}", TensorProto.FLOAT, ["n"]) for k in range(arity)]
    out = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n"])]
    model = helper.make_model(
        helper.make_graph(nodes, "gate", infos, out),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _write(symbol: Symbol, nodes: list) -> str:
    if symbol.operand >= 0:
        return f"p{symbol.operand}"
    inputs = [_write(child, nodes) for child in symbol.children]
    name = f"v{len(nodes)}"
    nodes.append(helper.make_node(_ONNX[symbol.op], inputs, [name]))
    return name


@pytest.mark.parametrize("gate", [name for name, _ in patterns()])
def test_a_pattern_in_float32_stays_within_its_error(gate: str) -> None:
    expression = dict(patterns())[gate]
    arity = GATES[gate].arity
    rng = np.random.default_rng(0)
    operands = [
        (rng.normal(size=200_000) * 10.0 ** rng.uniform(-3, 2, 200_000)).astype(np.float32)
        for _ in range(arity)
    ]
    nodes: list = []
    output = _write(expression, nodes)
    forms = [(nodes, output)]
    if gate == "reciprocal_product":  # as it is read from a file's division too
        forms.append(([helper.make_node("Div", ["p1", "p0"], ["quotient"])], "quotient"))
    exact = [torch.as_tensor(p, dtype=torch.float64) for p in operands]
    truth = GATES[gate].function(*exact)
    allowed = deployed_error(gate, [p.abs() for p in exact], truth.abs())
    for form in forms:
        found = _session(*form, arity).run(None, {f"p{k}": p for k, p in enumerate(operands)})[0]
        difference = (torch.as_tensor(found, dtype=torch.float64) - truth).abs()
        assert bool((difference <= allowed).all()), float((difference - allowed).max())


@pytest.mark.parametrize("op", ["sigmoid", "tanh"])
def test_the_measured_errors_are_upper_bounds(op: str) -> None:
    x = np.linspace(-20, 20, 4_000_001).astype(np.float32)
    found = _session([helper.make_node(_ONNX[op], ["p0"], ["y"])], "y", 1).run(None, {"p0": x})[0]
    truth = GATES[op].function(torch.as_tensor(x, dtype=torch.float64))
    error = float((torch.as_tensor(found, dtype=torch.float64) - truth).abs().max())
    assert DEPLOYED_ERROR[op] / 10 < error <= DEPLOYED_ERROR[op]


def test_gamma_refuses_what_leaves_no_digit() -> None:
    assert gamma(10, FLOAT32_UNIT) == pytest.approx(10 * FLOAT32_UNIT, rel=1e-5)
    with pytest.raises(ValueError, match="correct digit"):
        gamma(1e9, FLOAT32_UNIT)
