"""Files of one structure have the same operators, whatever their weights."""

from __future__ import annotations

from onnx.parser import parse_model

from parsers.onnx.file.structure import difference

HEAD = '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x, bool c) => (float[2] y)'


def test_weights_and_their_storage_do_not_matter() -> None:
    first = parse_model(f"{HEAD} {{ k = Constant<value_floats = [1.0, 2.0]>() s = Add(x, k) y = Tanh(s) }}")
    second = parse_model(f"{HEAD} <float[2] k = {{3.0, 4.0}}> {{ s = Add(x, k) y = Tanh(s) }}")
    assert difference(first, second) == ""


def test_operators_are_counted_inside_of_branches() -> None:
    branch = "g () => (float[2] z) {{ z = {0}(x) }}"
    other = branch.format("Tanh")
    pair = [
        parse_model(f"{HEAD} {{ y = If<then_branch = {branch.format(op)}, else_branch = {other}>(c) }}")
        for op in ("Tanh", "Relu")
    ]
    assert difference(*pair) == "0 Relu, not 1, 2 Tanh, not 1"
