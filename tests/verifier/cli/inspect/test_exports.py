"""Every export of the corpus is shown or refused; the equations of one cell do not depend on its exporter."""

from __future__ import annotations

from pathlib import Path

import pytest

from parsers import read_onnx
from parsers.errors import RecertError
from tests.support.paths import EXPORTS
from verifier.cli.inspect import run
from verifier.inspection.equations import cell_equations

FILES = sorted(EXPORTS.glob("*.onnx"))
GRU = [
    "a1 = x·W1 + h·U1",
    "a2 = x·W2 + h·U2",
    "a3 = x·W3 + σ(a2) ⊙ h·U3",
    "h' = σ(a1) ⊙ h + σ(−a1) ⊙ tanh(a3)",
]

pytestmark = pytest.mark.skipif(not FILES, reason="the corpus of exports is not here")


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_shown_or_refused(path: Path) -> None:
    try:
        text = run(path, {}, {}, False)
    except RecertError:
        return
    assert "\nnetwork" in text  # or `network at T = 8`
    assert ("can be certified" in text) != ("cannot be certified" in text)


def test_a_loop_from_keras_shows_a_gru() -> None:
    path = EXPORTS / "onnxsim__tf2onnx_keras_gru_resetafter_op15.onnx"
    if not path.is_file():
        pytest.skip("this export is not here")
    (scan,) = read_onnx(path).scans()
    assert scan.form == "Loop"
    assert cell_equations(scan) == GRU
