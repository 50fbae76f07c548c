"""From a path to a self-contained `ModelProto`: clear errors, external data only beside the model."""

from __future__ import annotations

import gzip
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from parsers.errors import UnreadableModel


def load(path: Path) -> onnx.ModelProto:
    """Parse the file, check it, bring external data in and inline functions.

    Raises `UnreadableModel` where the file is missing, is not ONNX, is cut off, or refers to data that is
    missing, too short or outside the model's own folder.
    """
    if not path.is_file():
        raise UnreadableModel(f"{path}: no such file")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        model = onnx.load_model_from_string(data)
    except (DecodeError, gzip.BadGzipFile, EOFError) as error:
        raise UnreadableModel(
            f"{path}: not a readable ONNX file ({error}); it may be cut off or of another format"
        ) from error
    if not model.HasField("graph") or not model.opset_import or not model.graph.output:
        raise UnreadableModel(f"{path}: not an ONNX model (it has no graph, no opset or no output)")
    _bring_in_external_data(model, path)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    return model


def _bring_in_external_data(model: onnx.ModelProto, path: Path) -> None:
    folder = path.parent.resolve()
    for tensor in _tensors(model):
        if not uses_external_data(tensor):
            continue
        info = ExternalDataInfo(tensor)
        if not isinstance(info.location, str) or "\0" in info.location:
            raise UnreadableModel(f"{path}: the external data of '{tensor.name}' have no proper location")
        source = (folder / info.location).resolve()
        if not source.is_relative_to(folder):
            raise UnreadableModel(
                f"{path}: external data '{info.location}' of '{tensor.name}' lies outside the model's"
                " folder; put the file beside the model"
            )
        if not source.is_file():
            raise UnreadableModel(
                f"{path}: external data '{info.location}' of '{tensor.name}' is missing;"
                " put it beside the model"
            )
        with source.open("rb") as file:
            file.seek(info.offset or 0)
            data = file.read(info.length) if info.length else file.read()
        if info.length and len(data) != info.length:
            raise UnreadableModel(
                f"{path}: external data '{info.location}' of '{tensor.name}' is cut off"
                f" ({len(data)} of {info.length} bytes); copy it again"
            )
        tensor.raw_data = data
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _tensors(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    found: list[onnx.TensorProto] = []

    def nodes(items: list[onnx.NodeProto]) -> None:
        for node in items:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    found.append(attribute.t)
                found.extend(attribute.tensors)
                for graph in (attribute.g, *attribute.graphs):
                    found.extend(graph.initializer)
                    nodes(list(graph.node))

    found.extend(model.graph.initializer)
    nodes(list(model.graph.node))
    for function in model.functions:
        nodes(list(function.node))
    return found
