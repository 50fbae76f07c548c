"""Damaged query files are refused with one line, or read as what they now say; and nothing is printed."""

from __future__ import annotations

import gzip
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from parsers.errors import BadQuery
from parsers.specification import Specification
from parsers.vnnlib import read_vnnlib
from tests.support.queries.damage import mutated
from tests.support.queries.formulas import arrays_of
from tests.support.queries.reference_reader import Reference

VERSION_1 = """; a small query
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(declare-const Y_1 Real)
(assert (>= X_0 -0.5))
(assert (<= X_0 5e-1))
(assert (and (<= 0 X_1) (<= X_1 1.25)))
(assert (or
  (and (<= Y_0 Y_1) (>= (- (* 1.5 X_1) Y_0) -5.0))
  (not (< Y_0 (+ Y_1 0.1 X_0)))
))
"""
VERSION_2 = """(vnnlib-version <2.0>)
; a small query
(declare-network N
  (declare-input A float32 [1,2])
  (declare-input B int64 [])
  (declare-output Y float32 [2])
)
(assert (and (>= A[0,0] -0.5) (<= A[0,0] 0.5) (>= A[0,1] 0.0) (<= A[0,1] 1.25)))
(assert (<= 0 B))
(assert (<= B 3))
(assert (or (<= (+ Y[0] (* 0.5 A[0,1])) Y[1]) (!= Y[0] 0.1) (== Y[1] (- 0.25))))
"""
SEEDS = {"1": VERSION_1.encode(), "2": VERSION_2.encode()}


def outcome(path: Path) -> Specification | str:
    try:
        return read_vnnlib(path)
    except BadQuery as error:
        return str(error)


def same_meaning(spec: Specification, data: bytes, chance: random.Random) -> None:
    """`spec` and the reference reader agree at points in and around the regions of the cases."""
    reference = Reference(data.decode("ascii", "replace"))
    sizes = [sum(v.size for v in variables) for variables in (spec.inputs, spec.outputs)]
    boxes = [case.boxes for case in spec.cases] or [None]
    for _ in range(12):
        box = chance.choice(boxes)
        point = [Fraction(chance.randrange(-16, 17), 8) for _ in range(sum(sizes))]
        if box is not None and chance.random() < 0.8:
            ends = [
                np.concatenate([getattr(b, end).reshape(-1) for b in box.values()])
                for end in ("lower", "upper")
            ]
            picked = [chance.choice((low, (low + high) / 2, high)) for low, high in zip(*ends, strict=True)]
            point[: sizes[0]] = [Fraction(round(8 * float(np.clip(x, -16, 16))), 8) for x in picked]
        if any(v.dtype != "real" and "int" in v.dtype for v in spec.inputs):
            point[sizes[0] - 1] = Fraction(round(point[sizes[0] - 1]))
        assert spec.satisfied_by(*arrays_of(spec, point)) == reference(point), (data, point)


@pytest.mark.parametrize("version", SEEDS)
def test_mutations(version: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(20)
    path = tmp_path / "query.vnnlib"
    read = refused = 0
    for _ in range(600):
        data = mutated(SEEDS[version], chance)
        path.write_bytes(gzip.compress(data, 1) if chance.random() < 0.1 else data)
        found = outcome(path)
        if isinstance(found, str):
            refused += 1
            assert "\n" not in found, data
            assert len(found) < 1500, data
            assert found.startswith(str(path)), data
        else:
            read += 1
            same_meaning(found, data, chance)
    assert capfd.readouterr() == ("", "")
    assert read > 30
    assert refused > 200


@pytest.mark.parametrize("version", SEEDS)
def test_the_seeds_are_valid(version: str, tmp_path: Path) -> None:
    path = tmp_path / "query.vnnlib"
    path.write_bytes(SEEDS[version])
    assert read_vnnlib(path).cases


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_many_mutations(seed: int, tmp_path: Path) -> None:
    chance = random.Random(1000 + seed)
    path = tmp_path / "query.vnnlib"
    for _ in range(3000):
        data = mutated(SEEDS[chance.choice("12")], chance)
        path.write_bytes(data)
        found = outcome(path)
        if isinstance(found, str):
            assert "\n" not in found
        else:
            same_meaning(found, data, chance)
