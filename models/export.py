"""Write the trained networks as ONNX files, by both of torch's exporters.

    python models/export.py        # needs models/build/*.pt from train.py, and the package `onnxscript`

Traced graphs (the `torchscript` exporter) and exported programs (`dynamo`) describe one network in different
operators. Files lose what no reader needs: source lines and stack traces of the exporting machine, up to five
sixths of what `dynamo` writes.
"""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from networks import RECIPES, Classifier
from onnx.external_data_helper import uses_external_data
from prepare_data import BUILD, HERE


@dataclass(frozen=True)
class Export:
    """`shape` is the traced input's; the axes named in `free` stay free dimensions of the file."""

    file: str
    network: str
    exporter: str  # "torchscript" or "dynamo"
    opset: int
    shape: tuple[int, ...]
    free: tuple[tuple[int, str], ...] = ()


BATCH_FIRST = ((0, "batch"), (1, "time"))
EXPORTS = (
    Export("vowels_lstm.onnx", "vowels_lstm", "torchscript", 17, (2, 20, 12), BATCH_FIRST),
    Export("vowels_lstm_15.onnx", "vowels_lstm", "torchscript", 17, (1, 15, 12)),
    Export("vowels_lstm_dynamo.onnx", "vowels_lstm", "dynamo", 20, (2, 20, 12), BATCH_FIRST),
    Export("vowels_gru.onnx", "vowels_gru", "torchscript", 17, (20, 1, 12), ((0, "time"),)),
    Export("vowels_gru_dynamo.onnx", "vowels_gru", "dynamo", 20, (20, 1, 12), ((0, "time"),)),
    Export("vowels_rnn.onnx", "vowels_rnn", "torchscript", 17, (2, 20, 12), BATCH_FIRST),
    Export("vowels_rnn_15_dynamo.onnx", "vowels_rnn", "dynamo", 20, (1, 15, 12)),
    Export("vowels_bilstm2.onnx", "vowels_bilstm2", "torchscript", 17, (20, 1, 12), ((0, "time"),)),
    Export("vowels_bilstm2_dynamo.onnx", "vowels_bilstm2", "dynamo", 20, (20, 1, 12), ((0, "time"),)),
    Export("mnist_rows_lstm.onnx", "mnist_rows_lstm", "torchscript", 17, (2, 28, 28), ((0, "batch"),)),
    Export("mnist_rows_lstm_dynamo.onnx", "mnist_rows_lstm", "dynamo", 20, (2, 28, 28), ((0, "batch"),)),
)


def trained(name: str) -> Classifier:
    """The network as `train.py` left it."""
    (recipe,) = [r for r in RECIPES if r.name == name]
    network = recipe.make()
    network.load_state_dict(torch.load(BUILD / f"{name}.pt", weights_only=True))
    return network.eval()


def export(spec: Export) -> onnx.ModelProto:
    network, x, free = trained(spec.network), torch.zeros(spec.shape), dict(spec.free)
    names = {"input_names": ["x"], "output_names": ["logits"], "opset_version": spec.opset}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchscript is deprecated; advice about batch sizes
        path = Path(folder) / spec.file
        if spec.exporter == "torchscript":
            axes = {"x": free} | ({"logits": {0: "batch"}} if "batch" in free.values() else {})
            torch.onnx.export(network, (x,), path, dynamo=False, dynamic_axes=axes, **names)
        else:
            axes = {"x": {axis: torch.export.Dim(name) for axis, name in free.items()}}
            program = torch.onnx.export(
                network, (x,), dynamo=True, dynamic_shapes=axes, verbose=False, **names
            )
            assert program is not None
            program.save(path)
        return onnx.load(path)


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without documentation strings and metadata; inferred shapes of inner values go too."""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    assert not model.functions
    graph = model.graph
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    assert not any(uses_external_data(tensor) for tensor in graph.initializer)
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    torch.set_num_threads(1)
    for spec in EXPORTS:
        model = export(spec)
        before = model.ByteSize()
        content = strip(model).SerializeToString(deterministic=True)
        (HERE / spec.file).write_bytes(content)
        print(f"{spec.file}: {len(content)} bytes ({before} with metadata), {len(model.graph.node)} nodes")


if __name__ == "__main__":
    main()
