"""Loop, Scan and unrolled graphs become the same scans as the recurrent operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper
from onnx.parser import parse_model

from parsers import evaluate_numpy, read_onnx
from parsers.errors import UnsupportedModel
from parsers.ir import Graph, Scan
from parsers.onnx import read
from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Val
from parsers.onnx.lift import reroll
from parsers.onnx.lift.step import Step

T, B, I, H = 5, 2, 3, 4
RNG = np.random.default_rng(0)
WEIGHTS = {
    "W": RNG.normal(size=(I, 4 * H)).astype(np.float32),
    "R": RNG.normal(size=(H, 4 * H)).astype(np.float32),
    "k": RNG.normal(size=(4 * H,)).astype(np.float32),
    "h0": np.zeros((B, H), np.float32),
    "c0": np.zeros((B, H), np.float32),
    "V": RNG.normal(size=(H, H)).astype(np.float32),
    "zero": np.asarray(0),
    "one": np.asarray(1),
    "two": np.asarray(2),
    "five": np.asarray(T),
    "true": np.asarray(True),
    "pieces": np.asarray([H] * 4),
}
SMALL = ("h0", "c0", "zero", "one", "two", "five", "true", "pieces")


def model(
    path: Path, inputs: str, body: str, opset: int = 17, weights: Mapping[str, np.ndarray] = WEIGHTS
) -> Path:
    """A model in ONNX text; weights are those that its text mentions."""
    outputs = "y"
    proto = parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    )
    used = set(body.replace(",", " ").replace("(", " ").replace(")", " ").split())
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items() if n in used)
    path.write_bytes(proto.SerializeToString())
    return path


def lstm_step(t: object, x: str, h: str, c: str) -> str:
    """Equations of an LSTM, gates stacked i, o, f, c; makes h{t} and c{t}."""
    return f"""
        a{t} = MatMul({x}, W) b{t} = MatMul({h}, R) s{t} = Add(a{t}, b{t}) p{t} = Add(s{t}, k)
        pi{t}, po{t}, pf{t}, pc{t} = Split<axis = 1>(p{t}, pieces)
        i{t} = Sigmoid(pi{t}) o{t} = Sigmoid(po{t}) f{t} = Sigmoid(pf{t}) g{t} = Tanh(pc{t})
        ig{t} = Mul(g{t}, i{t}) fc{t} = Mul(f{t}, {c}) c{t} = Add(ig{t}, fc{t})
        th{t} = Tanh(c{t}) h{t} = Mul(th{t}, o{t})"""


X = f"float[{T},{B},{I}] x"


def as_operator(path: Path) -> Path:
    body = f"""
        Wt = Transpose(W) Rt = Transpose(R) z = Constant<value_ints = [0]>()
        W1 = Unsqueeze(Wt, z) R1 = Unsqueeze(Rt, z) k1 = Unsqueeze(k, z) nothing = Sub(k1, k1)
        kk = Concat<axis = 1>(k1, nothing)
        h1 = Unsqueeze(h0, z) c1 = Unsqueeze(c0, z)
        Y = LSTM<hidden_size = {H}>(x, W1, R1, kk, , h1, c1)
        d = Constant<value_ints = [1]>() y = Squeeze(Y, d)"""
    return model(path, X, body)


def as_scan(path: Path) -> Path:
    step = lstm_step("n", "f", "h", "c")
    state = f"float[{B},{H}]"
    cell = f"s ({state} h, {state} c, float[{B},{I}] f) => (hn, cn, e) {{ {step} e = Identity(hn) }}"
    return model(path, X, f"hT, cT, y = Scan<num_scan_inputs = 1, body = {cell}>(h0, c0, x)")


def as_loop(path: Path) -> Path:
    """As JAX writes it: the weights and the whole sequence travel through the loop."""
    step = lstm_step("n", "f", "h", "c").replace("W)", "Wl)").replace("R)", "Rl)")
    cell = f"""l (int64 t, bool go, float[{B},{H}] h, float[{B},{H}] c, float[{I},16] Wl, float[{H},16] Rl,
        float[{T},{B},{I}] xs) => (on, hn, cn, Wn, Rn, xn, e) {{
        f = Gather<axis = 0>(xs, t) {step}
        on = Identity(go) Wn = Identity(Wl) Rn = Identity(Rl) xn = Identity(xs) e = Identity(hn) }}"""
    return model(path, X, f"hT, cT, w, r, q, y = Loop<body = {cell}>(five, true, h0, c0, W, R, x)")


def as_unrolled(path: Path) -> Path:
    body = "z = Constant<value_ints = [0]>() "
    for t in range(T):
        h, c = (f"h{t - 1}", f"c{t - 1}") if t else ("start_h", "start_c")
        body += f" n{t} = Constant<value_int = {t}>() f{t}x = Gather<axis = 0>(x, n{t})"
        body += lstm_step(t, f"f{t}x", h, c) + f" e{t} = Unsqueeze(h{t}, z)"
    ends = ", ".join(f"e{t}" for t in range(T))
    body = body.replace("start_h", "h0s").replace("start_c", "c0s")
    body = "h0s = Identity(h_start) c0s = Identity(c_start) " + body + f" y = Concat<axis = 0>({ends})"
    weights = {**WEIGHTS, "h_start": WEIGHTS["h0"], "c_start": WEIGHTS["c0"]}
    return model(path, X, body, weights={k: v for k, v in weights.items() if k not in ("h0", "c0")})


FORMS = {"LSTM": as_operator, "Scan": as_scan, "Loop": as_loop, "Unrolled": as_unrolled}


def ops(graph: Graph) -> list[str]:
    return sorted(node.op for node in graph.nodes if not isinstance(node, Scan))


def counts(scan: Scan) -> dict[str, int]:
    found = ops(scan.body)
    return {op: found.count(op) for op in ("matmul", "sigmoid", "tanh", "mul", "slice")}


def test_one_layer_in_four_forms_is_one_cell(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(T, B, I))
    outputs, cells = [], []
    for form, write in FORMS.items():
        graph = read_onnx(write(tmp_path / f"{form}.onnx"))
        (scan,) = graph.scans()
        assert (scan.form, scan.length, scan.reverse) == (form, T, False)
        assert len(scan.initial) == 2
        assert len(scan.sequences) == 1
        outputs.append(evaluate_numpy(graph, {"x": x})["y"])
        cells.append(counts(scan))
    assert all(cell == cells[0] for cell in cells)
    for output in outputs[1:]:
        np.testing.assert_allclose(output, outputs[0], rtol=1e-12, atol=1e-12)


STATE = f"float[{B},{H}]"
LOOPS = {
    "trip count computed from the shape": (
        f"""s = Shape(x) m = Gather<axis = 0>(s, zero)
        q = Loop<body = l (int64 t, bool go, {STATE} h) => (on, n) {{
            f = Gather<axis = 0>(x, t) v = MatMul(h, V) a = Add(v, f) n = Tanh(a)
            on = Identity(go) }}>(m, true, h0)
        y = Identity(q)""",
        [T],
    ),
    "no trip count, a counter in the condition": (
        f"""i, q = Loop<body = l (int64 t, bool go, int64 i, {STATE} h) => (on, j, n) {{
            f = Gather<axis = 0>(x, i) v = MatMul(h, V) a = Add(v, f) n = Tanh(a)
            j = Add(i, one) on = Less(j, five) }}>( , true, zero, h0)
        y = Identity(q)""",
        [T],
    ),
    "backwards by a counter": (
        f"""last = Sub(five, one)
        i, q = Loop<body = l (int64 t, bool go, int64 i, {STATE} h) => (on, j, n) {{
            f = Gather<axis = 0>(x, i) v = MatMul(h, V) a = Add(v, f) n = Tanh(a)
            j = Sub(i, one) on = Identity(go) }}>(five, true, last, h0)
        y = Identity(q)""",
        [T],
    ),
    "if on the counter": (
        f"""q = Loop<body = l (int64 t, bool go, {STATE} h) => (on, n) {{
            f = Gather<axis = 0>(x, t) c = Less(t, two)
            n = If (c) <then_branch = u () => (r) {{ p = MatMul(h, V) r0 = Add(p, f) r = Tanh(r0) }},
                        else_branch = w () => (r2) {{ p2 = MatMul(h, V) r1 = Sub(p2, f) r2 = Sigmoid(r1) }}>
            on = Identity(go) }}>(five, true, h0)
        y = Identity(q)""",
        [2, 3],
    ),
    "a scale that depends on the step": (
        f"""q = Loop<body = l (int64 t, bool go, {STATE} h) => (on, n) {{
            f = Gather<axis = 0>(x, t) i = Add(t, two) g = Cast<to = 1>(i) s = Mul(f, g)
            v = MatMul(h, V) a = Add(v, s) n = Tanh(a)
            on = Identity(go) }}>(five, true, h0)
        y = Identity(q)""",
        [T],
    ),
    "a state that grows": (
        f"""q = Loop<body = l (int64 t, bool go, float[?,{H}] h) => (on, n) {{
            f = Gather<axis = 0>(x, t) n = Concat<axis = 0>(h, f) on = Identity(go) }}>(five, true, h0)
        y = Identity(q)""",
        [],
    ),
    "a loop in a loop": (
        f"""q = Loop<body = l (int64 t, bool go, {STATE} h) => (on, n) {{
            f = Gather<axis = 0>(x, t)
            n = Loop<body = m (int64 s, bool go2, {STATE} d) => (on2, e) {{
                v = MatMul(d, V) a = Add(v, f) e = Tanh(a) on2 = Identity(go2) }}>(two, true, h)
            on = Identity(go) }}>(five, true, h0)
        y = Identity(q)""",
        [T],
    ),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops(name: str, tmp_path: Path) -> None:
    body, lengths = LOOPS[name]
    graph = read_onnx(model(tmp_path / "m.onnx", f"float[{T},{B},{H}] x", body))
    assert [s.length for s in graph.scans()] == lengths
    assert graph.notes[-1].startswith("checked against onnxruntime")


def test_backward_loop_is_a_reverse_scan(tmp_path: Path) -> None:
    body, _ = LOOPS["backwards by a counter"]
    (scan,) = read_onnx(model(tmp_path / "m.onnx", f"float[{T},{B},{H}] x", body)).scans()
    assert scan.reverse
    assert scan.sequences == ("x",)


def test_a_loop_that_never_runs(tmp_path: Path) -> None:
    body = f"""q = Loop<body = l (int64 t, bool go, {STATE} h) => (on, n) {{
        f = Gather<axis = 0>(x, t) n = Add(h, f) on = Identity(go) }}>(zero, true, h0)
        f0 = Gather<axis = 0>(x, zero) y = Add(q, f0)"""
    assert not list(read_onnx(model(tmp_path / "m.onnx", f"float[{T},{B},{H}] x", body)).scans())


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("s = ReduceSum<keepdims = 0>(n) on = Less(s, limit)", "depends on the network's inputs"),
        ("on = Identity(go)", "its condition never changes"),
    ],
)
def test_loops_without_a_fixed_number_of_steps(condition: str, reason: str, tmp_path: Path) -> None:
    cell = f"l (int64 t, bool go, {STATE} h) => (on, n) {{ n = Add(h, f) {condition} }}"
    body = f"""limit = Constant<value_float = 9.0>() f = Gather<axis = 0>(x, zero)
        y = Loop<body = {cell}>( , true, h0)"""
    with pytest.raises(UnsupportedModel, match=reason):
        read_onnx(model(tmp_path / "m.onnx", f"float[{T},{B},{H}] x", body))


CELL = f"s ({STATE} h, {STATE} f) => (n, e) {{ v = MatMul(h, V) a = Add(v, f) n = Tanh(a) e = Neg(n) }}"
SCANS = {
    "forward": (f"q, y = Scan<num_scan_inputs = 1, body = {CELL}>(h0, x)", f"float[{T},{B},{H}] x", False),
    "reverse": (
        f"q, y = Scan<num_scan_inputs = 1, scan_input_directions = [1], body = {CELL}>(h0, x)",
        f"float[{T},{B},{H}] x",
        True,
    ),
    "output reversed": (
        f"""q, y = Scan<num_scan_inputs = 1, scan_input_directions = [1], scan_output_directions = [1],
            body = {CELL}>(h0, x)""",
        f"float[{T},{B},{H}] x",
        True,
    ),
    "along other axes": (
        f"""q, y = Scan<num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [2],
            body = {CELL}>(h0, x)""",
        f"float[{B},{T},{H}] x",
        False,
    ),
}


@pytest.mark.parametrize("name", SCANS)
def test_scans(name: str, tmp_path: Path) -> None:
    body, inputs, reverse = SCANS[name]
    graph = read_onnx(model(tmp_path / "m.onnx", inputs, body))
    (scan,) = graph.scans()
    assert (scan.form, scan.length, scan.reverse) == ("Scan", T, reverse)
    assert "take" not in ops(graph) or name != "output reversed"  # two reversals are none


def rnn(layers: int, steps: int) -> str:
    """Stacked cells h = tanh(x·W + h·V), written out; layer l has its own V."""
    body = ""
    for t in range(steps):
        body += f" n{t} = Constant<value_int = {t}>() f{t}x = Gather<axis = 0>(x, n{t})"
        below = f"f{t}x"
        for k in range(layers):
            if t == 0:
                body += f" h{k}_{t} = Tanh({below})"
            else:
                body += f" v{k}_{t} = MatMul(h{k}_{t - 1}, V{k}) a{k}_{t} = Add(v{k}_{t}, {below})"
                body += f" h{k}_{t} = Tanh(a{k}_{t})"
            below = f"h{k}_{t}"
    return body + f" y = Neg(h{layers - 1}_{steps - 1})"


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_unrolled_layers_are_rolled(layers: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    weights = {f"V{k}": rng.normal(size=(H, H)).astype(np.float32) for k in range(layers)}
    path = model(tmp_path / "m.onnx", f"float[8,{B},{H}] x", rnn(layers, 8), weights=weights)
    graph = read_onnx(path)
    scans = list(graph.scans())
    assert len(scans) == layers
    assert all(s.form == "Unrolled" and s.length >= 7 for s in scans)
    assert sum("were rolled into a scan" in note for note in graph.notes) >= 1


def test_steps_with_different_weights_stay_unrolled(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    body = rnn(1, 6)
    weights = {}
    for t in range(1, 6):
        body = body.replace(f"MatMul(h0_{t - 1}, V0)", f"MatMul(h0_{t - 1}, U{t})")
        weights[f"U{t}"] = rng.normal(size=(H, H)).astype(np.float32)
    graph = read_onnx(model(tmp_path / "m.onnx", f"float[6,{B},{H}] x", body, weights=weights))
    assert not list(graph.scans())


def test_a_step_that_differs_is_left_out(tmp_path: Path) -> None:
    body = rnn(1, 9).replace("h0_6 = Tanh(a0_6)", "h0_6 = Softsign(a0_6)")
    weights = {"V0": np.random.default_rng(4).normal(size=(H, H)).astype(np.float32)}
    graph = read_onnx(model(tmp_path / "m.onnx", f"float[9,{B},{H}] x", body, weights=weights))
    assert [s.length for s in graph.scans()] == [6]
    assert "softsign" in ops(graph)


def test_a_wrong_rolling_is_not_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both graphs are compared; where they differ, the graph is read as it is written."""
    path = as_unrolled(tmp_path / "m.onnx")
    right = reroll.roll

    def one_step_short(
        b: Builder, steps: Sequence[Step], states: dict[int, Val], form: str
    ) -> tuple[dict[int, Val], list[Val]]:
        after, stacked = right(b, [steps[0], *steps[:-1]], states, form)
        return after, stacked

    monkeypatch.setattr(reroll, "roll", one_step_short)
    graph = read_onnx(path)
    assert not list(graph.scans())
    assert not any("rolled" in note for note in graph.notes)
    monkeypatch.setattr(read, "equal_on", lambda *_: True)
    with pytest.raises(Exception, match="read wrongly"):
        read_onnx(path)


def test_runge_kutta_steps_are_rolled_as_wholes(tmp_path: Path) -> None:
    """Four products with one matrix make one step: k₁ … k₄ of a neural differential equation."""
    body = "half := 0.25 full := 0.5 sixth := 0.0833 s0 = Identity(x)"
    for t in range(4):
        s = f"s{t}"
        for k, base in enumerate((s, f"b{t}_1", f"b{t}_2", f"b{t}_3")):
            body += f" p{t}_{k} = MatMul({base}, V) k{t}_{k} = Tanh(p{t}_{k})"
            if k < 3:
                factor = "full" if k == 2 else "half"
                body += f" d{t}_{k} = Mul(k{t}_{k}, {factor}) b{t}_{k + 1} = Add({s}, d{t}_{k})"
        body += f" u{t} = Add(k{t}_1, k{t}_2) w{t} = Add(u{t}, u{t})"
        body += f" e{t} = Add(k{t}_0, w{t}) g{t} = Add(e{t}, k{t}_3)"
        body += f" q{t} = Mul(g{t}, sixth) s{t + 1} = Add({s}, q{t})"
    for name, value in (("half", 0.25), ("full", 0.5), ("sixth", 0.0833)):
        body = body.replace(f"{name} := {value}", f"{name} = Constant<value_float = {value}>()")
    graph = read_onnx(model(tmp_path / "m.onnx", f"float[{B},{H}] x", body + " y = Neg(s4)"))
    (scan,) = graph.scans()
    assert scan.length == 4
    assert ops(scan.body).count("tanh") == 4


def test_reading_is_deterministic(tmp_path: Path) -> None:
    def shape(graph: Graph) -> Any:
        return [(n.op, n.inputs, n.output) for n in graph.nodes if not isinstance(n, Scan)]

    path = as_unrolled(tmp_path / "m.onnx")
    assert shape(read_onnx(path)) == shape(read_onnx(path))
