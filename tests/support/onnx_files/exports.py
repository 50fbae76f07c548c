"""The real exports that tests read: where they are, what is in them, which are refused and why."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.support.paths import EXPORTS

present = pytest.mark.skipif(not EXPORTS.is_dir(), reason="the exports are not beside this repository")

# name → a part of the reason that must be given
REFUSED = {
    "onnxnode__test_loop11": "the trip count depends on the network's inputs",
    "onnxnode__test_loop13_seq": "is of type sequence, not a tensor",
    "onnxnode__test_loop16_seq_none": "is of type optional, not a tensor",
    "ortquant_dynamic__tf2onnx_keras_lstm_op15": "rounds to 8-bit integers",
    "ortquant_dynamic__torch_legacy_grucell_unrolled_op17": "rounds to 8-bit integers",
    "ortquant_dynamic__torch_legacy_lstm_bidir2_batch_first_op14": "rounds to 8-bit integers",
    "published__silero_vad": "fix the input that decides it to a value",
    "torch_dynamo__lstm_proj": "the exporter wrote inconsistent weights",
    "torch_legacy__script_loop_while_op17": "whether the loop goes on depends on the network's inputs",
}


def names() -> list[str]:
    """All models of the corpus; none where it is absent."""
    catalogue = EXPORTS / "catalogue.json"
    return [entry["name"] for entry in json.loads(catalogue.read_text())] if catalogue.is_file() else []


def arrays(name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Recorded inputs and outputs of one model."""
    with np.load(EXPORTS / f"{name}.npz", allow_pickle=False) as file:
        stored = {key: file[key] for key in file.files}
    return (
        {key[3:]: array for key, array in stored.items() if key.startswith("in_")},
        {key[4:]: array for key, array in stored.items() if key.startswith("out_")},
    )


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference relative to max(1, largest entry)."""
    assert ours.shape == theirs.shape
    return float(
        np.max(np.abs(ours - theirs), initial=0.0) / max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    )
