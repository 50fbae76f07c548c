"""Every operator that is read: against onnxruntime by the reader itself, and the standard's own tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from parsers import evaluate_numpy, read_onnx
from parsers.errors import RecertError, SelfCheckFailed
from parsers.ir import validate
from parsers.onnx import ops
from parsers.onnx.reading import registry
from tests.support.onnx_files.op_cases import CASES, Case

ops.load()
# Read from other sources: lifted loops, recurrent operators and onnxruntime's own operators have their tests.
ELSEWHERE = {"GRU", "LSTM", "Loop", "RNN", "Scan"}
FLAT = [(name, k) for name, cases in CASES.items() for k in range(len(cases))]


def _constant(match: re.Match[str]) -> str:
    """`a := [1.5]` → `a = Constant<value_floats = [1.5]>()`"""
    name, value = match.groups()
    kind = ("float" if "." in value else "int") + ("s" if "[" in value else "")
    return f"{name} = Constant<value_{kind} = {value}>()"


def write(case: Case, path: Path) -> Path:
    inputs, body, *rest = case
    body = re.sub(r"(\w+) := (\[[^]]*\]|\S+)", _constant, body)
    opset = rest[0] if rest else 17
    model = parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => (y) {{ {body} }}')
    path.write_bytes(model.SerializeToString())
    return path


def test_every_operator_has_a_case() -> None:
    assert set(CASES) == {name for domain, name in registry.OPS if domain == ""}
    assert {name for name, cases in CASES.items() if not cases} == ELSEWHERE


def test_names_are_listed() -> None:
    listed = ops.onnx_operators()
    assert listed == sorted(set(listed))
    assert {"LSTM", "Gemm", "Loop", "com.microsoft::FusedConv"} <= set(listed)


@pytest.mark.parametrize("entry", registry.OPS.values(), ids=lambda e: e.name)
def test_the_newest_definition_was_looked_at(entry: registry.OnnxOp) -> None:
    if entry.domain == "":
        latest = onnx.defs.get_schema(entry.name, onnx.defs.onnx_opset_version(), "")
        assert entry.newest >= latest.since_version


@pytest.mark.parametrize(("name", "k"), FLAT)
def test_equals_onnxruntime(name: str, k: int, tmp_path: Path) -> None:
    graph = validate(read_onnx(write(CASES[name][k], tmp_path / "m.onnx")))
    assert graph.notes[-1].startswith("checked against onnxruntime")
    assert graph.outputs == ("y",)


def feeds(case: Any) -> list[dict[str, np.ndarray]]:
    """Which inputs to fix so that a standard test can be read: none, all but floats, all but one float."""
    names = [i.name for i in case.model.graph.input]
    inputs = {n: a for n, a in zip(names, case.data_sets[0][0], strict=True) if isinstance(a, np.ndarray)}
    floats = [n for n, a in inputs.items() if a.dtype.kind == "f"]
    others = {n: a for n, a in inputs.items() if n not in floats}
    return [{}, others, {n: a for n, a in inputs.items() if n not in floats[:1]}]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_node_tests_of_the_standard(tmp_path: Path) -> None:
    """Whatever is read of the standard's own tests gives their outputs; nothing is read wrongly."""
    from onnx.backend.test.case.node import collect_testcases

    known = {name for domain, name in registry.OPS if domain == ""}
    agreed, path = 0, tmp_path / "m.onnx"
    for case in collect_testcases(None):
        nodes = {node.op_type for node in case.model.graph.node}
        exotic = "bfloat16" in case.name or "bf16" in case.name or "nan" in case.name or "uint" in case.name
        data = [*case.data_sets[0][0], *case.data_sets[0][1]]
        if not nodes <= known or exotic or not all(isinstance(a, np.ndarray | np.generic) for a in data):
            continue
        path.write_bytes(case.model.SerializeToString())
        names = [i.name for i in case.model.graph.input]
        inputs, outputs = case.data_sets[0]
        for fixed in feeds(case):
            try:
                graph = read_onnx(path, fixed=fixed)
            except SelfCheckFailed:
                raise
            except RecertError:
                continue
            got = evaluate_numpy(graph, {v.name: inputs[names.index(v.name)] for v in graph.inputs})
            for output, expected in zip(case.model.graph.output, outputs, strict=True):
                loose = expected.dtype == np.float16
                np.testing.assert_allclose(
                    got[output.name],
                    expected.astype(np.float64),
                    rtol=1e-3,
                    atol=2e-2 if loose else 1e-4,
                    err_msg=case.name,
                )
            agreed += 1
            break
    assert agreed > 700
