"""Real exports of many frameworks: equal to their recorded outputs, or refused for the right reason."""

from __future__ import annotations

import time

import pytest

from parsers import evaluate_numpy, read_onnx
from parsers.errors import RecertError
from parsers.ir import Graph, Scan, validate
from parsers.primitives import PRIMITIVES
from tests.support.onnx_files.exports import EXPORTS, REFUSED, arrays, names, present, relative_error

# One of every exporter and form; the others are marked slow.
QUICK = {
    "extdata__digits_lstm_trained",
    "jax2onnx__nnx_scan_lstm_reverse_m2m",
    "jax2onnx__while_rnn",
    "keras3_torch_export__lstm_unroll",
    "onnxhelper__gru_bidir_seqlens",
    "onnxhelper__lstm_layout1",
    "onnxhelper__lstm_peephole_clip",
    "onnxnode__test_lstm_with_peepholes",
    "onnxnode__test_scan_sum",
    "onnxscript__local_function_peephole",
    "onnxscript__scan_rnn_outer_scope_weights",
    "ortopt_ext__torch_legacy_cnn_bilstm_ctc_op17",
    "ortopt_ext__torch_legacy_lnlstm_unrolled_op13",
    "published__silero_vad_16k_sequence",
    "tf215_keras2__lstm_masking",
    "tf215_v1__bidir_dynrnn_lstm",
    "tf215_v1__dynrnn_basiclstm_seqlen",
    "tf2onnx__keras_bigru_sum_op15",
    "torch_dynamo__gru_bidir2",
    "torch_dynamo__hop_scan_gru_reverse",
    "torch_dynamo__lstm_clf_double",
    "torch_legacy__einsum_rnn_unrolled",
    "torch_legacy__export_modules_as_functions_op17",
    "torch_legacy__script_loop_if_op17",
}
LIMIT_SECONDS = 3.0


def _marked(name: str) -> object:
    quick = name in QUICK or name in REFUSED
    return name if quick else pytest.param(name, marks=pytest.mark.slow)


@present
@pytest.mark.parametrize("name", [_marked(n) for n in names()])
def test_read_and_equal_or_refused(name: str) -> None:
    inputs, outputs = arrays(name) if name not in REFUSED else ({}, {})
    path = EXPORTS / f"{name}.onnx"
    if name in REFUSED:
        try:
            inputs, _ = arrays(name)
            shapes = {k: v.shape for k, v in inputs.items()}
        except ValueError:  # sequences are stored as objects
            shapes = {}
        with pytest.raises(RecertError, match=REFUSED[name]):
            read_onnx(path, shapes)
        return
    start = time.process_time()
    graph = read_onnx(path, {key: array.shape for key, array in inputs.items()})
    assert time.process_time() - start < LIMIT_SECONDS
    validate(graph)
    assert [v.name for v in graph.inputs] == list(inputs)
    got = evaluate_numpy(graph, inputs)
    for key, expected in outputs.items():
        assert relative_error(got[key], expected) < 1e-5, key
    assert any(note.startswith("checked against onnxruntime") for note in graph.notes)


@present
def test_refused_models_are_few() -> None:
    assert set(REFUSED) <= set(names())
    assert len(REFUSED) <= 15


@present
def test_integer_inputs_can_be_fixed() -> None:
    name = "published__silero_vad"
    inputs, outputs = arrays(name)
    shapes = {key: inputs[key].shape for key in ("input", "state")}
    graph = read_onnx(EXPORTS / f"{name}.onnx", shapes, fixed={"sr": inputs["sr"]})
    assert [v.name for v in graph.inputs] == ["input", "state"]
    got = evaluate_numpy(graph, {key: inputs[key] for key in shapes})
    for key, expected in outputs.items():
        assert relative_error(got[key], expected) < 1e-5


LENGTHS_AND_RATES = {
    "onnxhelper__gru_bidir_seqlens": ["sl"],
    "onnxhelper__lstm_reverse_seqlens": ["sl"],
    "onnxnode__test_lstm_with_peepholes": ["sequence_lens"],
    "published__silero_vad_op18_ifless": ["sr"],
    "torch_dynamo__grucell_masked_where_unrolled": ["lens"],
    "torch_legacy__lstm_packed_lens_op17": ["lens"],
}


def kinds(graph: Graph) -> set[str]:
    """Kinds of all primitives of a graph and of its cells."""
    found: set[str] = set()
    for node in graph.nodes:
        found |= kinds(node.body) if isinstance(node, Scan) else {PRIMITIVES[node.op].kind}
    return found


@present
@pytest.mark.parametrize("name", LENGTHS_AND_RATES)
def test_a_fixed_length_or_rate_leaves_no_discrete_step(name: str) -> None:
    inputs, outputs = arrays(name)
    fixed = {key: inputs[key] for key in LENGTHS_AND_RATES[name]}
    shapes = {key: array.shape for key, array in inputs.items() if key not in fixed}
    graph = read_onnx(EXPORTS / f"{name}.onnx", shapes, fixed=fixed)
    assert not kinds(graph) & {"discrete", "selection"}
    got = evaluate_numpy(graph, {key: inputs[key] for key in shapes})
    for key, expected in outputs.items():
        assert relative_error(got[key], expected) < 1e-5
