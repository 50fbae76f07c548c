"""Every Python block of a document runs; those of one document one after the other, in one namespace."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from parsers.onnx.ops import load as load_operators
from parsers.onnx.reading.registry import OPS
from relaxations import GATES
from tests.support.documents import DOCUMENTS, blocks, name
from tests.support.paths import MODELS

WITH_BLOCKS = [path for path in DOCUMENTS if any(b.language == "python" for b in blocks(path.read_text()))]


@pytest.mark.parametrize("path", WITH_BLOCKS, ids=name)
def test_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").symlink_to(MODELS, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    with registries_restored():
        for block in blocks(path.read_text()):
            if block.language == "python":
                code = compile("\n" * (block.line - 1) + block.text, str(path), "exec")
                with warnings.catch_warnings():
                    warnings.simplefilter("default")  # what an exporter warns of is not the document's
                    exec(code, namespace)


@contextmanager
def registries_restored() -> Iterator[None]:
    """What an example registers is gone afterwards."""
    load_operators()
    gates, operators = set(GATES), set(OPS)
    try:
        yield
    finally:
        for name in set(GATES) - gates:
            del GATES[name]
        for key in set(OPS) - operators:
            del OPS[key]
