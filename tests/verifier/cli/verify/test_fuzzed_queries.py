"""Damaged queries through the whole command: one line of refusal, or a verdict on what the file now says."""

from __future__ import annotations

import random
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

from parsers.onnx.file.runtime import Runtime
from tests.support.command_line import Recert
from tests.support.queries.damage import mutated
from tests.support.queries.reference_reader import Reference

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2] a, float[] b) => (float[1,2] y) {
  w = Constant<value = float[2,2] {1.0, -2.0, 0.5, 1.0}>()
  p = MatMul(a, w) q = Add(p, b) r = Relu(q) y = Tanh(r)
}"""
PLAIN = """(vnnlib-version <2.0>)
(declare-network N
  (declare-input A float32 [1,2])
  (declare-input B float32 [])
  (declare-output Y float32 [1,2])
)
(assert (and (>= A[0,0] -0.5) (<= A[0,0] 0.5) (>= A[0,1] 0.0) (<= A[0,1] 0.25)))
(assert (<= 0.0 B))
(assert (<= B 0.5))
(assert (or (>= (+ Y[0,0] (* 0.5 A[0,1])) 1.2) (and (!= Y[0,1] 0.1) (>= (* Y[0,1] B) 0.6))))
"""
SEVERAL = """(vnnlib-version <2.0>)
(declare-network N
  (declare-input A float32 [1,2]) (declare-input B float32 [])
  (declare-hidden H float32 [1,2] "q") (declare-output Y float32 [1,2]))
(declare-network M (equal-to N)
  (declare-input C float32 [1,2]) (declare-input D float32 [])
  (declare-hidden G float32 [1,2] "r") (declare-output Z float32 [1,2]))
(assert (and (>= A[0,0] -0.5) (<= A[0,0] 0.5) (>= A[0,1] 0.0) (<= A[0,1] 0.25) (<= 0.0 B 0.5)))
(assert (and (>= C[0,0] -0.5) (<= C[0,0] 0.5) (>= C[0,1] 0.0) (<= C[0,1] 0.25) (>= D 0.0) (<= D 0.5)))
(assert (or (> Z[0,0] (+ Y[0,0] 1.5)) (<= (* H[0,0] G[0,1]) -1.0)))
""".replace("(<= 0.0 B 0.5)", "(<= 0.0 B) (<= B 0.5)")
SEEDS = {"plain": PLAIN, "several": SEVERAL}
VERDICTS = ("sat", "unsat", "unknown", "timed-out")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzzed") / "model.onnx"
    made = parse_model(MODEL)
    made.graph.input[1].type.tensor_type.shape.CopyFrom(
        onnx.TensorShapeProto()
    )  # [] is no rank to the parser
    onnx.save(made, path)
    return path


def nudged(text: str, chance: random.Random) -> str:
    """Another query that is mostly still one: digits, relations, connectives and names exchanged."""
    for _ in range(chance.randrange(1, 5)):
        places = list(re.finditer(r"\d|[<>!=]=|[<>] |\band\b|\bor\b|\b[ABCDYZ]\b|[+*]", text))
        place = chance.choice(places[5:])  # not the version
        old = place[0]
        if old.isdigit():
            new = str(chance.randrange(10))
        elif old in ("and", "or"):
            new = chance.choice(("and", "or"))
        elif old.isalpha():
            new = chance.choice("ABCDYZ")
        else:
            new = chance.choice("+*") if old in "+*" else chance.choice(("<=", ">=", "< ", "> ", "==", "!="))
        text = text[: place.start()] + new + text[place.end() :]
    return text


def try_mutations(
    recert: Recert, model: Path, folder: Path, which: str, seed: int, count: int
) -> Counter[str]:
    """Answer damaged queries; a traceback is an exception here."""
    chance = random.Random(seed)
    rng = np.random.default_rng(seed)
    path, found = folder / "query.vnnlib", Counter[str]()
    for _ in range(count):
        seed_text = SEEDS[which]
        harmless = chance.random() < 0.5
        data = nudged(seed_text, chance).encode() if harmless else mutated(seed_text.encode(), chance)
        path.write_bytes(data)
        result = recert("verify", path, "--network", model)
        if result.exit_code == 2:
            assert result.stdout == "", data
            assert result.stderr.startswith("recert: error: "), data
            assert result.stderr.count("\n") == 1, data
            found["refused"] += 1
            continue
        assert result.exit_code == 0, data
        verdict, *lines = result.stdout.splitlines()
        assert verdict in VERDICTS, data
        found[verdict] += 1
        if which == "plain":
            agrees(verdict, lines, data, model, rng)
    return found


def agrees(verdict: str, lines: list[str], data: bytes, model: Path, rng: np.random.Generator) -> None:
    """The verdict is right of what another reader makes of the file: at the witness, or at random points."""
    reference = Reference(data.decode("ascii", "replace"))
    if verdict == "sat":
        numbers = [Fraction(float(line)) for line in lines if line[0] in "-0123456789"]
        assert len(numbers) == 5, data
        assert reference(numbers), data
    if verdict == "unsat":
        runtime = Runtime(model)
        for _ in range(50):
            a, b = (rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((1, 2), ()))
            y = runtime.run({"a": a, "b": np.asarray(b)})["y"]
            assert not reference(
                [Fraction(v.item()) for x in (a, b, y) for v in np.asarray(x).reshape(-1)]
            ), data


@pytest.mark.parametrize("which", SEEDS)
def test_the_seed_itself(recert: Recert, model: Path, tmp_path: Path, which: str) -> None:
    (tmp_path / "q.vnnlib").write_text(SEEDS[which])
    result = recert("verify", tmp_path / "q.vnnlib", "--network", model)
    assert result.stdout == "unsat\n"


@pytest.mark.parametrize("which", SEEDS)
def test_mutations(recert: Recert, model: Path, tmp_path: Path, which: str) -> None:
    found = try_mutations(recert, model, tmp_path, which, 7, 160)
    assert found["refused"] > 60
    assert min(found["unsat"], found["sat"]) > 3


@pytest.mark.slow
@pytest.mark.parametrize("which", SEEDS)
def test_many_mutations(recert: Recert, model: Path, tmp_path: Path, which: str) -> None:
    found = try_mutations(recert, model, tmp_path, which, 8, 1500)
    assert found["sat"] > 5
