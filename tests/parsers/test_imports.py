"""Importing one part of `parsers` does not import the rest."""

from __future__ import annotations

import subprocess
import sys

import pytest

import parsers


@pytest.mark.parametrize("module", ["parsers.errors", "parsers.ir", "parsers.specification"])
def test_errors_and_queries_need_no_onnx(module: str) -> None:
    code = f"import sys, {module}; sys.exit(any(n in sys.modules for n in ('onnx', 'onnxruntime', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_names_its_functions() -> None:
    assert [callable(getattr(parsers, name)) for name in parsers.__all__] == [True, True]
    with pytest.raises(AttributeError, match="has no attribute 'read_tensorflow'"):
        parsers.read_tensorflow  # type: ignore[attr-defined]  # noqa: B018
