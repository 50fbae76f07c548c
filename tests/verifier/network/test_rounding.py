"""The model of float32 covers what onnxruntime computes, for every gate that is matched as a pattern."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from relaxations import GATES
from relaxations.gate import Float32Error, register
from relaxations.rounding import gamma
from verifier.network import rounding
from verifier.network.patterns import Symbol, patterns
from verifier.network.rounding import FLOAT32_UNIT, deployed_error

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
    model = GATES[op].error
    assert isinstance(model, Float32Error)
    assert model.absolute / 10 < error <= model.absolute


def test_errors_of_operands_come_in() -> None:
    """tanh(x + y) errs by what x + y does and tanh does."""
    total = Symbol("add", (Symbol("", operand=0), Symbol("", operand=1)))
    _, inner = rounding._error(total, [torch.ones(())] * 2)  # pyright: ignore[reportPrivateUsage]
    for op in ("sigmoid", "tanh"):
        _, outer = rounding._error(Symbol(op, (total,)), [torch.ones(())] * 2)  # pyright: ignore[reportPrivateUsage]
        _, alone = rounding._error(Symbol(op, total.children[:1]), [torch.ones(())])  # pyright: ignore[reportPrivateUsage]
        assert float(outer) >= float(inner) + float(alone) - 1e-12


def test_a_gate_without_an_error_model_is_refused() -> None:
    gate = dataclasses.replace(GATES["tanh"], name="other", error=None)
    with pytest.raises(ValueError, match="no error model"):
        register(gate)
    assert "other" not in GATES


def test_a_gate_composed_of_what_has_no_error_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = Symbol("exp", (Symbol("", operand=0),))
    monkeypatch.setattr(rounding, "patterns", lambda: [("sigmoid_product", strange)])
    with pytest.raises(TypeError, match="'exp', which has no error model"):
        rounding._expressions.__wrapped__()  # pyright: ignore[reportPrivateUsage]


def test_gamma_refuses_what_leaves_no_digit() -> None:
    assert gamma(10, FLOAT32_UNIT) == pytest.approx(10 * FLOAT32_UNIT, rel=1e-5)
    with pytest.raises(ValueError, match="correct digit"):
        gamma(1e9, FLOAT32_UNIT)
