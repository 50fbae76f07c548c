"""LSTM, GRU and RNN against an oracle of their own, through every attribute of the standard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parsers import evaluate_numpy, read_onnx
from parsers.errors import UnsupportedModel
from tests.support.onnx_files import recurrent_oracle as oracle
from tests.support.onnx_files.small_models import recurrent

OPS = ("LSTM", "GRU", "RNN")
BIDIRECTIONAL = {"direction": "bidirectional", "directions": 2}
FORMS: dict[str, dict[str, Any]] = {
    "forward": {},
    "reverse": {"direction": "reverse"},
    "bidirectional": dict(BIDIRECTIONAL),
    "no bias": {"bias": False},
    "initial states": {"initial": True, **BIDIRECTIONAL},
    "clip": {"clip": 0.6, "initial": True},
    "batch first": {"layout": 1, "initial": True, **BIDIRECTIONAL},
    "equal lengths": {"lengths": [3, 3], "initial": True},
    "lengths": {"lengths": [4, 2], "initial": True},
    "lengths, reverse": {"lengths": [2, 3], "direction": "reverse", "initial": True},
    "lengths, bidirectional": {"lengths": [3, 4], "initial": True, **BIDIRECTIONAL},
    "double": {"dtype": np.float64},
    "one step": {"T": 1},
    "opset 7": {"opset": 7},
    "opset 14": {"opset": 14},
    "opset 22": {"opset": 22, "B": 1},
}
SPECIAL: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {"peepholes": True}),
    ("LSTM", {"peepholes": True, "clip": 0.5, **BIDIRECTIONAL}),
    ("LSTM", {"input_forget": 1}),
    ("LSTM", {"input_forget": 1, "peepholes": True, "direction": "reverse"}),
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {"linear_before_reset": 1, "bias": False}),
    ("GRU", {"linear_before_reset": 1, "clip": 0.4, **BIDIRECTIONAL}),
    ("GRU", {"linear_before_reset": 1, "lengths": [4, 1], **BIDIRECTIONAL}),
    ("LSTM", {"activations": ["HardSigmoid", "Relu", "Softsign"]}),
    (
        "LSTM",
        {"activations": ["hardsigmoid", "TANH", "tanh"], "activation_alpha": [0.3], "activation_beta": [0.4]},
    ),
    (
        "LSTM",
        {
            "activations": ["HardSigmoid", "ScaledTanh", "Tanh", "Sigmoid", "LeakyRelu", "Affine"],
            "activation_alpha": [0.3, 0.8, 0.05, 1.5],
            "activation_beta": [0.45, 0.7, 0.1],
            **BIDIRECTIONAL,
        },
    ),
    ("GRU", {"activations": ["Sigmoid", "Softplus"]}),
    (
        "GRU",
        {"activations": ["HardSigmoid", "Elu"], "activation_alpha": [0.25, 0.7], "activation_beta": [0.5]},
    ),
    ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.3]}),
    ("RNN", {"activations": ["LeakyRelu"]}),
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.4], "activation_beta": [0.1]}),
    ("RNN", {"activations": ["Relu", "Elu"], **BIDIRECTIONAL}),
]
CASES = [(op, form) for op in OPS for form in FORMS.values()] + SPECIAL


@pytest.mark.parametrize(("op", "form"), CASES, ids=[f"{op}-{k}" for k, (op, _) in enumerate(CASES)])
def test_equals_the_oracle(op: str, form: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(len(form))
    path, weights = recurrent(tmp_path / "m.onnx", op, rng, **form)
    graph = read_onnx(path)
    x = rng.normal(size=graph.inputs[0].shape).astype(form.get("dtype", np.float32))
    expected = oracle.run(op, x, weights, **form)
    for name, array in evaluate_numpy(graph, {"x": x}).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-9, atol=1e-9)


def test_the_oracle_can_fail(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path, weights = recurrent(tmp_path / "m.onnx", "GRU", rng, linear_before_reset=1)
    graph = read_onnx(path)
    x = rng.normal(size=graph.inputs[0].shape)
    expected = oracle.run("GRU", x, weights, linear_before_reset=0)
    assert not np.allclose(evaluate_numpy(graph, {"x": x})["Y"], expected["Y"], atol=1e-3)


@pytest.mark.parametrize("op", OPS)
def test_scan_of_each_direction_has_the_ops_name(op: str, tmp_path: Path) -> None:
    path, _ = recurrent(
        tmp_path / "m.onnx", op, np.random.default_rng(0), direction="bidirectional", directions=2
    )
    scans = list(read_onnx(path).scans())
    assert [(s.form, s.reverse, s.length) for s in scans] == [(op, False, 4), (op, True, 4)]


def test_gru_blend_has_its_normal_form(tmp_path: Path) -> None:
    path, _ = recurrent(tmp_path / "m.onnx", "GRU", np.random.default_rng(0))
    (scan,) = read_onnx(path).scans()
    makers = {n: node for node in scan.body.nodes for n in node.outputs}
    blend = makers[scan.body.outputs[0]]
    products = [makers[n] for n in blend.inputs]
    assert [p.op for p in (blend, *products)] == ["add", "mul", "mul"]  # type: ignore[union-attr]
    gates = [makers[p.inputs[0]] for p in products]
    assert [g.op for g in gates] == ["sigmoid", "sigmoid"]  # type: ignore[union-attr]
    negated = makers[gates[0].inputs[0]]
    assert (negated.op, negated.inputs) == ("neg", gates[1].inputs)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"activations": ["Sine"]}, "activation 'Sine'"),
        ({"activations": ["Affine"], "activation_alpha": [0.5]}, "runtimes disagree on the default"),
        ({"activations": ["ThresholdedRelu"]}, "runtimes disagree on the default"),
        ({"activations": ["Tanh", "Tanh"]}, "2 activations where 1 are wanted"),
        ({"activation_alpha": [1.0]}, "more alphas or betas"),
        ({"direction": "sideways"}, "direction 'sideways'"),
        ({"clip": -1.0}, "clip -1.0 is not positive"),
        ({"lengths": [5, 1]}, "sequence_lens"),
        ({"direction": "bidirectional"}, "wanted"),
        ({"output_sequence": 1}, "attribute 'output_sequence' is not read"),
    ],
)
def test_what_the_standard_does_not_allow_is_refused(
    form: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path, _ = recurrent(tmp_path / "m.onnx", "RNN", np.random.default_rng(0), **form)
    with pytest.raises(UnsupportedModel, match=reason):
        read_onnx(path)
