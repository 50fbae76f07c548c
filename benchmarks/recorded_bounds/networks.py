"""The networks whose bounds are recorded, each with the point around which it is bounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.paths import PEERS, ROOT, SHARED
from parsers import read_onnx
from parsers.errors import RecertError
from parsers.ir import Graph
from parsers.onnx.file.dimensions import declared as declared_inputs
from parsers.onnx.file.dimensions import may_be_batch
from parsers.onnx.file.load import load

EPS = 0.01


@dataclass(frozen=True, slots=True)
class Case:
    """A network and the point around which it is bounded."""

    name: str
    graph: Graph
    point: Tensor  # [1, n]
    eps: float


Network = tuple[str, Callable[[], Case]]
"""A name, and what reads the file."""


def chosen(parts: Sequence[str]) -> list[Network]:
    """All networks that are here, or those with one of `parts` in their names. Raises `LookupError` for a
    part that is in none."""
    networks = [*shipped(), *peers(), *exports()]
    stems = [part.removesuffix(".onnx") for part in parts]
    for stem in stems:
        if not any(stem in name for name, _ in networks):
            raise LookupError(f"no network here has '{stem}' in its name")
    return [network for network in networks if not stems or any(stem in network[0] for stem in stems)]


def exports() -> Iterator[Network]:
    """The real exports of `../shared/exports`, at their recorded inputs."""
    for path in sorted((SHARED / "exports").glob("*.onnx")):
        yield f"exports/{path.stem}", lambda path=path: _export(path)


def _export(path: Path) -> Case:
    with np.load(path.with_suffix(".npz")) as arrays:
        inputs = {key[3:]: arrays[key] for key in arrays.files if key.startswith("in_")}
    floats = {key: array for key, array in inputs.items() if array.dtype.kind == "f"}
    fixed = {key: array for key, array in inputs.items() if array.dtype.kind != "f"}
    graph = read_onnx(path, {key: array.shape for key, array in floats.items()}, fixed=fixed)
    flat = [torch.as_tensor(floats[v.name]).double().reshape(-1) for v in graph.inputs]
    if not flat:
        raise RecertError("every input is an integer, and fixed")
    return Case(path.stem, graph, torch.cat(flat).unsqueeze(0), EPS)


def shipped() -> Iterator[Network]:
    """The networks of `models/`, at their first two test samples of different lengths."""
    for path in sorted((ROOT / "models").glob("*.onnx")):
        data = "mnist_rows_test.npz" if path.stem.startswith("mnist") else "vowels_test.npz"
        yield f"models/{path.stem}", lambda path=path, data=data: _shipped(path, ROOT / "models" / data)


def _shipped(path: Path, data: Path) -> Case:
    with np.load(data) as arrays:
        sample = arrays["inputs"][0]
        length = int(arrays["lengths"][0]) if "lengths" in arrays.files else len(sample)
    (declared,) = declared_inputs(load(path))
    dims = declared.dims
    axes = [axis for axis, size in enumerate(dims) if not (size == 1 or may_be_batch(declared, axis))]
    first = dims[axes[0]]
    steps = first if isinstance(first, int) else min(length, 15)
    shape = [1] * len(dims)
    shape[axes[0]], shape[axes[1]] = steps, sample.shape[-1]
    graph = read_onnx(path, {declared.name: tuple(shape)})
    return Case(path.stem, graph, torch.as_tensor(sample[:steps].reshape(1, -1)).double(), EPS)


def peers() -> Iterator[Network]:
    """The published networks of `../shared/peers`, at their first image."""
    listed = PEERS / "benchmarks.json"
    if not listed.is_file():
        return
    for name, entry in json.loads(listed.read_text()).items():
        yield f"peers/{name}", lambda name=name, entry=entry: _peer(name, entry)


def _peer(name: str, entry: Mapping[str, object]) -> Case:
    with np.load(PEERS / "mnist_t10k_subset.npz") as data:
        image = data["image"][list(data["index"]).index(entry["images"][0])]  # type: ignore[index]
    graph = read_onnx(PEERS / name, {entry["input"]: tuple(entry["shape"])})  # type: ignore[arg-type,dict-item]
    point = torch.as_tensor(image.astype(np.float64).reshape(1, -1) / 255)
    return Case(name, graph, point, EPS)
